"""What only Kubernetes has: many places for a value, kinds of objects, rights, other managers. On a real cluster."""

from __future__ import annotations

import base64
import threading
import time
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    CommandFailed,
    Conflict,
    DeadlinePassed,
    InvalidInput,
    NotFound,
    Refused,
    RollbackError,
    VerificationFailed,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.flag import set_flags
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.workload import set_workloads
from ansible_collections.dualwrite.rollback.tests.unit.contract.kubernetes_bench import MAP, KubernetesBench
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import FLAG, STRICT

ON, OFF = {"name": FLAG, "value": "true"}, {"name": FLAG, "value": "false"}
FROM_MAP = {"name": FLAG, "valueFrom": {"configMapKeyRef": {"name": MAP, "key": FLAG}}}
#: a pod that costs little, and is ready as soon as it runs
WAIT = "mkfifo /tmp/idle; touch /tmp/ready; while :; do read line <>/tmp/idle; done"
IDLE = {"command": ["sh", "-c", f"trap 'exit 0' TERM; {WAIT}"]}
READY = {"readinessProbe": {"exec": {"command": ["cat", "/tmp/ready"]}, "periodSeconds": 1}}


def switch(*entries: dict[str, Any], check: bool = False, **more: Any) -> dict[str, Any]:
    """Set FLAG to false in these workloads, in this process."""
    given = {"flags": {FLAG: False}, "known_flags": [FLAG, STRICT], "timeout": 40, "workloads": list(entries), **more}
    return set_flags(given, check=check)


def held(told: dict[str, Any], name: str = "web") -> list[str]:
    return list(told["after"][name][FLAG]["effective"].values())


def deploy(bench: KubernetesBench, name: str, *env: dict[str, Any], plural: str = "deployments", **spec: Any) -> None:
    """Create an object with one container that idles with this env, and wait until it is ready."""
    pod = spec.pop("pod", {})
    container = {**bench.container(name), **IDLE, **READY, "env": list(env), **spec.pop("container", {})}
    metadata = spec.pop("metadata", {})
    bench.create(plural, bench.object(name, [container], pod=pod, spec=spec, metadata=metadata))
    bench.ready(plural, name)


def found_by_label(bench: KubernetesBench, label: str) -> dict[str, Any]:
    """Return the inventory's entry of all Deployments with a label."""
    entry = bench.options("shop", label_selectors=[label])
    del entry["options"]["name"]
    return entry


def template(bench: KubernetesBench, name: str, plural: str = "deployments") -> dict[str, Any]:
    return dict(bench.call_api("GET", f"{bench.apps}/{plural}/{name}")["spec"]["template"])


@pytest.fixture
def bench(kubernetes_bench: KubernetesBench) -> KubernetesBench:
    return kubernetes_bench


# --- where a value comes from ----------------------------------------------------------------------------------------


def test_every_container_that_carries_the_flag_changes_and_no_other(bench: KubernetesBench) -> None:
    """Of several entries of one name the last one wins; init containers carry it too; one roll for all."""
    idle = {**bench.container("web"), **IDLE, **READY}
    containers = [
        {**idle, "env": [OFF, {"name": "OTHER", "value": "x"}, ON]},
        {**idle, "name": "side", "env": [FROM_MAP]},
        {**idle, "name": "proxy"},
    ]
    setup = {"name": "setup", "image": bench.image, "command": ["true"], "env": [ON], "imagePullPolicy": "IfNotPresent"}
    bench.create("deployments", bench.object("web", containers, pod={"initContainers": [setup]}))
    bench.ready("deployments", "web")
    told = switch(bench.options("web"))
    assert held(told) == ["false", "false"]
    spec = template(bench, "web")["spec"]
    assert [one.get("env") for one in spec["containers"]] == [
        [OFF, {"name": "OTHER", "value": "x"}, OFF],
        [FROM_MAP],
        None,
    ]
    assert spec["initContainers"][0]["env"] == [OFF]
    assert f"{FLAG}=false" in bench.env()
    assert bench.revision("web") == "2"
    assert switch(bench.options("web"))["changed"] is False
    assert bench.revision("web") == "2"


def test_a_secret_is_changed_in_place_and_never_shown(bench: KubernetesBench) -> None:
    data = {FLAG: "true", "PASSWORD": "hunter22hunter22", STRICT: "swordfish-as-a-flag"}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    bench.create("secrets", {"metadata": {"name": "flags"}, "data": encoded}, "v1")
    deploy(bench, "web", container={"envFrom": [{"secretRef": {"name": "flags"}}]})
    told = switch(bench.options("web"))
    assert held(told) == ["false"]
    after = bench.call_api("GET", f"{bench.core}/secrets/flags")["data"]
    assert after == {**encoded, FLAG: base64.b64encode(b"false").decode()}
    assert [one["before_header"] for one in told["diff"]] == [f"Secret {bench.namespace}/flags"]
    for secret in ("hunter22", "swordfish", encoded["PASSWORD"], encoded[STRICT]):
        assert secret not in str(told)


