"""The lab's Kubernetes cluster: real pods get ready, are reached, obey roles, and nothing stays afterwards."""

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest
from kubernetes import client, config, stream
from kubernetes.client.exceptions import ApiException

from tests.lab import LabError, wait_until
from tests.lab.cluster import Cluster, build, groups, images, network, unavailable

NAME = f"test-{os.getpid()}"
SHOP = "shop"
FLAG = "TEAM_VNEXT_DUAL_WRITE_ENABLED"


@pytest.fixture(scope="session", autouse=True)
def _machine():
    """Skip where there can be no cluster, and say why; in CI that is a failure."""
    reason = unavailable()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def cluster():
    """A cluster that is up."""
    images.build()  # before the clock starts
    one = Cluster(NAME)
    try:
        began = time.monotonic()
        one.up()
        print(f"\ncluster up in {time.monotonic() - began:.1f} s")
        yield one
    finally:
        one.down()


@pytest.fixture(scope="session")
def api(cluster):
    """What the admin talks to the cluster with."""
    return config.new_client_from_config(str(cluster.kubeconfig))


@pytest.fixture(scope="session")
def pods(api):
    """The pods of a Deployment of three, ready, which got the flag from a ConfigMap."""
    core = client.CoreV1Api(api)
    core.create_namespaced_config_map("default", {"metadata": {"name": SHOP}, "data": {FLAG: "true"}})
    tiny = "python3 /opt/tiny.py --pidfile /tmp/shop.pid --env-file /tmp/shop.env"
    container = {
        "name": "web",
        "image": images.PYTHON,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", f"echo flag is ${FLAG}; exec {tiny}"],
        "envFrom": [{"configMapRef": {"name": SHOP}}],
        "readinessProbe": {"exec": {"command": ["cat", "/tmp/shop.pid"]}, "periodSeconds": 1},
    }
    template = {
        "metadata": {"labels": {"app": SHOP}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": SHOP}}, "template": template}
    apps = client.AppsV1Api(api)
    apps.create_namespaced_deployment("default", {"metadata": {"name": SHOP}, "spec": spec})
    wait_until(
        lambda: apps.read_namespaced_deployment(SHOP, "default").status.ready_replicas == 3, "3 pods to be ready", 60
    )
    return core.list_namespaced_pod("default", label_selector=f"app={SHOP}").items


def run(api, pod, *argv):
    """Run a command in a pod and return its output."""
    # stream() changes the client that it is given: a second one leaves `api` as it is.
    core = client.CoreV1Api(client.ApiClient(api.configuration))
    call = core.connect_get_namespaced_pod_exec
    return stream.stream(call, pod.metadata.name, "default", command=list(argv), stdout=True, stderr=True)


def test_a_deployments_pods_get_ready_with_what_their_configmap_says(api, pods):
    assert len(pods) == 3
    assert {pod.spec.node_name for pod in pods} == {NAME}
    for pod in pods:
        assert f"{FLAG}=true" in run(api, pod, "env").split()


def test_a_pods_processes_and_log_can_be_read(api, pods):
    held = run(api, pods[0], "sh", "-c", r"tr '\0' '\n' < /proc/1/environ")
    assert f"{FLAG}=true" in held.split()
    assert run(api, pods[0], "sh", "-c", "ls /opt; sleep 0; exit 0").split() == ["tiny.py"]
    log = client.CoreV1Api(api).read_namespaced_pod_log(pods[0].metadata.name, "default")
    assert log.startswith("flag is true")


def test_a_pod_and_this_machine_reach_each_other(cluster, api, pods):
    script = "import socket,sys; c = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5); print('there')"
    assert run(api, pods[0], "python3", "-c", script, "10.96.0.1", "443").strip() == "there"
    with pytest.raises(ConnectionRefusedError):  # by the pod's own kernel: nothing listens there
        socket.create_connection((pods[0].status.pod_ip, 9), timeout=5)
    script = script.replace("'there'", "c.getsockname()[0]")
    with socket.create_server((cluster.gateway, 0)) as server:
        port = str(server.getsockname()[1])
        assert run(api, pods[0], "python3", "-c", script, cluster.gateway, port).strip() == pods[0].status.pod_ip


def test_kubectl_sets_a_value_and_the_pods_are_replaced(cluster, pods, api):
    kubectl = [str(build.program("kubectl")), "--kubeconfig", str(cluster.kubeconfig)]
    subprocess.run([*kubectl, "set", "env", f"deployment/{SHOP}", "ANSWER=42"], check=True, capture_output=True)
    subprocess.run([*kubectl, "rollout", "status", f"deployment/{SHOP}", "--timeout=60s"], check=True)
    names = {pod.metadata.name for pod in pods}
    pods[:] = client.CoreV1Api(api).list_namespaced_pod("default", label_selector=f"app={SHOP}").items
    pods[:] = [pod for pod in pods if pod.metadata.name not in names]
    assert len(pods) == 3
    assert "ANSWER=42" in run(api, pods[0], "env").split()


def test_the_application_is_in_its_image(api, cluster):
    """Its own check runs: Django, the settings and all dependencies are there."""
    core = client.CoreV1Api(api)
    command = ["python3", "/opt/deltacrown/app/manage.py", "check"]
    container = {"name": "check", "image": images.APP, "imagePullPolicy": "IfNotPresent", "command": command}
    pod = {"metadata": {"name": "check"}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    core.create_namespaced_pod("default", pod)
    ended = ("Succeeded", "Failed")
    wait_until(lambda: core.read_namespaced_pod("check", "default").status.phase in ended, "the check to end", 60)
    log = core.read_namespaced_pod_log("check", "default")
    assert "no issues" in log, log


def test_who_has_no_role_is_refused_until_one_is_bound(cluster, api):
    nobody = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig_of("nobody"))))
    with pytest.raises(ApiException) as refused:
        nobody.list_namespaced_pod("default")
    assert refused.value.status == 403
    rights = client.RbacAuthorizationV1Api(api)
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    rights.create_namespaced_role("default", {"metadata": {"name": "reader"}, "rules": rules})
    subject = {"kind": "User", "name": "rollback", "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "Role", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"}
    rights.create_namespaced_role_binding(
        "default", {"metadata": {"name": "reader"}, "subjects": [subject], "roleRef": role}
    )
    rollback = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig_of("rollback"))))
    wait_until(lambda: _allowed(rollback.list_namespaced_pod), "the role to count", 10)
    assert not _allowed(rollback.list_namespaced_secret)


