"""From symptoms to a plan, and through it, on the lab under traffic."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import parts, processes
from tests.lab.lab import Lab
from tests.lab.waiting import wait_until
from tests.support.measure import FLAG, PROCESSES, STRICT, State, figures
from tests.support.play import Ended, call, environ, newest_run

BRISK = {"dualwrite_hold": 1, "dualwrite_verify_timeout": 15, "dualwrite_look_again": 5, "dualwrite_symptom_window": 4}
Run = Callable[..., Ended]


@pytest.fixture
def run(lab: Lab, reports: Path) -> Run:
    """Run triage as an operator does."""

    def playbook(*more: str, **variables: Any) -> Ended:
        argv = ["ansible-playbook", "triage.yml", "-i", "lab", "-e", json.dumps({**BRISK, **variables}), *more]
        return call(argv, reports, environ(reports, DUALWRITE_LAB=str(lab.dir)))

    return playbook


def flags(lab: Lab) -> set[tuple[str, str]]:
    """Return what the processes hold: (dual-write, strict mode), each pair once."""
    found = lab.instances()
    assert len(found) == PROCESSES
    return {(one["flags"][FLAG], one["flags"][STRICT]) for one in found}


def fail(lab: Lab) -> None:
    """Let the legacy side fail, and wait until requests fail of it."""
    lab.break_legacy()
    wait_until(lambda: lab.request("POST", "/api/vnext/teams/create/", {"name": "fails"})[0] == 500, "requests to fail")


def test_the_plan_is_shown_with_its_evidence_and_nothing_is_changed(lab, strict, run, reports):
    fail(lab)
    before = State.of(lab)
    ended = run(dualwrite_symptoms="test_data_left")
    assert ended.rc == 0, ended.text
    lines = [line.strip() for line in ended.lines()]
    assert "1. [immediate] disable_strict_mode" in lines
    assert "2. [immediate] disable_dual_write, only if there is still requests_failing" in lines
    assert any(line.startswith("PRESENT  requests_failing (measured)") for line in lines)
    assert any(line.startswith("seen: 'no request fails, by the web log' (lab, ") for line in lines)
    assert any(line.startswith("PRESENT  test_data_left (stated") for line in lines)
    assert any(line.startswith("$ ansible-playbook dualwrite.rollback.disable_strict_mode -i lab ") for line in lines)
    assert State.of(lab) == before
    assert newest_run(reports) is None


def test_executed_it_drops_strict_mode_looks_again_and_leaves_dual_write_on(lab, strict, run):
    fail(lab)
    ended = run(dualwrite_execute="true", dualwrite_environment_symptoms=[])
    assert ended.rc == 0, ended.text
    assert flags(lab) == {("true", "false")}
    assert ended.closed()["outcome"] == "proved"
    assert ended.entries()[0]["data"]["reason"] == "triage: requests_failing"
    after = ended.moment("flag", "roll_ended")
    wait_until(lambda: lab.traffic_summary(since=after)["sent"] > 20, "more traffic")
    assert lab.traffic_summary(since=after)["failed"] == 0
    figures(triage_executed=ended.took)


def test_what_a_person_has_to_heal_is_left_to_a_person_and_is_no_failure(lab, strict, run):
    """The models differ for good once dual-write has failed: it is switched off, the difference stays."""
    fail(lab)
    before = {"name": "as many here as there", "kind": "sql", "query": "SELECT 1", "equals": 2}
    symptom = {"symptom": "data_inconsistent", "probes": [before]}
    ended = run(dualwrite_execute=True, dualwrite_host_symptoms=[], dualwrite_environment_symptoms=[symptom])
    assert ended.rc == 0, ended.text
    assert {pair[0] for pair in flags(lab)} == {"false"}


def test_requests_that_still_fail_switch_dual_write_off_and_what_is_left_is_told(lab, strict, run):
    """The symptom is one that no scenario can heal: every line of the log is taken for a failed request."""
    seen = {"name": "nothing is served", "kind": "log", "paths": [str(lab.paths.log_dir / "web.log")]}
    symptom = {"symptom": "requests_failing", "probes": [{**seen, "pattern": "request_served"}]}
    ended = run(dualwrite_execute=True, dualwrite_host_symptoms=[symptom], dualwrite_environment_symptoms=[])
    assert ended.rc != 0
    assert flags(lab) == {("false", "false")}
    assert "Still there: requests_failing." in ended.text


def test_a_stated_symptom_that_nothing_measures_gets_its_first_step_only(lab, strict, run):
    ended = run(
        dualwrite_execute=True,
        dualwrite_symptoms=["requests_failing"],
        dualwrite_host_symptoms=[],
        dualwrite_environment_symptoms=[],
    )
    assert ended.rc != 0
    assert flags(lab) == {("true", "false")}
    assert (
        "disable_dual_write was not run, because nothing measures whether requests_failing is still there" in ended.text
    )


@pytest.mark.parametrize("given", ["sadness", "requests_failing; rm -rf /"])
def test_an_answer_that_is_no_symptom_is_refused(lab, run, given):
    before = State.of(lab)
    ended = run(dualwrite_execute=True, dualwrite_symptoms=given)
    assert ended.rc != 0
    assert "there is no symptom" in ended.text
    assert "Traceback" not in ended.text
    assert State.of(lab) == before


def alert(environment: str = "lab") -> dict[str, str]:
    """Return what a rulebook hands to the playbook."""
    return {"symptom": "requests_failing", "environment": environment}


def metric(lab: Lab, query: str) -> dict[str, Any]:
    """Return the symptom of failing requests, by one query."""
    probe = {"name": "few fail", "kind": "metric", "url": lab.state["prometheus"]["url"], "query": query, "max": 0.01}
    return {"symptom": "requests_failing", "probes": [probe]}


@pytest.fixture
def killed_prometheus(lab: Lab) -> Iterator[None]:
    """Prometheus is killed, and comes back after the test."""
    process = parts.running(lab.paths, "prometheus")
    if process is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("prometheus is not installed")
    url = lab.state["prometheus"]["url"]
    processes.end([process], signal.SIGKILL)
    yield
    parts.start_prometheus(lab.paths, int(url.rpartition(":")[2]), int(lab.url.rpartition(":")[2]))
    wait_until(lambda: (parts.get(f"{url}/-/ready") or (0,))[0] == 200, "Prometheus to be back")


def test_with_prometheus_killed_an_alert_is_not_known_and_nothing_is_run(lab, run, killed_prometheus, reports):
    before, newest = State.of(lab), newest_run(reports)
    ended = run(
        dualwrite_execute=True,
        dualwrite_alert=alert(),
        dualwrite_host_symptoms=[],
        dualwrite_environment_symptoms=[metric(lab, "up")],
    )
    assert ended.rc != 0
    assert any(line.strip().startswith("UNKNOWN  requests_failing (alerted)") for line in ended.lines())
    assert any(line.strip().startswith("no answer: 'few fail'") for line in ended.lines())
    assert "Not known: requests_failing." in ended.text
    assert (State.of(lab), newest_run(reports)) == (before, newest)


def test_a_metric_that_is_no_number_is_not_known_and_nothing_is_run(lab, run, reports):
    """0 / 0 is what a share of requests is when there are none."""
    before, newest = State.of(lab), newest_run(reports)
    symptom = metric(lab, "vector(0) / vector(0)")
    ended = run(dualwrite_execute=True, dualwrite_host_symptoms=[], dualwrite_environment_symptoms=[symptom])
    assert ended.rc != 0
    assert "the metric is NaN, which is no number" in ended.text
    assert "Not known: requests_failing." in ended.text
    assert (State.of(lab), newest_run(reports)) == (before, newest)


def test_what_was_not_known_stays_told_when_a_step_for_something_else_was_run(lab, strict, run):
    fail(lab)
    unknown = {**metric(lab, "vector(0) / vector(0)"), "symptom": "latency_degraded"}
    ended = run(dualwrite_execute=True, dualwrite_environment_symptoms=[unknown])
    assert flags(lab) == {("true", "false")}
    assert ended.closed()["outcome"] == "proved"
    assert ended.rc != 0
    assert "Not known: latency_degraded." in ended.text
    assert "Still there" not in ended.text


def test_an_alert_that_is_measured_to_be_wrong_is_told_and_nothing_is_run(lab, run, reports):
    before, newest = State.of(lab), newest_run(reports)
    ended = run(
        dualwrite_execute=True, dualwrite_alert=alert(), dualwrite_environment_symptoms=[metric(lab, "vector(0)")]
    )
    assert ended.rc == 0, ended.text
    assert "no symptom is seen; alerted, but measured to be absent: requests_failing" in ended.text
    assert (State.of(lab), newest_run(reports)) == (before, newest)


def test_an_alert_of_another_environment_is_refused(lab, run, reports):
    before, newest = State.of(lab), newest_run(reports)
    ended = run(dualwrite_execute=True, dualwrite_alert=alert("production"))
    assert ended.rc != 0
    assert "The alert is of another environment than this inventory, which is of 'lab'. Nothing was done." in ended.text
    assert (State.of(lab), newest_run(reports)) == (before, newest)


def test_what_is_stated_and_measured_to_be_absent_is_told(lab, run):
    ended = run(dualwrite_symptoms="requests_failing", dualwrite_environment_symptoms=[metric(lab, "vector(0)")])
    assert ended.rc == 0, ended.text
    assert "stated, but measured to be absent: requests_failing" in ended.text
    assert any("PRESENT  requests_failing (stated, BUT MEASURED TO BE ABSENT)" in line for line in ended.lines())
    assert "1. [immediate] disable_strict_mode" in ended.text


def test_a_protected_environment_takes_no_alert_for_a_confirmation(lab, run, reports):
    before = State.of(lab)
    ended = run(
        dualwrite_execute=True,
        dualwrite_protected=True,
        dualwrite_look_again=0,
        dualwrite_alert=alert(),
        dualwrite_reason="alert DualWriteRequestsFailing",
        dualwrite_environment_symptoms=[metric(lab, "vector(1)")],
    )
    assert ended.rc != 0
    assert "dualwrite_confirm=lab" in ended.text
    assert "Traceback" not in ended.text
    assert State.of(lab) == before
