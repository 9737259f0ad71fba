"""The application in a cluster: what its processes hold, told from inside, and the rights of who operates it."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.cluster import Cluster, unavailable
from tests.lab.cluster.app import FLAGS, NAMESPACE, WEB, WORKER, ClusterApp, up
from tests.lab.waiting import wait_until
from tests.support.inside import look
from tests.support.measure import FLAG
from tests.support.operator import Operator
from tests.support.play import ROOT

LEASE = "dualwrite-staging-kubernetes"
RIGHTS = ROOT / "docs" / "kubernetes_rbac.md"


@contextlib.contextmanager
def application(name: str, folder: Path) -> Iterator[ClusterApp]:
    """Have the application in a cluster of its own; where there can be none, say why and skip (in CI: fail)."""
    reason = unavailable()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    with contextlib.ExitStack() as undo:
        cluster = Cluster(f"{name}-{os.getpid()}")
        undo.callback(cluster.down)
        made = up(cluster.up(), folder)
        undo.callback(made.down)
        yield made


class ClusterOperator(Operator):
    """Whoever operates the application, with the rights of the documentation's page."""

    def __init__(self, app: ClusterApp, clone: Path, folder: Path) -> None:
        super().__init__("staging-kubernetes", variables_of(app), clone, folder)
        self.app = app

    def locked(self) -> bool:
        """Return whether a run holds the environment's lock, a Lease."""
        return bool(self.app.kubectl("get", "lease", LEASE, "--ignore-not-found", "--output", "name"))


def variables_of(app: ClusterApp) -> dict[str, Any]:
    """Return what an inventory says of the application."""
    return {
        "deltacrown_kubeconfig": str(app.cluster.kubeconfig_of("rollback")),
        "deltacrown_url": app.url,
        "deltacrown_token_file": str(app.token_file),
        "dualwrite_database": app.postgres.variables(app.password_file),
    }


def holders(app: ClusterApp, name: str, *flags: str) -> list[str]:
    """Return what every process in a Deployment's pods holds for the flags, told from inside."""
    told = [app.kubectl("exec", pod, "--", *look(*(flags or (FLAG,)))) for pod in sorted(app.running(name))]
    return "".join(told).split()


def set_flags(app: ClusterApp, **flags: str) -> None:
    """Have every process of the application hold these flags, as an operator would: the ConfigMap, then a restart."""
    app.kubectl("patch", "configmap", FLAGS, "--patch", json.dumps({"data": flags}))
    app.kubectl("rollout", "restart", f"deployment/{WEB}", f"deployment/{WORKER}")
    for name in (WEB, WORKER):
        app.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
    new = {*app.pods(WEB), *app.pods(WORKER)}
    wait_until(lambda: app.running(WEB) | app.running(WORKER) == new, "the pods of before to end", 30)


def bind(app: ClusterApp) -> None:
    """Give the user rollback the Role of the documentation's page, and nothing else."""
    found = re.search(r"^```yaml\n(.*?)^```$", RIGHTS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert found, f"{RIGHTS} has no block of YAML"
    items = []
    for role in [one for one in yaml.safe_load_all(found[1]) if one["kind"] == "Role"]:
        name = role["metadata"]["name"]
        role["metadata"] = {"name": name, "namespace": NAMESPACE}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "rollback"}
        binding = {"kind": "RoleBinding", "metadata": role["metadata"], "subjects": [subject], "roleRef": reference}
        items += [role, {"apiVersion": role["apiVersion"], **binding}]
    assert items, f"the first block of YAML of {RIGHTS} has no Role"
    given = app.folder / "rights.json"
    given.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    app.kubectl("apply", "--filename", str(given))
