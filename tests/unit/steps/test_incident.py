"""The incident log, contacts at the opening, and a verification's verdict on the run before it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import NotFound, Refused
from ansible_collections.dualwrite.rollback.plugins.module_utils.run.controller import identity
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.run_record import run_record

from .conftest import FLAG, PASSED, ROLLED, TEMPLATES

BEGAN = "2026-11-23T10:30:02.000Z"
BEFORE = "2026-11-23T09:00:00.000Z"


@pytest.fixture
def reports(tmp_path):
    return tmp_path / "reports"


def opened(reports, **more):
    base = {"state": "opened", "reports": str(reports), "environment": "staging", "scenario": "x", "budget": 300}
    return run_record({**base, "hosts": ["web-1"], "controller": identity(os.getpid()), **more})


def verify(reports, *instances, evidence=None, drift=False, **more):
    """Look after the last run, where these instances (id, started) run now, and return how that ended."""
    path = opened(reports, scenario="verify", verifies="last", **more)["path"]
    found = [{"workload": "web", "id": one, "name": one, "started": at, "flags": {}} for one, at in instances]
    add = {"state": "added", "path": path, "host": "web-1"}
    run_record({**add, "phase": "read", "data": {"instances": found, "drift": drift, "summary": "3 flags read"}})
    run_record({**add, "phase": "verify", "data": {**PASSED, "evidence": evidence or PASSED["evidence"]}})
    return run_record({"state": "closed", "path": path, "default_template_dir": TEMPLATES})


def item(closed, key):
    return next(one for one in closed["checklist"] if one["key"] == key)


def test_each_run_has_one_line_in_the_incident_log(run, reports):
    paths = [run(reason="a | b", ticket="INC-1"), run()]
    run_record({"state": "closed", "path": paths[0], "default_template_dir": TEMPLATES})
    told = [json.loads(line) for line in (reports / "staging" / "incidents.jsonl").read_text().splitlines()]
    assert [(one["run_id"], one["flags"], one["ticket"]) for one in told] == [
        (os.path.basename(paths[0]), {FLAG: "false"}, "INC-1"),
        (os.path.basename(paths[1]), {FLAG: "false"}, None),
    ]
    rows = (reports / "staging" / "incidents.md").read_text().splitlines()
    assert [row.split("|")[-2].strip(" `") for row in rows[4:]] == [os.path.basename(path) for path in paths]
    assert "[x] **Incident log updated" in (Path(paths[0]) / "incident.md").read_text()


def test_two_runs_that_end_at_once_tear_nothing(reports):
    reports.mkdir()
    log = reports / "incidents.jsonl"
    log.write_text('{"torn by a cra')
    source = (
        "import sys\n"
        "from ansible_collections.dualwrite.rollback.plugins.module_utils.run import incident_log\n"
        "for number in range(20):\n"
        "    entry = {'run_id': f'{sys.argv[2]}-{number}', 'event': 'closed', 'flags': {}, 'at': '', 'spent': 1}\n"
        "    entry.update(dict.fromkeys(('environment', 'action', 'outcome', 'operator', 'ticket'), 'x' * 200))\n"
        "    incident_log.append(sys.argv[1], entry)\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [subprocess.Popen([sys.executable, "-c", source, str(log), name], env=environ) for name in "abc"]
    assert [one.wait(60) for one in writers] == [0, 0, 0]
    torn, *lines = log.read_text().splitlines()
    assert torn == '{"torn by a cra'
    assert len({json.loads(line)["run_id"] for line in lines}) == len(lines) == 60
    assert len((reports / "incidents.md").read_text().splitlines()) == 64


def test_a_log_that_cannot_be_written_fails_no_run_and_is_told(run, tmp_path):
    (tmp_path / "file").write_text("")
    path = run(closed=False, incident_log=str(tmp_path / "file" / "log.jsonl"))
    closed = run_record({"state": "closed", "path": path, "default_template_dir": TEMPLATES})
    assert closed["ok"] is True
    assert closed["warnings"][0].startswith("the incident log was not written: ")
    assert "[ ] **Incident log updated" in (Path(path) / "incident.md").read_text()


# -- contacts --------------------------------------------------------------------------------------------------------

PLACEHOLDER = {"engineering_manager": {"name": "Eve", "reach": "Phone: xxx-xxx-xxxx"}}
CONFIRMED = {"protected": True, "confirm": "staging", "reason": "r", "ticket": "t"}


def test_a_placeholder_in_a_protected_environment_is_told_and_stops_no_emergency(reports):
    told = opened(reports, contacts=PLACEHOLDER, **CONFIRMED)
    sentence = "the contact 'engineering_manager' is a placeholder: 'Phone: xxx-xxx-xxxx' reaches nobody"
    assert told["warnings"] == [sentence]
    assert f'"text": "{sentence}"' in (Path(told["path"]) / "record.jsonl").read_text().replace('":"', '": "')
    assert "warnings" not in opened(reports, contacts=PLACEHOLDER)


def test_what_may_be_refused_is_refused_for_it(reports):
    with pytest.raises(Refused, match="is a placeholder"):
        opened(reports, contacts=PLACEHOLDER, required=True, **CONFIRMED)
    assert not reports.exists()


# -- the checklist of an earlier run ---------------------------------------------------------------------------------


def test_a_verification_without_a_run_before_it_is_refused(reports):
    with pytest.raises(NotFound, match="no run that did something of the environment 'staging' is recorded"):
        opened(reports, verifies="last")
    with pytest.raises(NotFound, match="no run '2026-x' of the environment"):
        opened(reports, verifies="2026-x")


def test_it_looks_after_the_last_run_that_did_something(run, reports):
    run()
    last = run()
    opened(reports, scenario="verify", verifies="last")
    found = opened(reports, scenario="verify", verifies="last")["verifies"]
    assert (found["run_id"], found["scenario"]) == (os.path.basename(last), "disable_dual_write")
    assert found["flags"] == {FLAG: False}
    assert found["hosts"] == {"web-1": {"rolled": ROLLED["roll_started"], "instances": ["1:1"]}}


def test_every_item_has_an_answer_evidence_or_an_owner(run, reports):
    run()
    contacts = {"on_call_engineer": {"name": "Ann", "reach": "Slack @ann"}}
    evidence = [
        {"probe": "every process", "kind": "process_env", "answer": "pass", "detail": "all 1 instances hold it"},
        {"probe": "error rate", "kind": "metric", "answer": "pass", "detail": "the metric is 0"},
    ]
    closed = verify(reports, ("1:1", BEFORE), ("2:2", BEGAN), evidence=evidence, contacts=contacts)
    assert {one["key"]: one["state"] for one in closed["checklist"]} == {
        "flags": "pass",
        "instances": "pass",
        "quiet": "human",
        "requests": "human",
        "errors": "pass",
        "performance": "human",
        "incident_log": "pass",
        "notify": "human",
    }
    assert item(closed, "quiet")["owner"] == "on call engineer Ann (Slack @ann)"
    assert closed["ok"] is True
    assert any("error rate: the metric is 0" in line for line in closed["lines"])


def test_an_instance_from_before_the_roll_fails_the_run(run, reports):
    run()
    closed = verify(reports, ("1:1", BEFORE), ("7:7", BEFORE))
    assert item(closed, "instances")["why"] == (
        f"web-1: 1 of 2 instances are older than the roll of {ROLLED['roll_started']}: web 7:7 of {BEFORE}"
    )
    assert closed["ok"] is False
    assert "Instances hold the new values (restarted or reloaded): fail" in closed["failed_hosts"]["web-1"]


@pytest.mark.parametrize(("answer", "state"), [("fail", "fail"), ("unknown", "unknown"), ("error", "unknown")])
def test_what_does_not_pass_never_passes(run, reports, answer, state):
    run()
    evidence = [
        {"probe": "p95 latency is no higher", "kind": "metric", "answer": answer, "detail": "the metric is NaN"}
    ]
    closed = verify(reports, ("1:1", BEFORE), evidence=evidence)
    assert item(closed, "performance")["state"] == state
    assert closed["ok"] is False


def test_a_declaration_that_says_otherwise_fails(run, reports):
    run()
    evidence = [{"probe": "every process", "kind": "process_env", "answer": "pass"}]
    closed = verify(reports, ("1:1", BEFORE), evidence=evidence, drift=True)
    assert item(closed, "flags")["state"] == "fail"


def test_a_line_that_is_missing_in_the_incident_log_fails(run, reports):
    run()
    (reports / "staging" / "incidents.jsonl").unlink()
    assert item(verify(reports, ("1:1", BEFORE)), "incident_log")["state"] == "fail"
