"""Where a container's flag comes from, as the kubelet sees it, and what a roll waits for: functions of plain data."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.booleans import BooleanWords
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    InvalidInput,
    NotFound,
    Refused,
    Unreachable,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.redact import HIDDEN
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms import kubernetes_managers as managers
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms import kubernetes_plan as plan
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms import kubernetes_ready as ready
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.kubernetes_api import exit_code
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.kubernetes_change import shown
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.kubernetes_env import places, unreadable
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.kubernetes_objects import (
    KINDS,
    ROLL,
    selector_text,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.kubernetes_pods import alive
from ansible_collections.dualwrite.rollback.tests.unit.platforms.patches import patched

FLAG, OTHER = "TEAM_X", "TEAM_STRICT"
AT = ("containers", 0)
DATA: dict[tuple[str, str], dict[str, Any]] = {
    ("ConfigMap", "flags"): {"metadata": {"name": "flags"}, "data": {FLAG: "true", OTHER: "false"}},
    ("ConfigMap", "later"): {"metadata": {"name": "later"}, "data": {FLAG: "false"}},
    ("ConfigMap", "bare"): {"metadata": {"name": "bare"}, "data": {"X": "true"}},
    ("ConfigMap", "shop-flags-7b9kfg2h5m"): {"metadata": {"name": "shop-flags-7b9kfg2h5m"}, "data": {FLAG: "true"}},
    ("Secret", "flags"): {"metadata": {"name": "flags"}, "data": {FLAG: base64.b64encode(b"on").decode()}},
}


def lookup(kind: str, name: str) -> Any:
    return DATA.get((kind, name))


def from_map(name: str, key: str = FLAG, **more: Any) -> dict[str, Any]:
    return {"name": FLAG, "valueFrom": {"configMapKeyRef": {"name": name, "key": key, **more}}}


def all_of(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"configMapRef": {"name": name}, **more} for name in names]


@pytest.mark.parametrize(
    ("container", "values"),
    [
        ({"env": [{"name": FLAG, "value": "1"}, {"name": FLAG, "value": "0"}]}, ["1", "0"]),
        ({"envFrom": all_of("flags", "later")}, ["true", "false"]),
        ({"envFrom": all_of("later"), "env": [from_map("flags")]}, ["false", "true"]),
        ({"envFrom": all_of("bare", prefix="TEAM_")}, ["true"]),
        ({"envFrom": all_of("flags", prefix="OTHER_")}, []),
        # an optional reference that leads nowhere does not win: what is below shines through
        ({"envFrom": all_of("flags"), "env": [from_map("flags", "NONE", optional=True)]}, ["true"]),
        ({"envFrom": all_of("flags"), "env": [from_map("none", optional=True)]}, ["true"]),
        ({"env": [from_map("flags", "NONE")]}, [None]),
        ({"envFrom": [{"secretRef": {"name": "flags"}}]}, ["on"]),
        ({"env": [{"name": FLAG, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}, [None]),
        ({"env": [{"name": FLAG}]}, [""]),
    ],
)
def test_the_last_place_wins(container: dict[str, Any], values: list[str | None]) -> None:
    assert [one.value for one in places({"name": "web", **container}, AT, FLAG, lookup)] == values


def edit(container: dict[str, Any], **more: Any) -> Any:
    found = plan.carriers({"containers": [{"name": "web", **container}]}, [FLAG, OTHER], (), lookup)
    (made,) = plan.edits(found, {FLAG: "false"}, [FLAG, OTHER], lookup, **{"override": False, **more})
    return made


def test_an_edit_that_overrides_a_secret_knows_where_the_old_value_came_from() -> None:
    fixed = {"metadata": {"name": "s"}, "data": {FLAG: base64.b64encode(b"swordfish").decode()}, "immutable": True}
    spec = {"containers": [{"name": "web", "envFrom": [{"secretRef": {"name": "s"}}]}]}
    found = plan.carriers(spec, [FLAG], (), lambda *_: fixed)
    (made,) = plan.edits(found, {FLAG: "false"}, [FLAG], lambda *_: fixed, override=True)
    assert (made.source, made.was) == ("Secret", "swordfish")
    assert shown(made.source, made.was, BooleanWords()) == HIDDEN


def test_a_flag_that_is_declared_nowhere_goes_where_the_others_come_from() -> None:
    later = {**DATA[("ConfigMap", "flags")], "data": {OTHER: "false"}}
    found = plan.carriers({"containers": [{"name": "web", "envFrom": all_of("flags")}]}, [OTHER], (), lambda *_: later)
    (made,) = plan.edits(found, {FLAG: "true"}, [FLAG, OTHER], lambda *_: later, override=False)
    assert (made.kind, made.name, made.key, made.was) == ("ConfigMap", "flags", FLAG, None)
    assert isinstance(edit({}), plan.EnvEdit)


@pytest.mark.parametrize(
    ("container", "error", "sentence"),
    [
        ({"envFrom": all_of("shop-flags-7b9kfg2h5m")}, Refused, "ends with a hash of its content"),
        ({"env": [from_map("none", "X")]}, Refused, "it does not exist"),
        ({"env": [{"name": FLAG, "value": "$(OTHER)"}]}, InvalidInput, r"made out of other variables \(\$\(OTHER\)\)"),
        ({"env": [{"name": FLAG, "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}, InvalidInput, "a field of the pod"),
    ],
)
def test_what_can_not_be_edited_is_told(container: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        edit(container)


def test_a_secret_that_may_not_be_read_is_no_secret_without_the_flag() -> None:
    hidden = unreadable("s")
    entry = {"name": FLAG, "valueFrom": {"secretKeyRef": {"name": "s", "key": "K", "optional": True}}}
    for container in ({"name": "web", "envFrom": [{"secretRef": {"name": "s"}}]}, {"name": "web", "env": [entry]}):
        found = plan.carriers({"containers": [container]}, [FLAG], (), lambda *_: hidden)
        with pytest.raises(Refused, match="Secret s|may not be read with these rights"):
            plan.edits(found, {FLAG: "false"}, [FLAG], lambda *_: hidden, override=False)
        (made,) = plan.edits(found, {FLAG: "false"}, [FLAG], lambda *_: hidden, override=True)
        assert isinstance(made, plan.EnvEdit)


def test_several_containers_and_no_flag_need_a_name() -> None:
    spec = {"containers": [{"name": "web"}, {"name": "proxy"}]}
    with pytest.raises(InvalidInput, match="declared nowhere, and there are several containers"):
        plan.edits(plan.carriers(spec, [FLAG], (), lookup), {FLAG: "false"}, [FLAG], lookup, override=False)
    assert [one[2]["name"] for one in plan.carriers(spec, [FLAG], ["proxy"], lookup)] == ["proxy"]


def test_the_patch_and_its_way_back_cancel_each_other() -> None:
    pointer = KINDS["Deployment"].pointer
    containers = [
        {"name": "web", "env": [{"name": FLAG, "value": "true"}, {"name": "A", "value": "a"}]},
        {"name": "side"},
    ]
    template = {"spec": {"containers": containers}}
    found = plan.carriers(template["spec"], [FLAG], (), lookup)
    both = [*found, ("containers", 1, containers[1])]
    made = [
        *plan.edits(both[:1], {FLAG: "false", OTHER: "true"}, [FLAG], lookup, override=False),
        *plan.edits(both[1:], {FLAG: "false", OTHER: "true"}, [], lookup, override=False),
    ]
    changed = patched(template, plan.operations(template["spec"], made, pointer), pointer())
    assert changed["spec"]["containers"][0]["env"][0] == {"name": FLAG, "value": "false"}
    assert len(changed["spec"]["containers"][1]["env"]) == 2
    back = patched(changed, plan.taken_back(changed["spec"], made, pointer), pointer())
    assert back == template


def pod(roll: str = "", *, phase: str = "Running", ending: bool = False, state: Any = None, last: Any = None) -> Any:
    metadata = {"name": "web-1", "uid": "1", "annotations": {ROLL: roll} if roll else {}}
    told = {"name": "web", "state": state or {"running": {}}, "lastState": last or {}}
    return {
        "metadata": {**metadata, **({"deletionTimestamp": "now"} if ending else {})},
        "spec": {},
        "status": {"phase": phase, "containerStatuses": [told]},
    }


@pytest.mark.parametrize(
    ("given", "runs"),
    [
        (pod(), True),
        (pod(ending=True), True),
        (pod(ending=True, state={"terminated": {"exitCode": 0}}), False),
        (pod(ending=True, state={"waiting": {}}, last={"terminated": {"exitCode": 137}}), False),
        (pod(state={"waiting": {}}, last={"terminated": {"exitCode": 137}}), True),
        (pod(ending=True, state={"waiting": {}}), True),
        (pod(phase="Failed"), False),
    ],
)
def test_a_pod_lives_until_its_containers_have_ended(given: Any, runs: bool) -> None:
    assert alive(given) is runs


def test_a_roll_is_done_when_nothing_old_runs_and_an_evicted_pod_is_nothing() -> None:
    status = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    template = {"metadata": {"annotations": {ROLL: "b"}}}
    thing = {"metadata": {"generation": 2}, "spec": {"replicas": 1, "template": template}, "status": status}
    kind = KINDS["Deployment"]
    assert ready.state(kind, thing, [pod("b"), pod("b", phase="Failed"), pod("a", phase="Failed")]).done
    assert not ready.state(kind, thing, [pod("b"), pod("a", ending=True)]).done
    assert not ready.state(kind, {**thing, "metadata": {"generation": 3}}, [pod("b")]).done


def test_selectors_are_told_as_a_query_has_them() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    told = selector_text({"matchLabels": {"app": "web"}, "matchExpressions": expressions})
    assert told == "app=web,tier in (a,b),!old"


def test_keda_is_found_behind_an_autoscaler() -> None:
    target = {"kind": "Deployment", "name": "web"}
    owner = [{"kind": "ScaledObject", "name": "web-so"}]
    label = {"scaledobject.keda.sh/name": "other-so"}
    items = [
        {"metadata": {"name": "a", "ownerReferences": owner}, "spec": {"scaleTargetRef": target}},
        {"metadata": {"name": "b"}, "spec": {"scaleTargetRef": target}},
        {"metadata": {"name": "c", "labels": label}, "spec": {"scaleTargetRef": {**target, "name": "other"}}},
    ]
    assert managers.scaled_objects(items, "Deployment", "web") == ["web-so"]
    assert managers.scaled_objects(items, "Deployment", "other") == ["other-so"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ('{"status": "Success"}', 0),
        ('{"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "3"}]}}', 3),
        ('{"status": "Failure", "message": "exec: \\"sh\\": executable file not found in $PATH"}', 127),
    ],
)
def test_the_end_of_a_command_is_what_the_last_message_says(status: str, code: int) -> None:
    assert exit_code(status, "web-1") == code


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("", Unreachable),  # cut before its end: no exit code is no success
        ('{"status": "Failure", "message": "container not found (\\"web\\")"}', NotFound),
        ('{"status": "Failure", "message": "Internal error occurred"}', Unreachable),
    ],
)
def test_a_command_whose_end_is_not_known_did_not_succeed(status: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        exit_code(status, "web-1")