def test_a_config_map_that_must_not_be_edited_is_refused_unless_the_template_may_override_it(
    bench: KubernetesBench,
) -> None:
    bench.create("configmaps", {"metadata": {"name": "fixed"}, "data": {FLAG: "true"}, "immutable": True}, "v1")
    deploy(bench, "web", container={"envFrom": [{"configMapRef": {"name": "fixed"}}]})
    with pytest.raises(Refused, match=r"ConfigMap fixed, key TEAM_X: .* it is immutable; nothing was changed"):
        switch(bench.options("web"))
    assert held(switch(bench.options("web", override=True))) == ["false"]
    assert template(bench, "web")["spec"]["containers"][0]["env"] == [OFF]


def test_who_takes_the_value_from_the_same_place_is_named(bench: KubernetesBench) -> None:
    deploy(bench, "web", FROM_MAP)
    deploy(bench, "other", FROM_MAP, replicas=1)
    with pytest.raises(Refused, match=r"which Deployment other takes it from too .*; nothing was changed"):
        switch(bench.options("web"))
    assert f"{FLAG}=true" in bench.env()
    told = switch(bench.options("web", shared_with=["other"]))
    assert held(told) == ["false"]
    assert bench.revision("other") == "1"
    assert any("pod other-" in note and f"holds {FLAG}=true" in note for note in told["notes"])
    both = switch(bench.options("web"), bench.options("other"), on_unlisted="fail")
    assert (both["rolled"], both["notes"]) == ({"other": "roll"}, [])


def test_what_the_inventory_forgot_is_named(bench: KubernetesBench) -> None:
    """A pod without an owner, and a CronJob that will start one."""
    deploy(bench, "web", ON)
    idle = {**bench.container("lone"), **IDLE, "env": [ON]}
    bench.create("pods", {"metadata": {"name": "lone"}, "spec": {"containers": [idle]}}, "v1")
    job = {"template": {"spec": {"containers": [{**idle, "name": "job"}], "restartPolicy": "Never"}}}
    nightly = {"metadata": {"name": "nightly"}, "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": job}}}
    bench.create("cronjobs", nightly, "batch/v1beta1")
    told = switch(bench.options("web"))
    (note,) = told["notes"]
    assert "pod lone holds" in note
    assert f"CronJob {bench.namespace}/nightly (at its next run) holds {FLAG}=true" in note
    with pytest.raises(VerificationFailed, match="CronJob"):
        switch(bench.options("web"), on_unlisted="fail")


# --- kinds -----------------------------------------------------------------------------------------------------------


def test_all_kinds_are_rolled_once_and_at_the_same_time(bench: KubernetesBench) -> None:
    """Two Deployments found by their labels, a StatefulSet and a DaemonSet."""
    labels = {"metadata": {"labels": {"part-of": "shop"}}}
    deploy(bench, "web", ON, **labels)
    deploy(bench, "api", FROM_MAP, **labels)
    deploy(bench, "queue", ON, plural="statefulsets", serviceName="queue", replicas=2)
    deploy(bench, "agent", FROM_MAP, plural="daemonsets")
    entries = [
        found_by_label(bench, "part-of=shop"),
        bench.options("queue", kind="StatefulSet"),
        bench.options("agent", kind="DaemonSet"),
    ]
    told = switch(*entries)
    assert told["rolled"] == dict.fromkeys(("shop", "queue", "agent"), "roll")
    assert [held(told, name) for name in ("shop", "queue", "agent")] == [["false"] * 2, ["false"] * 2, ["false"]]
    assert [bench.revision("web"), bench.revision("api")] == ["2", "2"]
    assert switch(*entries)["changed"] is False


