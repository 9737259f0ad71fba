"""How the programs of a cluster are started: their arguments and configuration files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import build, groups, images, machine, network, pki

SOCKET = "/run/containerd/containerd.sock"
CNI = "/usr/lib/cni"
API_PORT = 443  # the node has the address of the service "kubernetes": pods reach the API without a proxy
SERVICES = "10.96.0.0/16"
ETCD_PORT = "2379"
CONTAINERD = """\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [{disabled}]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{cni}"
  conf_dir = "{folder}/cni"
"""
DISABLED = [
    "io.containerd.internal.v1.opt",
    *(f"io.containerd.snapshotter.v1.{kind}" for kind in ("aufs", "btrfs", "devmapper", "zfs")),
]


def write_plan(folder: Path, name: str, index: int, archives: list[Path]) -> None:
    """Write plan.json for inside.py and the files that the programs read; keys are in folder/pki already."""
    address = network.addresses(index)[1]
    for part in ("cni", "logs", "held"):
        (folder / part).mkdir()
    disabled = ", ".join(f'"{one}"' for one in DISABLED)
    containerd = CONTAINERD.format(disabled=disabled, socket=SOCKET, pause=images.PAUSE, cni=CNI, folder=folder)
    (folder / "containerd.toml").write_text(containerd)
    (folder / "cni/10-lab.conflist").write_text(json.dumps(_pod_network(index)))
    (folder / "kubelet.yaml").write_text(json.dumps(_kubelet(folder, name, address)))
    plan = {"addresses": [pki.SERVICE_ADDRESS], "programs": _programs(folder, name, address, archives)}
    (folder / "plan.json").write_text(json.dumps(plan, indent=1))


def _pod_network(index: int) -> dict[str, Any]:
    ipam: dict[str, Any] = {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": network.pods(index)}]]}
    ipam["routes"] = [{"dst": "0.0.0.0/0"}]
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "ipam": ipam}
    return {"cniVersion": "0.4.0", "name": "lab", "plugins": [bridge]}


def _kubelet(folder: Path, name: str, address: str) -> dict[str, Any]:
    keys = folder / "pki"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(keys / "ca.crt")},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "tlsCertFile": str(keys / "node.crt"),
        "tlsPrivateKeyFile": str(keys / "node.key"),
        "address": address,
        "healthzBindAddress": "127.0.0.1",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{groups.root(name)}/pods",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
        "clusterDNS": ["10.96.0.10"],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "2s",
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "registryPullQPS": 0,
    }


def _programs(folder: Path, name: str, address: str, archives: list[Path]) -> list[dict[str, Any]]:
    """Return what to start, each with what must answer first: ports of loopback, paths of sockets."""
    keys = folder / "pki"
    admin = keys / "admin.kubeconfig"
    etcd = [machine.find("etcd"), "--data-dir=/var/lib/etcd", "--unsafe-no-fsync"]
    etcd += [f"--{what}-client-urls=http://127.0.0.1:{ETCD_PORT}" for what in ("listen", "advertise")]
    etcd += [f"--{what}-peer-urls=http://127.0.0.1:2380" for what in ("listen", "initial-advertise")]
    etcd += ["--initial-cluster=default=http://127.0.0.1:2380"]
    controllers = [str(build.program("kube-controller-manager")), f"--kubeconfig={admin}", "--leader-elect=false"]
    controllers += [f"--service-account-private-key-file={keys}/sa.key", f"--root-ca-file={keys}/ca.crt"]
    controllers += ["--use-service-account-credentials=true"]
    scheduler = [str(build.program("kube-scheduler")), f"--kubeconfig={admin}", "--leader-elect=false"]
    kubelet = [str(build.program("kubelet")), f"--config={folder}/kubelet.yaml"]
    kubelet += [f"--kubeconfig={keys}/node.kubeconfig", f"--hostname-override={name}", f"--node-ip={address}"]
    kubelet += ["--container-runtime=remote", f"--container-runtime-endpoint=unix://{SOCKET}"]
    ctr = f"{machine.find('ctr')} -a {SOCKET} -n k8s.io images import"
    imports = " && ".join([*(f"{ctr} '{one}'" for one in archives), "touch /run/imported", "exec sleep infinity"])
    api = [str(API_PORT)]
    return [
        {"name": "etcd", "needs": [], "argv": etcd},
        {"name": "containerd", "needs": [], "argv": [machine.find("containerd"), "-c", f"{folder}/containerd.toml"]},
        {"name": "images", "needs": [SOCKET], "argv": ["sh", "-c", imports]},
        {"name": "kube-apiserver", "needs": [ETCD_PORT], "argv": _apiserver(keys, address)},
        {"name": "kube-controller-manager", "needs": api, "argv": controllers},
        {"name": "kube-scheduler", "needs": api, "argv": scheduler},
        {"name": "kubelet", "needs": [*api, "file:/run/imported"], "argv": kubelet},
    ]


def _apiserver(keys: Path, address: str) -> list[str]:
    return [
        str(build.program("kube-apiserver")),
        f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
        f"--advertise-address={address}",
        f"--secure-port={API_PORT}",
        f"--tls-cert-file={keys}/api.crt",
        f"--tls-private-key-file={keys}/api.key",
        f"--client-ca-file={keys}/ca.crt",
        f"--token-auth-file={keys}/tokens.csv",
        f"--kubelet-client-certificate={keys}/api.crt",
        f"--kubelet-client-key={keys}/api.key",
        f"--kubelet-certificate-authority={keys}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-account-key-file={keys}/sa.pub",
        f"--service-account-signing-key-file={keys}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={SERVICES}",
        "--allow-privileged",
        "--profiling=false",
    ]
