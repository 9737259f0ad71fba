"""The decision matrix, and one plan of all symptoms that are there."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput
from ansible_collections.dualwrite.rollback.plugins.module_utils.triage.matrix import MATRIX, complete
from ansible_collections.dualwrite.rollback.plugins.module_utils.triage.plan import Step, make_plan

ROW = {"symptom": "paid_twice", "urgency": "immediate", "steps": [{"scenario": "block_legacy_writes"}]}


def plan(*present: str, own: Any = ()) -> list[Step]:
    return make_plan(complete(own), present)


def named(steps: list[Step]) -> list[str]:
    return [step.scenario or step.person.split(",")[0] for step in steps]


def test_the_page_s_seven_rows_in_its_words() -> None:
    """The runbook's decision matrix, row by row: what is done and how urgent it is."""
    assert [(row.urgency, [move.scenario or "person" for move in row.moves]) for row in MATRIX] == [
        ("immediate", ["disable_strict_mode", "disable_dual_write"]),
        ("high", ["disable_dual_write"]),
        ("high", ["disable_dual_write", "person"]),
        ("medium", ["disable_dual_write", "person", "enable_dual_write"]),
        ("medium", ["person"]),
        ("low", ["person"]),
        ("low", ["cleanup_test_data"]),
    ]


def test_failing_requests_are_looked_at_again_before_dual_write_comes_off() -> None:
    first, second = plan("requests_failing")
    assert (first.scenario, first.look_again, first.runs) == ("disable_strict_mode", [], True)
    assert (second.scenario, second.look_again, second.runs) == ("disable_dual_write", ["requests_failing"], True)


def test_no_step_stands_twice_and_what_another_covers_is_left_out() -> None:
    """Slow requests want dual-write off in any case: strict mode says nothing more then, one roll is enough."""
    [only] = plan("latency_degraded", "requests_failing")
    assert (only.scenario, only.look_again, only.urgency) == ("disable_dual_write", [], "immediate")
    assert sorted(only.symptoms) == ["latency_degraded", "requests_failing"]
    assert len(only.reasons) == 2


def test_everything_at_once_is_one_plan_the_most_urgent_first_and_the_way_back_last() -> None:
    steps = plan(*(row.symptom for row in MATRIX))
    assert named(steps) == [
        "disable_dual_write",
        "Find out which model is right",
        "Clean up the duplicate mappings",
        "Find the root cause",
        "Watch the number of failures",
        "cleanup_test_data",
        "enable_dual_write",
    ]
    assert [step.runs for step in steps] == [True, *[False] * 6]


def test_what_comes_after_a_person_s_work_is_never_run_by_itself() -> None:
    own = [{**ROW, "steps": [{"person": "Call the bank"}, {"scenario": "disable_dual_write"}]}]
    assert [step.runs for step in plan("paid_twice", own=own)] == [False, False]
    assert [step.runs for step in plan("paid_twice", "latency_degraded", own=own) if step.scenario] == [True]


def test_a_row_of_one_s_own_is_added_or_takes_the_place_of_a_shipped_one() -> None:
    assert named(plan("paid_twice", own=[ROW])) == ["block_legacy_writes"]
    own = [{"symptom": "latency_degraded", "urgency": "low", "steps": [{"person": "Add machines"}]}]
    assert [(step.person, step.urgency) for step in plan("latency_degraded", own=own)] == [("Add machines", "low")]
    assert len(complete(own)) == len(MATRIX)


def test_blocked_legacy_writes_cover_dual_write_off() -> None:
    assert named(plan("paid_twice", "requests_failing", "latency_degraded", own=[ROW])) == ["block_legacy_writes"]


def test_nothing_is_there_and_nothing_is_to_be_done() -> None:
    assert plan() == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"symptom": "Paid twice"}, "row 1: 'Paid twice' is no name of a symptom"),
        ({"urgency": "soon"}, "there is no urgency 'soon'. Give one of immediate, high, medium, low"),
        ({"steps": []}, "row 1 .paid_twice.: it says of no step what to do"),
        (
            {"steps": [{"scenario": "drop_database"}]},
            "there is no scenario 'drop_database'. Scenarios are: disable_dual",
        ),
        ({"steps": [{"scenario": "disable_dual_write", "person": "me"}]}, "either a scenario or what a person does"),
        ({"steps": [{}]}, "either a scenario or what a person does"),
    ],
)
def test_a_wrong_row_is_one_sentence(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        complete([{**ROW, **change}])


def test_two_rows_of_one_symptom_are_refused() -> None:
    with pytest.raises(InvalidInput, match="'paid_twice' has two rows. Put all its steps into one"):
        complete([ROW, ROW])
