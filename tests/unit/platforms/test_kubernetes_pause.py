"""What pausing a manager takes, from what its object says; that it works is tried on a real API server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms import kubernetes_pause as pause
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.kubernetes_managers import (
    Manager,
    that_sync,
)
from ansible_collections.dualwrite.rollback.tests.unit.platforms.patches import patched

ARGO = Manager("Argo CD (application shop)", "argoproj.io", "applications", "argocd", "shop")
FLUX = Manager("the Flux HelmRelease 'shop'", "helm.toolkit.fluxcd.io", "helmreleases", "shop", "shop")
HEALING = {"automated": {"selfHeal": True}}
OFF, ON = {"X of web": (True, False)}, {"X of web": (False, True)}


def thing(spec: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "shop", "resourceVersion": "1"}, "spec": spec}


def after(manager: Manager, now: dict[str, Any], *steps: pause.Edits) -> dict[str, Any]:
    for edits in steps:
        now = patched(now, pause.operations(manager, now, edits), "")
    return now


@pytest.mark.parametrize(
    ("manager", "spec", "paused"),
    [
        (ARGO, {"syncPolicy": {**HEALING, "retry": {"limit": 1}}}, {"syncPolicy": {"retry": {"limit": 1}}}),
        (ARGO, {"syncPolicy": {"automated": {}}}, {"syncPolicy": {}}),
        (FLUX, {"interval": "5m"}, {"interval": "5m", "suspend": True}),
    ],
)
def test_paused_while_a_value_differs_and_as_before_when_it_is_back(
    manager: Manager, spec: dict[str, Any], paused: dict[str, Any]
) -> None:
    now = after(manager, thing(spec), OFF)
    assert now["spec"] == paused
    assert pause.operations(manager, now, OFF) == [], "the same again is nothing to do"
    now = after(manager, now, ON)
    assert now["spec"] == spec
    assert now["metadata"].get("annotations") in (None, {})


@pytest.mark.parametrize(
    ("manager", "spec"),
    [
        (ARGO, {}),
        (ARGO, {"syncPolicy": {"retry": {"limit": 1}}}),
        (ARGO, {"syncPolicy": {"automated": {"enabled": False, "selfHeal": True}}}),
        (FLUX, {"suspend": True}),
    ],
)
def test_one_that_does_not_sync_by_itself_is_left_alone(manager: Manager, spec: dict[str, Any]) -> None:
    assert pause.operations(manager, thing(spec), OFF) == []
    assert pause.operations(manager, thing(spec), ON) == []


def test_of_two_values_both_have_to_be_back() -> None:
    two = {"X of web": (True, False), "Y of web": (False, True)}
    now = after(FLUX, thing({}), two, ON)
    assert now["spec"] == {"suspend": True}
    assert json.loads(now["metadata"]["annotations"]["dualwrite.rollback/paused"])["former"] == {"Y of web": False}
    assert after(FLUX, now, {"Y of web": (True, False)})["spec"] == {}


def test_a_value_that_was_no_word_for_true_or_false_never_comes_back_by_itself() -> None:
    now = after(FLUX, thing({}), {"X of web": (None, False)}, ON, OFF)
    assert now["spec"] == {"suspend": True}


@pytest.mark.parametrize("noted", ["", "[]", "{", '{"former": 1}'])
def test_what_is_written_there_and_is_not_ours_counts_for_nothing(noted: str) -> None:
    now = {**thing({"suspend": True}), "metadata": {"annotations": {"dualwrite.rollback/paused": noted}}}
    assert pause.remembered(FLUX, now) is None
    assert pause.operations(FLUX, now, ON) == []


@pytest.mark.parametrize(
    ("annotations", "labels", "found"),
    [
        ({"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:ns/web"}, {}, [("argocd", "shop")]),
        ({"argocd.argoproj.io/tracking-id": "team-a_shop:apps/Deployment:ns/web"}, {}, [("team-a", "shop")]),
        ({}, {"argocd.argoproj.io/instance": "shop"}, [("argocd", "shop")]),
        ({}, {"app.kubernetes.io/instance": "shop"}, []),
        ({}, {"kustomize.toolkit.fluxcd.io/name": "a", "kustomize.toolkit.fluxcd.io/namespace": "b"}, [("b", "a")]),
    ],
)
def test_where_a_manager_is(annotations: dict[str, str], labels: dict[str, str], found: list[tuple[str, str]]) -> None:
    kept = {"metadata": {"name": "web", "namespace": "shop", "labels": labels, "annotations": annotations}}
    assert [(one.namespace, one.name) for one in that_sync(kept, "argocd")] == found