def test_a_cron_job_has_the_value_at_its_next_run_and_a_running_job_is_waited_for(bench: KubernetesBench) -> None:
    idle = {**bench.container("job"), **IDLE, "env": [ON]}
    pod = {"containers": [idle], "restartPolicy": "Never", "terminationGracePeriodSeconds": 1}
    spec = {"template": {"spec": pod}}
    nightly = {"metadata": {"name": "nightly"}, "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": spec}}}
    made = bench.create("cronjobs", nightly, "batch/v1beta1")
    owner = {"apiVersion": "batch/v1beta1", "kind": "CronJob", "name": "nightly", "uid": made["metadata"]["uid"]}
    bench.create("jobs", {"metadata": {"name": "run", "ownerReferences": [owner]}, "spec": spec}, "batch/v1")
    entry = bench.options("nightly", kind="CronJob")
    until(lambda: [one["status"]["phase"] for one in run_pods(bench)] == ["Running"])
    with pytest.raises(DeadlinePassed, match=r"its Job still runs with the old values: run-"):
        switch(entry, timeout=3)
    bench.call_api("DELETE", f"/apis/batch/v1/namespaces/{bench.namespace}/jobs/run?propagationPolicy=Background")
    told = switch(entry)
    assert held(told, "nightly") == []
    declared = bench.call_api("GET", f"/apis/batch/v1beta1/namespaces/{bench.namespace}/cronjobs/nightly")["spec"]
    assert declared["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"] == [OFF]
    set_workloads({"state": "stopped", "workloads": [entry], "timeout": 20})
    path = f"/apis/batch/v1beta1/namespaces/{bench.namespace}/cronjobs/nightly"
    assert bench.call_api("GET", path)["spec"]["suspend"] is True


def run_pods(bench: KubernetesBench) -> list[dict[str, Any]]:
    return list(bench.call_api("GET", f"{bench.core}/pods?labelSelector=job-name%3Drun")["items"])


def until(holds: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def test_what_ran_is_remembered_on_the_object_and_autoscalers_keep_their_limits(bench: KubernetesBench) -> None:
    deploy(bench, "web", ON, replicas=2)
    deploy(bench, "agent", ON, plural="daemonsets")
    limits = {"minReplicas": 2, "maxReplicas": 5}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    hpa = {"metadata": {"name": "web"}, "spec": {**limits, "scaleTargetRef": target}}
    bench.create("horizontalpodautoscalers", hpa, "autoscaling/v1")
    entries = [bench.options("web"), bench.options("agent", kind="DaemonSet")]
    given = {"workloads": entries, "timeout": 30}
    assert set_workloads({"state": "stopped", **given})["after"]["web"] == {"instances": 0}
    assert set_workloads({"state": "stopped", **given})["changed"] is False
    assert set_workloads({"state": "started", **given})["after"] == {"web": {"instances": 2}, "agent": {"instances": 1}}
    told = bench.call_api("GET", f"{bench.apps}/deployments/web")
    assert (told["spec"]["replicas"], "dualwrite.rollback/scale" in told["metadata"]["annotations"]) == (2, False)
    path = f"/apis/autoscaling/v1/namespaces/{bench.namespace}/horizontalpodautoscalers/web"
    assert {key: bench.call_api("GET", path)["spec"][key] for key in limits} == limits


# --- rolls that don't end well ---------------------------------------------------------------------------------------

NEVER_READY = {"readinessProbe": {"exec": {"command": ["sh", "-c", f'test "${FLAG}" = true']}, "periodSeconds": 1}}


@pytest.mark.parametrize("fault", ["never ready", "quota"])
def test_new_pods_that_do_not_get_ready_are_taken_back_to_the_revision_of_before(
    bench: KubernetesBench, fault: str
) -> None:
    deploy(bench, "web", ON, container=NEVER_READY if fault == "never ready" else {})
    before = {one["metadata"]["uid"] for one in bench.pods("web")}
    if fault == "quota":
        bench.create("resourcequotas", {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "1"}}}, "v1")
        until(lambda: bench.call_api("GET", f"{bench.core}/resourcequotas/full").get("status", {}).get("used"))
    with pytest.raises(CommandFailed) as raised:
        switch(bench.options("web", wait_timeout=4))
    text = str(raised.value)
    if fault == "quota":
        assert "0 of 1 new pods are there after 4 s" in text
        assert "exceeded quota: full" in text
    else:
        assert "0 of 1 new pods are ready after 4 s: web-" in text
        assert "on " + bench.cluster.name in text
        assert "events: Unhealthy: Readiness probe failed" in text
    assert "the change was taken back, web run" in text
    assert raised.value.evidence["undone"]
    assert {one["metadata"]["uid"] for one in bench.pods("web") if not gone(one)} == before
    assert template(bench, "web")["spec"]["containers"][0]["env"] == [ON]


def gone(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def test_a_stateful_set_is_taken_back_although_its_controller_waits_for_the_broken_pod(bench: KubernetesBench) -> None:
    command = ["sh", "-c", f'test "${FLAG}" = true || exit 3; {WAIT}']
    deploy(bench, "queue", ON, plural="statefulsets", serviceName="queue", container={"command": command})
    with pytest.raises(CommandFailed, match=r"container queue ended with 3 \(CrashLoopBackOff\)") as raised:
        switch(bench.options("queue", kind="StatefulSet"))
    assert raised.value.evidence["undone"]
    assert list(raised.value.evidence["after"]["queue"][FLAG]["effective"].values()) == ["true"]


def test_old_pods_that_do_not_end_are_named_and_the_new_value_stays(bench: KubernetesBench) -> None:
    stubborn = {"command": ["sh", "-c", f"trap '' TERM; {WAIT}"]}
    deploy(bench, "web", ON, container=stubborn, pod={"terminationGracePeriodSeconds": 12})
    with pytest.raises(DeadlinePassed, match=r"1 of the old pods still run after 3 s: web-\S+ on ") as raised:
        switch(bench.options("web", wait_timeout=3))
    assert raised.value.evidence["undone"] is False
    assert template(bench, "web")["spec"]["containers"][0]["env"] == [OFF]
    until(lambda: [gone(one) for one in bench.pods("web")] == [False])
    assert held(switch(bench.options("web"))) == ["false"]
    assert bench.revision("web") == "2", "what was begun is not begun again"


def test_somebody_elses_roll_is_refused_and_an_image_that_does_not_exist_is_told(bench: KubernetesBench) -> None:
    deploy(bench, "web", ON)
    image = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "shop/none:1"}]}}}}
    kind = "application/strategic-merge-patch+json"
    bench.call_api("PATCH", f"{bench.apps}/deployments/web", image, kind)
    until(lambda: len(bench.pods("web")) == 2)
    with pytest.raises(Refused, match=r"somebody else's roll is under way: \d of \d pods .*; nothing was changed"):
        switch(bench.options("web"))
    with pytest.raises(CommandFailed, match=r"container web (ErrImagePull|ImagePullBackOff).*events: .*shop/none:1"):
        switch(bench.options("web", roll_over=True))
    assert template(bench, "web")["spec"]["containers"][0]["env"] == [ON]


@pytest.mark.parametrize(
    ("plural", "kind", "spec", "why"),
    [
        ("deployments", "Deployment", {"paused": True}, "it is paused"),
        ("daemonsets", "DaemonSet", {"updateStrategy": {"type": "OnDelete"}}, "its update strategy is OnDelete"),
    ],
)
def test_what_never_rolls_is_refused_before_anything_is_changed(
    bench: KubernetesBench, plural: str, kind: str, spec: dict[str, Any], why: str
) -> None:
    deploy(bench, "web", ON, plural=plural)
    bench.patch(f"{bench.apps}/{plural}/web", {"spec": spec})
    with pytest.raises(Refused, match=f"{why}.*nothing was changed"):
        switch(bench.options("web", kind=kind))
    assert template(bench, "web", plural)["spec"]["containers"][0]["env"] == [ON]


def test_3_of_30_pods_that_lag_are_named_and_the_next_call_ends_the_same_roll(bench: KubernetesBench) -> None:
    lag = "for one in 1 2 3; do mkdir /lag/$one 2>/dev/null && sleep 14 && break; done"
    script = f'trap "exit 0" TERM; test "${FLAG}" = true || {{ {lag}; }}; {WAIT}'
    lagging = {"command": ["sh", "-c", script], "volumeMounts": [{"name": "lag", "mountPath": "/lag"}]}
    volume = {"name": "lag", "hostPath": {"path": f"/tmp/{bench.namespace}", "type": "DirectoryOrCreate"}}
    pod = {"volumes": [volume], "terminationGracePeriodSeconds": 0}
    strategy = {"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": "50%"}}
    deploy(bench, "web", ON, container=lagging, pod=pod, replicas=30, strategy=strategy)
    entry = bench.options("web", wait_timeout=11)
    with pytest.raises(CommandFailed) as raised:
        switch(entry, on_failure="keep")
    assert "27 of 30 new pods are ready after 11 s: web-" in str(raised.value)
    assert str(raised.value).count("web-") == 3
    told = switch(bench.options("web"))
    assert held(told) == ["false"] * 30
    assert bench.revision("web") == "2"


# --- others ----------------------------------------------------------------------------------------------------------


def test_others_who_change_the_object_all_the_time_do_not_get_in_the_way(bench: KubernetesBench) -> None:
    deploy(bench, "web", ON)
    over = threading.Event()

    def busy() -> None:
        number = 0
        while not over.wait(0.05):
            number += 1
            bench.patch(f"{bench.apps}/deployments/web", {"metadata": {"annotations": {"busy": str(number)}}})

    other = threading.Thread(target=busy)
    other.start()
    try:
        assert held(switch(bench.options("web"))) == ["false"]
    finally:
        over.set()
        other.join()


