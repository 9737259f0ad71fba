"""Deployments of one pod each on a real cluster: the runbook's kubectl commands beside the module flag."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from tests.lab.cluster import Cluster, build, images
from tests.lab.waiting import wait_until

from .arms import FLAG, Subject, call_module

NAMESPACE = "bench"
#: it waits, ready, until it is told to end
IDLE = "trap 'exit 0' TERM; mkfifo /tmp/idle; touch /tmp/ready; while :; do read line <>/tmp/idle; done"


class Deployments(Subject):
    """So many Deployments in a namespace of their own."""

    def __init__(self, cluster: Cluster, number: int, folder: Path) -> None:
        self.cluster = cluster
        self.names = [f"web-{index}" for index in range(number)]
        self.what = f"{number} Deployment{'s' if number > 1 else ''}"
        self.kubectl = [str(build.program("kubectl")), "--kubeconfig", str(cluster.kubeconfig)]
        self.inventory = folder / f"cluster-{number}.yml"
        options = {"kubeconfig": str(cluster.kubeconfig), "namespace": NAMESPACE}
        workloads = [{"name": one, "platform": "kubernetes", "options": {**options, "name": one}} for one in self.names]
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "bench_flags": {FLAG: False},
            "bench_workloads": workloads,
        }
        self.inventory.write_text(yaml.safe_dump({"all": {"hosts": {"cluster": {}}, "vars": variables}}))

    def prepare(self) -> None:
        """Create namespace and Deployments."""
        items: list[dict[str, Any]] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
        items += [self._deployment(name) for name in self.names]
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        subprocess.run([*self.kubectl, "apply", "-f", "-"], input=manifest, text=True, check=True, capture_output=True)

    def _deployment(self, name: str) -> dict[str, Any]:
        container = {
            "name": "web",
            "image": images.PYTHON,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", IDLE],
            "env": [{"name": FLAG, "value": "true"}],
            "readinessProbe": {"exec": {"command": ["cat", "/tmp/ready"]}, "periodSeconds": 1},
        }
        pod = {"containers": [container], "terminationGracePeriodSeconds": 5, "automountServiceAccountToken": False}
        template = {"metadata": {"labels": {"app": name}}, "spec": pod}
        spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
        metadata = {"name": name, "namespace": NAMESPACE}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}

    def switch_on(self) -> None:
        self._each(lambda name: self._call("set", "env", f"deployment/{name}", f"{FLAG}=true"))
        self._each(self._status)
        wait_until(lambda: len(self._pods()) == len(self.names), "the old pods to be gone", 120)

    def held(self) -> list[str]:
        script = ["sh", "-c", f"tr '\\0' '\\n' </proc/1/environ | sed -n 's/^{FLAG}=//p'"]
        running = [pod for pod in self._pods() if "deletionTimestamp" not in pod["metadata"]]
        with ThreadPoolExecutor(8) as pool:
            told = pool.map(lambda pod: self._call("exec", pod["metadata"]["name"], "--", *script), running)
            return "".join(told).split()

    def pasted(self) -> None:
        for name in self.names:
            self._call("set", "env", f"deployment/{name}", f"{FLAG}=false")
            self._call("rollout", "restart", f"deployment/{name}")
            self._status(name)

    def at_once(self) -> None:
        def one(name: str) -> None:
            self._call("set", "env", f"deployment/{name}", f"{FLAG}=false")
            self._status(name)

        self._each(one)

    def module(self) -> float:
        return call_module(self.inventory)

    def _each(self, work: Callable[[str], object]) -> None:
        with ThreadPoolExecutor(len(self.names)) as pool:
            list(pool.map(work, self.names))

    def _status(self, name: str) -> None:
        self._call("rollout", "status", f"deployment/{name}", "--timeout=300s")

    def _pods(self) -> list[dict[str, Any]]:
        return list(json.loads(self._call("get", "pods", "-o", "json"))["items"])

    def _call(self, *words: str) -> str:
        """Run kubectl in the namespace and return what it said."""
        argv = [*self.kubectl, "--namespace", NAMESPACE, *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout
