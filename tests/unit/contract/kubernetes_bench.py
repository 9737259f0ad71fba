"""The bench of the platform kubernetes: objects in a namespace of their own of a real cluster."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ansible_collections.dualwrite.rollback.tests.unit.contract.benches import ROOT, LocalBench
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import ENV, FLAG

MAP = "flags"


class KubernetesBench(LocalBench):
    """Deployments that run tiny.py, with one ConfigMap for the flags of all of them."""

    platform = "kubernetes"
    way = "roll"
    facts = frozenset({"server", "namespace_uid", "cluster_uid"})
    source = f"{MAP}, key {FLAG}"

    def __init__(self, cluster: Any, api: Any, number: int, images: Any) -> None:
        self.cluster = cluster
        self.api = api
        self.image, self.bare_image = images.PYTHON, images.PAUSE
        self.made: set[str] = set()
        self.namespace = f"shop{os.getpid()}-{number}"
        self.call_api("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        self.core = f"/api/v1/namespaces/{self.namespace}"
        self.apps = f"/apis/apps/v1/namespaces/{self.namespace}"
        self.env(ENV)

    def call_api(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """Ask the API as its admin and return the answer as plain data."""
        return self.api(method, path, body, kind)

    def patch(self, path: str, body: Any) -> Any:
        """Change an object as `kubectl patch --type merge` does."""
        return self.call_api("PATCH", path, body, "application/merge-patch+json")

    # --- the contract ----------------------------------------------------------------------------------------------

    def entry(self, name: str, *habits: str, **options: Any) -> dict[str, Any]:
        container = self.container(name, *habits, envFrom=[{"configMapRef": {"name": MAP}}])
        if name not in self.made:
            self.made.add(name)
            self.create("deployments", self.object(name, [container], spec={"replicas": 0}))
        return self.options(name, **options)

    def options(self, name: str, **options: Any) -> dict[str, Any]:
        """Return the inventory's entry of an object, whatever the object is."""
        given = {
            "kubeconfig": str(self.cluster.kubeconfig),
            "namespace": self.namespace,
            "name": name,
            "stable_for": 0.3,
        }
        return {"name": name, "platform": "kubernetes", "options": {**given, "stable_for": 0.3, **options}}

    def container(self, name: str, *habits: str, **more: Any) -> dict[str, Any]:
        """Return a container that runs tiny.py with these habits."""
        paths = ["--pidfile", f"/tmp/{name}.pid", "--env-file", "/tmp/app.env"]
        return {
            "name": name,
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "/opt/tiny.py", *paths, *habits],
            **more,
        }

    def object(self, name: str, containers: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """Return the body of a Deployment or StatefulSet of one pod (``spec`` is merged into its own)."""
        pod = {"containers": containers, "terminationGracePeriodSeconds": 2, "automountServiceAccountToken": False}
        template = {"metadata": {"labels": {"app": name}}, "spec": {**pod, **more.pop("pod", {})}}
        return {
            "metadata": {"name": name, **more.pop("metadata", {})},
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **more.pop("spec", {})},
        }

    def start(self, name: str) -> None:
        self.patch(f"{self.apps}/deployments/{name}", {"spec": {"replicas": 1}})
        self.ready("deployments", name)

    def create(self, plural: str, body: dict[str, Any], group: str = "apps/v1") -> dict[str, Any]:
        """Create an object of the namespace."""
        top = self.core if group == "v1" else f"/apis/{group}/namespaces/{self.namespace}"
        return dict(self.call_api("POST", f"{top}/{plural}", body))

    def ready(self, plural: str, name: str, seconds: float = 30) -> None:
        """Wait until all pods of an object are available."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            told = self.call_api("GET", f"{self.apps}/{plural}/{name}")
            status = told.get("status", {})
            wanted = status.get("desiredNumberScheduled", told["spec"].get("replicas", 1))
            seen = status.get("observedGeneration", 0) >= told["metadata"]["generation"]
            if seen and wanted and status.get("numberReady", status.get("readyReplicas", 0)) == wanted:
                return
            time.sleep(0.1)
        raise AssertionError(f"{name} did not get ready: {status}")

    def kubectl(self, *words: str) -> None:
        """Do what an operator does by hand."""
        self.cluster.kubectl("--namespace", self.namespace, *words)

    def bind_role(self, without: str = "", which: str = "dualwrite-rollback") -> None:
        """Give the user `rollback` a Role of the page on rights, without one verb if that is said."""
        import yaml

        page = (ROOT / "docs" / "kubernetes_rbac.md").read_text()
        roles = [yaml.safe_load(block.split("```")[0]) for block in page.split("```yaml\n")[1:]]
        (role,) = (one for one in roles if one["metadata"]["name"] == which)
        role["metadata"]["namespace"] = self.namespace
        for rule in role["rules"]:
            rule["verbs"] = [verb for verb in rule["verbs"] if verb != without]
            rule["resourceNames"] = [self.namespace] if "resourceNames" in rule else []
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.namespace}"
        name = role["metadata"]["name"]
        if self.call_api("GET", f"{path}/roles/{name}").get("kind") == "Role":
            self.call_api("PUT", f"{path}/roles/{name}", role)
            return
        self.call_api("POST", f"{path}/roles", role)
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "User", "name": "rollback"}],
        }
        self.call_api("POST", f"{path}/rolebindings", binding)

    def pods(self, name: str) -> list[dict[str, Any]]:
        """Return the pods with the label app=name."""
        return list(self.call_api("GET", f"{self.core}/pods?labelSelector=app%3D{name}")["items"])

    def revision(self, name: str) -> str:
        """Return how often a Deployment was rolled."""
        told = self.call_api("GET", f"{self.apps}/deployments/{name}")
        return str(told["metadata"]["annotations"]["deployment.kubernetes.io/revision"])

    def env(self, text: str | None = None) -> str:
        path = f"{self.core}/configmaps/{MAP}"
        if text is not None:
            data = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#")
            found = self.call_api("GET", path)
            if found.get("kind") == "ConfigMap":
                self.call_api("PUT", path, {"metadata": {"name": MAP}, "data": data})
            else:
                self.create("configmaps", {"metadata": {"name": MAP}, "data": data}, "v1")
        held = self.call_api("GET", path)["data"]
        return "# flags\n" + "".join(
            f"{key}={held[key]}\n" for key in ("SECRET", "TEAM_X", "TEAM_STRICT") if key in held
        )

    def env_path(self) -> str:
        return f"ConfigMap {self.namespace}/{MAP}"

    def close(self) -> None:
        self.call_api("DELETE", f"/api/v1/namespaces/{self.namespace}")


def admin(kubeconfig: Path) -> Any:
    """Return a function that asks a cluster's API: (method, path, body, content type) to plain data, errors too."""
    import json

    from kubernetes import client, config

    configuration = client.Configuration()
    config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    pool = client.ApiClient(configuration).rest_client.pool_manager
    token = configuration.auth_settings()["BearerToken"]["value"]

    def ask(method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        headers = {"authorization": token, "content-type": kind}
        content = None if body is None else json.dumps(body).encode()
        answer = pool.request(method, configuration.host + path, body=content, headers=headers)
        told = json.loads(answer.data)
        assert answer.status < 400 or answer.status == 404, told
        return told

    return ask
