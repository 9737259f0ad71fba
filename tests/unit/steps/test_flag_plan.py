"""What is decided from values alone."""

from __future__ import annotations

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.booleans import BooleanWords
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import Refused
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.base import Change, Declared, Instance
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps import flag_plan
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.common import Reading

WORDS = BooleanWords(["True", "1"], ["False", "0"])


def reading(declared: str | None, *held: str | None, interrupted: bool = False) -> Reading:
    instances = tuple(Instance(f"{number}:1", f"worker {number}", "") for number in range(len(held)))
    effective = {one.id: {"X": raw} for one, raw in zip(instances, held)}
    return Reading({"X": Declared(declared, "file:1")}, instances, effective, interrupted)


@pytest.mark.parametrize(
    ("given", "declare", "roll", "stopped"),
    [
        (reading("False", "False", "0"), {}, False, False),
        (reading("0", "false"), {}, False, False),
        (reading("True", "True"), {"X": "False"}, True, False),
        (reading("True", "False"), {"X": "False"}, False, False),
        (reading("False", "False", "True"), {}, True, False),
        (reading("False", "False", None), {}, True, False),
        (reading("False", "no"), {}, True, False),
        (reading(None, "False"), {"X": "False"}, False, False),
        (reading("off", "False"), {"X": "False"}, False, False),
        (reading("True"), {"X": "False"}, False, True),
        (reading("False", interrupted=True), {}, True, False),
        (reading("False", "False", interrupted=True), {}, False, False),
    ],
)
def test_decide(given: Reading, declare: dict, roll: bool, stopped: bool) -> None:
    decision = flag_plan.decide(given, {"X": False}, WORDS)
    assert (dict(decision.declare), decision.roll, decision.stopped) == (declare, roll, stopped)
    assert bool(decision.reasons) is bool(declare or roll)


@pytest.mark.parametrize(
    ("declared", "wanted", "allowed", "refused"),
    [
        ({"D": "1", "S": "1"}, {"D": False}, [{"D": False, "S": False}, {"D": True}], True),
        ({"D": "1", "S": "1"}, {"D": False, "S": False}, [{"D": False, "S": False}, {"D": True}], False),
        ({"D": "1", "S": None}, {"D": False}, [{"D": False, "S": False}], True),
        ({"D": "1", "S": "eh"}, {"D": False}, [{"D": False}], False),
        ({"D": "1", "S": "eh"}, {"D": False}, [], False),
    ],
)
def test_combinations(declared: dict, wanted: dict, allowed: list, refused: bool) -> None:
    given = {"web": Reading({name: Declared(raw, "file") for name, raw in declared.items()}, (), {})}
    if not refused:
        flag_plan.require_allowed(given, wanted, allowed, WORDS)
        return
    with pytest.raises(
        Refused, match="workload 'web': the combination .* is not allowed; nothing was changed. Allowed: "
    ):
        flag_plan.require_allowed(given, wanted, allowed, WORDS)


def test_what_shares_a_file_goes_back_together() -> None:
    a, b, c = (Change(name, "", "") for name in "abc")
    plans = {"web": [a], "worker": [a, b], "beat": [b], "else": [c]}
    assert flag_plan.to_take_back(["web"], plans) == ({"a", "b"}, {"web", "worker", "beat"})
    assert flag_plan.to_take_back(["else"], plans) == ({"c"}, {"else"})
