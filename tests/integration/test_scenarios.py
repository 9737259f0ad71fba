"""The other scenarios and the ways back, on the lab under traffic: each keeps its promise by what the users see."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.lab.lab import Lab
from tests.lab.waiting import wait_until
from tests.support.measure import FLAG, LEGACY, MAP, PROCESSES, await_dual_writes, canaries, figures, restart, told
from tests.support.play import Ended, call, environ

STRICT, BLOCKED = "TEAM_VNEXT_DUAL_WRITE_STRICT_MODE", "TEAM_VNEXT_LEGACY_WRITE_BLOCKED"
FLAGS = (FLAG, STRICT, BLOCKED)
#: the way back is watched; here for a few seconds only
BRISK = {"dualwrite_hold": 1, "dualwrite_watch": 4, "dualwrite_verify_timeout": 20}

Run = Callable[..., Ended]


def holds(lab: Lab) -> dict[str, list[str]]:
    """Return what the processes of the application say that they hold, each value once, by flag."""
    told_by = lab.instances()
    assert len(told_by) == PROCESSES
    return {flag: sorted({one["flags"][flag] for one in told_by}) for flag in FLAGS}


def create(lab: Lab, model: str, name: str) -> int:
    """Create a team in one model and return the status."""
    return lab.request("POST", f"/api/{model}/teams/create/", {"name": name})[0]


@pytest.fixture
def start(lab: Lab) -> Callable[..., None]:
    """Have every process hold these flags, the legacy side in order, and the traffic served."""

    def set_all(dual: str, strict: str, blocked: str) -> None:
        lab.mend_legacy()
        lab.set_env(**{STRICT: strict, BLOCKED: blocked})
        restart(lab, dual)
        wait_until(
            lambda: (
                [one["flags"] for one in lab.instances()]
                == [{FLAG: dual, STRICT: strict, BLOCKED: blocked}] * PROCESSES
            ),
            "every process to hold the flags",
        )
        if dual == "true":
            await_dual_writes(lab, 5)

    return set_all


@pytest.fixture
def run(lab: Lab, reports: Path) -> Run:
    """Run a playbook of the collection as an operator does."""

    def playbook(name: str, *more: str, **variables: Any) -> Ended:
        given = ["-e", json.dumps({**BRISK, **variables})]
        argv = ["ansible-playbook", f"{name}.yml", "-i", "lab", *given, *more]
        return call(argv, reports, environ(reports, DUALWRITE_LAB=str(lab.dir)))

    return playbook


def passes(ended: Ended, outcome: str = "done") -> None:
    """Assert a good end that the record tells."""
    assert ended.rc == 0, ended.text
    assert ended.closed()["hosts"] == {"lab": outcome}


# --- scenario 2 -----------------------------------------------------------------------------------------------------


def test_without_strict_mode_a_failing_legacy_side_is_logged_and_costs_no_request(lab, start, run):
    start("true", "true", "false")
    lab.break_legacy()
    assert create(lab, "vnext", "while strict") == 500
    ended = run("disable_strict_mode")
    passes(ended)
    assert holds(lab) == {FLAG: ["true"], STRICT: ["false"], BLOCKED: ["false"]}
    after = ended.moment("flag", "roll_ended")
    wait_until(lambda: lab.traffic_summary(since=after)["sent"] > 20, "more traffic")
    assert lab.traffic_summary(since=after)["failed"] == 0
    assert create(lab, "vnext", "no longer strict") == 201
    logged = [
        one for one in lab.lines("web") if one["event"] == "dual_write_failed" and one["slug"] == "no-longer-strict"
    ]
    assert len(logged) == 1
    assert ended.phase("flag")["rolled"] == {"web": "reload", "worker": "restart"}
    figures(disable_strict_mode=ended.took, last_failed_request=_to_last_failure(lab, ended.called))
    passes(run("disable_strict_mode"), "unchanged")


def _to_last_failure(lab: Lab, called: datetime) -> float:
    last = lab.traffic_summary(since=called)["last_failure"]
    return (datetime.fromisoformat(last) - called).total_seconds() if last else 0.0


def test_strict_mode_comes_back(lab, start, run):
    start("true", "false", "false")
    passes(run("enable_strict_mode"))
    assert holds(lab)[STRICT] == ["true"]


def test_strict_mode_that_makes_requests_fail_is_dropped_again_by_itself(lab, start, run):
    start("true", "false", "false")
    lab.break_legacy()
    ended = run("enable_strict_mode")
    assert ended.rc != 0
    assert ended.closed()["hosts"] == {"lab": "undone"}
    said = ended.closed()["failed_hosts"]["lab"]
    assert "dual_write_failed" in said
    assert f"Taken back by itself: {STRICT}=false held by 5 of 5 instances" in said
    assert holds(lab) == {FLAG: ["true"], STRICT: ["false"], BLOCKED: ["false"]}


def test_a_way_back_that_can_not_be_gone_back_says_both(lab, start, run):
    start("true", "false", "false")
    lab.break_legacy()
    script = lab.paths.script("start-worker")
    text = script.read_text()
    head, dummy, rest = text.partition("\n")
    script.write_text(f'{head}\nif grep -q "^{STRICT}=false" {lab.paths.env_file}; then exit 3; fi\n{rest}')
    try:
        ended = run("enable_strict_mode")
    finally:
        script.write_text(text)
    assert ended.rc != 0
    said = ended.closed()["failed_hosts"]["lab"]
    assert said.startswith("NOT TAKEN BACK: ")
    assert "start-worker' ended with 3" in said
    assert holds(lab)[STRICT] == ["true"]


# --- scenario 5 -----------------------------------------------------------------------------------------------------


def test_blocked_legacy_writes_are_refused_and_vnext_works_and_all_in_one_roll(lab, start, run):
    start("true", "false", "false")
    assert create(lab, "legacy", "before the block") == 201
    ended = run("block_legacy_writes")
    passes(ended)
    assert holds(lab) == {FLAG: ["false"], STRICT: ["false"], BLOCKED: ["true"]}
    assert create(lab, "legacy", "after the block") == 409
    assert create(lab, "vnext", "after the block") == 201
    assert ended.phase("flag")["rolled"] == {"web": "reload", "worker": "restart"}
    evidence = {one["probe"]: one["answer"] for one in ended.phase("verify")["evidence"]}
    assert evidence["a legacy write is refused"] == "pass"
    assert evidence["legacy teams do not grow"] == "pass"
    counts = lab.counts()
    wait_until(lambda: lab.counts()["organizations_team"] > counts["organizations_team"] + 5, "more vNext teams")
    assert (lab.counts()[LEGACY], lab.counts()[MAP]) == (counts[LEGACY], counts[MAP])
    assert lab.traffic_summary(since=ended.called)["failed"] == 0
    figures(block_legacy_writes=ended.took)


def test_a_forbidden_combination_is_refused(lab, start, run):
    start("false", "false", "true")
    ended = run("enable_dual_write", dualwrite_accept_divergence=True)
    assert ended.rc != 0
    assert "is not allowed; nothing was changed" in ended.closed()["failed_hosts"]["lab"]
    assert holds(lab) == {FLAG: ["false"], STRICT: ["false"], BLOCKED: ["true"]}


def test_unblocked_legacy_writes_are_accepted_and_dual_write_stays_off(lab, start, run):
    start("false", "false", "true")
    ended = run("unblock_legacy_writes")
    passes(ended)
    assert holds(lab) == {FLAG: ["false"], STRICT: ["false"], BLOCKED: ["false"]}
    evidence = {one["probe"]: one["answer"] for one in ended.phase("verify")["evidence"]}
    assert (evidence["a legacy write is accepted"], evidence["the legacy team is removed"]) == ("pass", "pass")
    assert canaries(lab) == 0


# --- the way back of scenario 1 -------------------------------------------------------------------------------------


def test_dual_write_comes_on_again_only_behind_the_divergence(lab, start, run):
    start("true", "false", "false")
    off = run("rollback_dual_write")
    passes(off)
    wait_until(lambda: lab.counts()["organizations_team"] > lab.counts()[MAP] + 5, "teams that legacy does not know")

    refused = run("enable_dual_write")
    assert refused.rc != 0
    said = refused.closed()["failed_hosts"]["lab"]
    assert "vNext teams that legacy does not know" in said
    assert "-e dualwrite_accept_divergence=true" in said
    assert holds(lab)[FLAG] == ["false"]

    ended = run("enable_dual_write", dualwrite_accept_divergence=True)
    passes(ended)
    assert holds(lab) == {FLAG: ["true"], STRICT: ["false"], BLOCKED: ["false"]}
    (window,) = ended.closed()["windows"]
    assert (window["flag"], window["value"], window["run_id"]) == (FLAG, False, off.run_folder.name)
    assert datetime.fromisoformat(window["start"]) == off.moment("flag", "roll_ended")
    assert datetime.fromisoformat(window["end"]) == ended.moment("flag", "roll_ended")
    for name in ("incident.md", "incident.html"):
        text = told(ended.run_folder, name)
        assert "vNext teams that legacy does not know" in text
        assert "was false from" in text or "was <b>false</b> from" in text
    assert canaries(lab) == 0
    before = lab.counts()[MAP]
    wait_until(lambda: lab.counts()[MAP] > before + 5, "dual writes of the traffic")
    figures(enable_dual_write=ended.took)


def test_dual_write_whose_legacy_side_fails_goes_off_again_by_itself(lab, start, run):
    start("false", "false", "false")
    lab.break_legacy()
    began = datetime.now(UTC)
    ended = run("enable_dual_write", dualwrite_accept_divergence=True, dualwrite_watch=30)
    assert ended.rc != 0
    assert ended.closed()["hosts"] == {"lab": "undone"}
    assert f"Taken back by itself: {FLAG}=false held by 5 of 5" in ended.closed()["failed_hosts"]["lab"]
    assert holds(lab)[FLAG] == ["false"]
    assert lab.traffic_summary(since=began)["failed"] == 0
    assert ended.took < 30, "a failure that can't be unread does not wait for the end of the watch"
    figures(off_again_after=ended.took)


def test_check_mode_of_a_way_back_changes_nothing(lab, start, run):
    start("false", "false", "false")
    before = lab.paths.env_file.read_bytes()
    ended = run("enable_dual_write", "--check", "--diff", dualwrite_accept_divergence=True)
    assert ended.rc == 0, ended.text
    assert f"+{FLAG}=true" in ended.text
    assert lab.paths.env_file.read_bytes() == before
    assert holds(lab)[FLAG] == ["false"]


# --- status ---------------------------------------------------------------------------------------------------------


def test_status_shows_every_flag_of_every_workload_in_one_table_and_marks_drift(lab, start, run):
    start("true", "false", "false")
    calm = run("status")
    assert calm.rc == 0, calm.text
    rows = [line.split() for line in calm.lines() if line.startswith("lab ")]
    assert [(row[1], row[2], row[3], " ".join(row[4:])) for row in rows] == [
        ("web", FLAG, "true", "true x 4"),
        ("web", STRICT, "false", "false x 4"),
        ("web", BLOCKED, "false", "false x 4"),
        ("worker", FLAG, "true", "true x 1"),
        ("worker", STRICT, "false", "false x 1"),
        ("worker", BLOCKED, "false", "false x 1"),
    ]
    lab.set_env(**{FLAG: "false"})
    drifting = run("status")
    assert [line.split()[1] for line in drifting.lines() if line.endswith("DRIFT")] == ["web", "worker"]
    assert drifting.rc == 0
