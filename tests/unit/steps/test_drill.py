"""The bookkeeping of a drill: its guard, its plan on disk, and its entry in the ledger."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    InvalidInput,
    Refused,
    RollbackError,
    VerificationFailed,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.drill import ledger
from ansible_collections.dualwrite.rollback.plugins.module_utils.drill.plan import PLAN
from ansible_collections.dualwrite.rollback.plugins.module_utils.run.controller import identity
from ansible_collections.dualwrite.rollback.plugins.module_utils.run.record import Record
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.drill import drill
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.drill_fault import drill_fault
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.drill_status import drill_status
from ansible_collections.dualwrite.rollback.plugins.module_utils.stores.local import LocalStore

FLAGS = {"dual_write": "DUAL", "strict_mode": "STRICT"}


@pytest.fixture
def call(tmp_path):
    """Call the step with what an environment says."""
    base = {
        "environment": "staging",
        "flags": FLAGS,
        "reports": str(tmp_path / "reports"),
        "ledger": str(tmp_path / "drills"),
        "controller": identity(os.getpid()),
        "today": "2026-02-03",
        "budget": 300,
        "operator": "alice",
    }

    def step(state: str, check: bool = False, **more: Any) -> dict[str, Any]:
        return drill({**base, "state": state, **more}, check=check)

    return step


def dead() -> dict[str, Any]:
    """The identity of a process that has ended."""
    child = subprocess.Popen(["sleep", "60"])
    told = identity(child.pid)
    child.kill()
    child.wait()
    return told


def planned(call, **more: Any) -> dict[str, Any]:
    """A drill whose plan is on disk."""
    return call("planned", plan=call("opened", **more)["plan"], held={"web-1": {"DUAL": True}})["plan"]


@pytest.mark.parametrize(
    ("given", "found"),
    [("", "disable_dual_write"), ("q3", "cleanup_test_data"), ("Q4", "restore_backup"), ("disable_strict_mode",) * 2],
)
def test_the_drill_is_that_of_the_quarter_or_the_one_that_is_named(call, given, found):
    assert call("opened", drill=given)["plan"]["exercise"] == found


def test_a_drill_may_be_named_by_its_scenario_when_only_one_has_it(call):
    more = {"mine": {"scenario": "block_legacy_writes"}, "q3_too": {"quarter": 3, "scenario": "triage"}}
    assert call("opened", drill="block_legacy_writes", exercises=more)["plan"]["exercise"] == "mine"
    with pytest.raises(InvalidInput, match="cleanup_test_data and q3_too"):
        call("opened", drill="q3", exercises=more)


@pytest.mark.parametrize(
    ("exercises", "said"),
    [
        ({"mine": {"setup": []}}, "no 'setup'"),
        ({"mine": {"response": "hope"}}, "the response is 'hope'"),
        ({"mine": {"response": "await"}}, "needs probes"),
        ({"mine": {"quarter": 5}}, "no quarter 5"),
        ({"disable_dual_write": {"flags": {"turbo": True}}}, "'turbo', which the inventory does not name"),
    ],
)
def test_what_can_be_no_exercise_is_refused(call, exercises, said):
    with pytest.raises(InvalidInput, match=said):
        call("opened", exercises=exercises)


def test_a_protected_environment_wants_a_confirmation_for_the_drill_itself(call):
    given = {"protected": True, "confirm": "staging", "reason": "Q1", "ticket": "T-1"}
    with pytest.raises(Refused, match="dualwrite_confirm=staging"):
        call("opened", protected=True, drill_confirm="staging")
    with pytest.raises(Refused, match="-e dualwrite_drill_confirm=staging"):
        call("opened", **given)
    assert call("opened", **given, drill_confirm="staging")["drills"]


@pytest.mark.parametrize(
    ("instances", "drift", "said"),
    [
        ([{"flags": {"DUAL": "true"}}, {"flags": {"DUAL": "false"}}], False, "hold DUAL=false and true"),
        ([{"flags": {"DUAL": "true"}}], True, "differ"),
        ([], False, "no instance says what DUAL is"),
    ],
)
def test_instances_that_disagree_are_no_steady_state(call, instances, drift, said):
    plan = call("opened")["plan"]
    with pytest.raises(Refused, match=said):
        call(
            "held", plan=plan, read={"instances": instances, "drift": drift, "summary": "declared and effective differ"}
        )


def test_what_they_hold_is_remembered(call):
    read = {"instances": [{"flags": {"DUAL": "ON", "STRICT": None}}], "drift": False}
    words = {"true": ["on"], "false": ["off"]}
    assert call("held", plan=call("opened")["plan"], read=read, boolean_words=words)["held"] == {"DUAL": True}


def test_the_plan_is_on_disk_before_anything_is_set_up_and_gone_when_all_is_put_back(call, tmp_path):
    plan = planned(call)
    kept = json.loads((tmp_path / "reports" / "staging" / PLAN).read_text())
    assert (kept["drill_id"], kept["held"]) == (plan["drill_id"], {"web-1": {"DUAL": True}})
    with pytest.raises(Refused, match="a drill is under way"):
        call("opened")
    closed = call("closed", plan=plan, put_back=True)
    assert closed["result"] == "passed"
    assert not (tmp_path / "reports" / "staging" / PLAN).exists()
    assert ledger.read(str(tmp_path / "drills")).entries[0]["who"] == "alice"


def test_the_runs_of_a_killed_drill_are_told(call, tmp_path):
    plan = call("planned", plan=call("opened")["plan"] | {"controller": dead()}, held={})["plan"]
    runs = {"20260203T000000000Z-a": plan["drill_id"], "20260203T000001000Z-b": "", "20260203T000002000Z-c": "another"}
    for run_id, drill_id in runs.items():
        opened = {"environment": "staging", **({"drill": drill_id} if drill_id else {})}
        Record(LocalStore(str(tmp_path / "reports" / "staging" / run_id)), run_id).append("open", opened)
    assert call("opened")["left_runs"] == ["20260203T000000000Z-a"]
    assert call("opened", check=True)["left_runs"] == []


@pytest.mark.parametrize("recover", [True, False])
def test_the_runs_of_a_drill_on_another_machine_are_over_when_the_operator_says_so(call, tmp_path, recover):
    """It was killed while its scenario held the lock, and nobody can see from here that it is dead."""
    elsewhere = {**identity(os.getpid()), "host": "elsewhere"}
    plan = planned(call, controller=elsewhere)
    runs = {"20260203T000000000Z-a": plan["drill_id"], "20260203T000001000Z-b": ""}
    for run_id, drill_id in runs.items():
        opened = {"environment": "staging", "controller": elsewhere, "drill": drill_id}
        Record(LocalStore(str(tmp_path / "reports" / "staging" / run_id)), run_id).append("open", opened)
    if recover:
        assert call("opened", recover=True)["takeover_of"] == [plan["drill_id"], "20260203T000000000Z-a"]
        return
    with pytest.raises(Refused, match="from elsewhere"):
        call("opened")
    # it could not put all back and said so itself; its run may still be at it
    call("marked", plan=plan, phase="respond")
    with pytest.raises(VerificationFailed, match="NOT ALL IS PUT BACK"):
        call("closed", plan=plan, problems={"web-1": ["no route to host"]})
    assert call("opened")["takeover_of"] == [plan["drill_id"]]


def test_what_can_not_be_done_here_is_refused_alone_and_keeps_nothing_from_being_put_back(call):
    exercises = {"restore_backup": {"unusable": "nobody says how a backup is taken"}}
    with pytest.raises(Refused, match="restore_backup can't be done in the environment 'staging': nobody says how"):
        call("opened", drill="q4", exercises=exercises, check=True)
    assert call("opened", drill="q1", exercises=exercises)["drills"]
    killed = planned(call, controller=dead(), exercises=exercises)
    found = call("opened", drill="q4", exercises=exercises)
    assert (found["left"]["drill_id"], found["drills"]) == (killed["drill_id"], False)
    assert "no drill follows: nobody says how" in found["summary"]
    assert call("opened", drill="q4", exercises=exercises, recover=True)["left"]


def test_check_mode_writes_nothing(call, tmp_path):
    call("planned", check=True, plan=call("opened", check=True, protected=True)["plan"], held={})
    assert list(tmp_path.iterdir()) == []


def test_a_killed_drill_is_found_and_put_back_once(call, tmp_path):
    killed = planned(call, controller=dead())
    found = call("opened", recover=True)
    assert (found["left"]["drill_id"], found["drills"]) == (killed["drill_id"], False)
    assert killed["drill_id"] in found["takeover_of"]
    with pytest.raises(VerificationFailed, match="NOT ALL IS PUT BACK"):
        call("closed", plan=found["left"], recovered=True, problems={"web-1": ["no route to host"]})
    again = call("opened", recover=True)["left"]
    call("closed", plan=again, recovered=True, put_back=True)
    assert not (tmp_path / "reports" / "staging" / PLAN).exists()
    assert [one["result"] for one in ledger.read(str(tmp_path / "drills")).entries] == ["failed", "recovered"]


def test_a_recovered_drill_says_when_it_was_killed(call, tmp_path):
    killed = planned(call, controller=dead())
    assert call("closed", plan=killed, recovered=True, put_back=True)["result"] == "recovered"
    [entry] = ledger.read(str(tmp_path / "drills")).entries
    assert entry["issues"][0].startswith("killed after 'probe', recovered at 20")


def test_one_that_can_not_be_seen_to_be_dead_is_put_back_on_purpose_only(call):
    planned(call, controller={**identity(os.getpid()), "host": "elsewhere"})
    with pytest.raises(Refused, match="from elsewhere.*dualwrite_drill_recover=true"):
        call("opened")
    assert call("opened", recover=True)["left"]


def test_one_that_can_be_seen_to_be_alive_is_never_put_back(call):
    planned(call)
    with pytest.raises(Refused, match=f"a drill is under way.*process {os.getpid()} runs"):
        call("opened", recover=True)


def test_one_that_has_ended_unheard_by_its_parent_is_not_alive(call):
    child = subprocess.Popen(["true"])
    told = identity(child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    planned(call, controller=told)
    assert call("opened", recover=True)["left"]
    child.wait()


def test_a_plan_that_can_not_be_read_stops_every_drill(call, tmp_path):
    folder = tmp_path / "reports" / "staging"
    folder.mkdir(parents=True)
    (folder / PLAN).write_text('{"drill_id": ')
    with pytest.raises(Refused, match="can't be read"):
        call("opened")


def test_a_drill_that_was_not_steady_is_in_the_ledger_as_refused(call, tmp_path):
    with pytest.raises(VerificationFailed, match="ends as 'refused': web-1: p95 is 3 s"):
        call("closed", plan=call("opened")["plan"], refused=True, put_back=True, problems={"web-1": ["p95 is 3 s"]})
    assert ledger.read(str(tmp_path / "drills")).entries[0]["result"] == "refused"


def test_a_drill_that_was_late_has_passed_with_an_issue(call):
    exercises = {"disable_dual_write": {"budgets": {"probe": 0.000001, "put back": 60}}}
    plan = planned(call)
    plan["phases"][0]["seconds"] = 2.0
    closed = call("closed", plan=plan, put_back=True, exercises=exercises)
    assert closed["result"] == "issues found"
    assert closed["entry"]["issues"] == ["probe took 2.0 s of 0 s"]


def test_a_ledger_that_can_not_be_written_is_told_and_the_plan_goes(call, tmp_path):
    plan = planned(call)
    (tmp_path / "drills").write_text("a file")
    with pytest.raises(VerificationFailed, match="NOT IN THE LEDGER"):
        call("closed", plan=plan, put_back=True)
    assert not (tmp_path / "reports" / "staging" / PLAN).exists()


def test_steps_are_done_in_order_and_put_back_all_of_them(tmp_path):
    mark = tmp_path / "mark"
    steps = [
        {"name": "bad", "argv": ["false"]},
        {
            "name": "good",
            "argv": ["sh", "-c", 'echo "$WORD" > mark'],
            "chdir": str(tmp_path),
            "environment": {"WORD": "x"},
        },
    ]
    with pytest.raises(RollbackError, match="not set up: bad"):
        drill_fault({"state": "set_up", "steps": steps, "timeout": 20})
    assert not mark.exists()
    with pytest.raises(RollbackError, match="not put back: bad"):
        drill_fault({"state": "put_back", "steps": steps, "timeout": 20})
    assert mark.read_text() == "x\n"
    mark.unlink()
    assert drill_fault({"state": "set_up", "steps": steps, "timeout": 20}, check=True)["changed"] is False
    assert not mark.exists()


@pytest.mark.parametrize("step", [{"argv": "rm -rf /"}, {}, {"argv": ["true"], "sql": "SELECT 1"}, {"shell": "true"}])
def test_what_is_no_step_is_refused_before_any_is_done(tmp_path, step):
    first = {"argv": ["touch", str(tmp_path / "done")]}
    with pytest.raises(InvalidInput):
        drill_fault({"state": "set_up", "steps": [first, step], "timeout": 20})
    assert not (tmp_path / "done").exists()


def test_strict_fails_what_is_overdue_after_the_page_is_written(tmp_path):
    page = tmp_path / "new" / "drills.html"
    given = {"ledger": str(tmp_path / "drills"), "environments": ["staging"], "page": str(page), "today": "2026-05-01"}
    told = drill_status(given)
    assert told["summary"] == "0 drills, 4 overdue"
    assert told["lines"][0] == "OVERDUE  staging  Q1 disable_dual_write: never passed, never passed"
    assert page.exists()
    assert drill_status(given)["changed"] is False
    with pytest.raises(VerificationFailed, match="4 overdue: disable_dual_write in staging"):
        drill_status({**given, "strict": True})
    with pytest.raises(InvalidInput, match="is no day"):
        drill_status({**given, "today": "yesterday"})
