"""What the tests of Kubernetes share: objects that cost little, and the change of a flag in this very process."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.flag import set_flags
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


def until(holds: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)