def _allowed(call):
    try:
        call("default")
    except ApiException as error:
        if error.status != 403:
            raise
        return False
    return True


@pytest.mark.parametrize("refuse", [False, True])
def test_a_paused_api_answers_nothing_and_then_again(cluster, api, pods, refuse):
    cluster.pause_api(refuse=refuse)
    try:
        with pytest.raises(OSError, match="refused" if refuse else "timed out"):
            cluster.get("/readyz", timeout=1)
    finally:
        cluster.resume_api()
    assert cluster.get("/readyz") == "ok"
    assert f"{FLAG}=true" in run(api, pods[0], "env").split()


def test_secrets_are_for_their_owner_only(cluster):
    files = [path for path in cluster.folder.rglob("*") if path.suffix in (".key", ".csv", ".kubeconfig")]
    assert len(files) >= 9
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert cluster.folder.stat().st_mode & 0o777 == 0o700


def traces(name, device):
    """Return what is left of a cluster on this machine: processes, mounts, network device, groups, files."""
    left = [f"process {pid}" for pid in groups.members(name)]
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"clusters/{name}/" in command or command.rstrip().endswith(f"clusters/{name}"):
            left.append(f"process {entry.name}: {command}")
    left += [line for line in Path("/proc/self/mounts").read_text().splitlines() if f"clusters/{name}" in line]
    left += [str(path) for path in Path("/sys/fs/cgroup").rglob(groups.root(name))]
    left += [str(path) for path in (Path("/sys/class/net", device), Cluster(name).folder) if path.exists()]
    return left


def machine():
    """Return what a cluster must not change on this machine."""
    devices = {
        path.name for path in Path("/sys/class/net").iterdir() if not path.name.startswith(("dwr", "veth", "br"))
    }
    folders = [Path("/var/lib/kubelet"), Path("/var/log/pods"), Path("/run/containerd"), Path("/run/cni")]
    return devices, [path.exists() for path in folders]


def test_up_twice_is_the_same_cluster_and_down_leaves_nothing(cluster):
    """Beside another one, too: `cluster` is up all the while."""
    before = machine()
    other = Cluster(f"{NAME}-b").up()
    index = other._index()
    try:
        assert other.server != cluster.server
        first = groups.init_of(other.name)
        assert Cluster(other.name).up().server == other.server
        assert groups.init_of(other.name) == first
        assert Path("/sys/class/net", network.device(index)).exists()
        assert traces(other.name, network.device(index))
    finally:
        other.down()
    assert traces(other.name, network.device(index)) == []
    assert machine() == before
    other.down()  # again is fine
    assert cluster.get("/readyz") == "ok"


def test_what_is_not_up_says_so():
    absent = Cluster("absent")
    with pytest.raises(LabError, match="is not up: python -m tests.lab.cluster up --name absent"):
        assert absent.server
    with pytest.raises(LabError, match="has no API server"):
        absent.pause_api()
    with pytest.raises(LabError, match="no name for a cluster"):
        Cluster("No Name")
