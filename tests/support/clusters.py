"""The application in a cluster: what its processes hold, told from inside, and the rights of who operates it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import yaml

from tests.lab.cluster.app import NAMESPACE, ClusterApp
from tests.support.measure import FLAG
from tests.support.play import ROOT

RIGHTS = ROOT / "docs" / "kubernetes_rbac.md"
#: prints what every other process in a container holds for these flags
HOLDERS = """
import os, pathlib
for one in pathlib.Path("/proc").glob("[0-9]*/environ"):
    try:
        text = one.read_text()
    except OSError:
        continue  # it has just ended
    if one.parent.name != str(os.getpid()):
        held = dict(pair.split("=", 1) for pair in text.split("\\0") if "=" in pair)
        print(",".join(held.get(flag, "-") for flag in %r))
"""


def holders(app: ClusterApp, name: str, flags: Sequence[str] = (FLAG,)) -> list[str]:
    """Return what every process in a Deployment's pods holds for the flags, told from inside."""
    script = HOLDERS % (tuple(flags),)
    return [
        line
        for pod in sorted(app.running(name))
        for line in app.kubectl("exec", pod, "--", "python3", "-c", script).split()
    ]


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
