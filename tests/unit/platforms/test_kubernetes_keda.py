"""KEDA is paused while a workload rests.

The API is a fake: neither KEDA nor an object of its kind can be had in the lab (the lab's API server, of an older
Kubernetes than its compiler, ends when it is to store a custom resource). Everything else of stopping and starting is
tried on the real one in tests/unit/contract.
"""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import Refused
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms import kubernetes_scale as scale
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.kubernetes_objects import KINDS
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.kubernetes_roll import Target
from ansible_collections.dualwrite.rollback.tests.unit.platforms.patches import patched

PAUSED = "autoscaling.keda.sh/paused-replicas"


class Api:
    """Objects by their path, and patches of them; no pod runs. A path with ``refused`` in it may not be read."""

    def __init__(self) -> None:
        target = {"kind": "Deployment", "name": "web"}
        metadata = {"name": "web", "ownerReferences": [{"kind": "ScaledObject", "name": "web"}]}
        self.autoscalers = [{"metadata": metadata, "spec": {"scaleTargetRef": target}}]
        self.objects: dict[str, Any] = {}
        self.refused = ""
        self.patched: list[str] = []

    def items(self, path: str, *_: Any, **query: Any) -> list[Any]:
        return self.autoscalers if path.endswith("/horizontalpodautoscalers") else []

    def get(self, path: str, *_: Any, **query: Any) -> Any:
        if self.refused and self.refused in path:
            raise Refused("a right is missing")
        return self.objects[path]

    def patch(self, path: str, operations: list[Any], *_: Any) -> Any:
        self.patched.append(path)
        self.objects[path] = patched(self.objects[path], operations, "")
        return self.objects[path]


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def target(api: Api) -> Target:
    """A Deployment of two pods that KEDA scales."""
    made = Target(api, KINDS["Deployment"], "v1", "shop", "web")  # type: ignore[arg-type]
    api.objects[made.path] = {"metadata": {"name": "web", "resourceVersion": "1"}, "spec": {"replicas": 2}}
    return made


def scaled(api: Api, **annotations: str) -> str:
    path = "/apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects/web"
    api.objects[path] = {
        "metadata": {"name": "web", "resourceVersion": "1", "annotations": {"team": "a", **annotations}}
    }
    return path


def test_it_is_paused_before_the_pods_end_and_goes_on_when_they_are_started(
    api: Api, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = scaled(api)
    state = scale.stop(target, Deadline(5))
    assert api.patched == [path, target.path]
    assert api.objects[path]["metadata"]["annotations"][PAUSED] == "0"
    assert api.objects[target.path]["spec"]["replicas"] == 0
    monkeypatch.setattr(Target, "wait", lambda *_: None)
    scale.start(target, state, Deadline(5), 5, 0)
    assert api.objects[path]["metadata"]["annotations"] == {"team": "a"}
    assert api.objects[target.path]["spec"]["replicas"] == 2


def test_what_somebody_else_has_paused_stays_paused(api: Api, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    path = scaled(api, **{PAUSED: "1"})
    state = scale.stop(target, Deadline(5))
    monkeypatch.setattr(Target, "wait", lambda *_: None)
    scale.start(target, state, Deadline(5), 5, 0)
    assert api.objects[path]["metadata"]["annotations"] == {"team": "a", PAUSED: "1"}


def test_without_the_right_to_pause_it_nothing_is_stopped(api: Api, target: Target) -> None:
    scaled(api)
    api.refused = "scaledobjects"
    with pytest.raises(Refused):
        scale.stop(target, Deadline(5))
    assert api.objects[target.path]["spec"]["replicas"] == 2