def test_a_manager_that_brings_the_old_value_back_in_mid_roll_is_named(bench: KubernetesBench) -> None:
    """A loop with a field manager of its own stands in for a GitOps controller, which can't be had here."""
    deploy(bench, "web", ON)
    over = threading.Event()
    path = f"{bench.apps}/deployments/web?fieldManager=self-heal"
    back = {"spec": {"template": {"spec": {"containers": [{"name": "web", "env": [ON]}]}}}}

    def heal() -> None:
        while not over.wait(0.2):
            bench.call_api("PATCH", path, back, "application/strategic-merge-patch+json")

    other = threading.Thread(target=heal)
    other.start()
    try:
        with pytest.raises((Conflict, VerificationFailed), match="self-heal|was set back"):
            switch(bench.options("web"))
    finally:
        over.set()
        other.join()


def test_who_keeps_the_object_is_told(bench: KubernetesBench) -> None:
    labels = {"app.kubernetes.io/managed-by": "Helm", "kustomize.toolkit.fluxcd.io/name": "shop"}
    noted = {"argocd.argoproj.io/tracking-id": "shop-app:apps/Deployment:ns/web", "meta.helm.sh/release-name": "shop"}
    deploy(bench, "web", ON, metadata={"labels": labels, "annotations": noted})
    (note,) = switch(bench.options("web"), check=True)["notes"]
    assert note == (
        f"Deployment {bench.namespace}/web is kept by Argo CD (application shop-app), the Flux Kustomization 'shop', "
        "Helm (release shop), which may bring the old values back: change it there too"
    )


@pytest.mark.parametrize("refuse", [False, True], ids=["silent", "refusing"])
def test_an_api_that_goes_away_in_mid_roll_and_returns(bench: KubernetesBench, refuse: bool) -> None:
    deploy(bench, "web", ON)

    def away() -> None:
        until(lambda: template(bench, "web")["spec"]["containers"][0]["env"] == [OFF])
        bench.cluster.pause_api(refuse=refuse)
        time.sleep(3)
        bench.cluster.resume_api()

    other = threading.Thread(target=away)
    other.start()
    told = switch(bench.options("web"), timeout=60)
    other.join()
    assert held(told) == ["false"]
    assert bench.revision("web") == "2"


# --- rights ----------------------------------------------------------------------------------------------------------


def test_the_role_of_the_page_is_enough_and_what_is_missing_is_named(bench: KubernetesBench) -> None:
    deploy(bench, "web", ON, FROM_MAP | {"name": STRICT})
    entry = bench.options("web", kubeconfig=str(bench.cluster.kubeconfig_of("rollback")))
    with pytest.raises(Refused) as raised:
        switch(entry)
    told = str(raised.value)
    assert (
        f"rights are missing in the namespace '{bench.namespace}': get deployments.apps, list deployments.apps" in told
    )
    assert "create pods/exec; nothing was changed" in told
    bench.bind_role(without="patch")
    with pytest.raises(Refused, match=r"patch deployments\.apps; nothing was changed"):
        switch(entry)
    assert template(bench, "web")["spec"]["containers"][0]["env"][0] == ON
    bench.bind_role()
    told_now = switch(entry)
    assert (held(told_now), told_now["notes"]) == (["false"], [])
    given = {"workloads": [entry], "timeout": 30}
    assert set_workloads({"state": "stopped", **given})["after"]["web"] == {"instances": 0}


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"namespace": "none"}, NotFound, "Deployment none/web: it does not exist"),
        ({"label_selectors": ["a=b"]}, InvalidInput, "either the option 'name' or the option 'label_selectors'"),
        ({"kind": "Pod"}, InvalidInput, "the option 'kind' is 'Pod'"),
        ({"context": "none"}, InvalidInput, "the kubeconfig can't be used: .*none"),
        ({"kubeconfig": "/none"}, InvalidInput, "/none: the kubeconfig can't be used"),
        ({"containers": ["none"]}, InvalidInput, "it has no container 'none'. It has: web"),
    ],
)
def test_bad_input_is_one_sentence(
    bench: KubernetesBench, options: dict[str, Any], kind: type[RollbackError], sentence: str
) -> None:
    if "containers" in options:
        deploy(bench, "web", ON)
    with pytest.raises(kind, match=sentence):
        switch(bench.options("web", **options))


def test_labels_that_find_nothing_prove_nothing(bench: KubernetesBench) -> None:
    with pytest.raises(NotFound, match=r"no Deployment in the namespace \S+ has the labels a=b"):
        switch(found_by_label(bench, "a=b"))
