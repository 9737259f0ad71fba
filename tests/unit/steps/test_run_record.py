"""A run's life: opened behind its guard, added to, killed, taken over, closed, verified."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    InvalidInput,
    NotFound,
    Refused,
    Unreachable,
    VerificationFailed,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.run.controller import identity, is_gone
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.run_record import run_record

TEMPLATES = str(Path(__file__).resolve().parents[3] / "roles" / "report" / "templates")
PASSED = {"changed": False, "answers": {"pass": 2}, "evidence": [{"probe": "health", "kind": "http", "answer": "pass"}]}
ROLLED = {"changed": True, "summary": "false held by 5 of 5 instances", "rolled": {"web": "reload"}}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def call(state, check=False, **params):
        base = {"state": state, "budget": 300, "reports": str(tmp_path / "reports"), "default_template_dir": TEMPLATES}
        if state == "opened":
            base = {"environment": "staging", "scenario": "rollback", "hosts": ["web-1"], "operator": "ann", **base}
            base["controller"] = identity(os.getpid())
        return run_record({**base, **params}, check=check)

    return call


def entries_of(path):
    return [json.loads(line) for line in (Path(path) / "record.jsonl").read_text().splitlines()]


def test_a_run_from_open_to_report(run):
    opened = run("opened", reason="500s", ticket="INC-1")
    assert (opened["resumes"], opened["fallback"], opened["changed"]) == ([], False, True)
    run("added", path=opened["path"], phase="flag", host="web-1", data=ROLLED)
    run("added", path=opened["path"], phase="verify", host="web-1", data=PASSED)
    closed = run("closed", path=opened["path"])
    assert (closed["ok"], closed["outcome"], closed["hosts"]) == (True, "proved", {"web-1": "done"})
    assert closed["failed_hosts"] == {}
    assert closed["summary"].startswith("Done and proved on every host (1 of 1), ")
    assert closed["head"] in Path(closed["files"]["incident.md"]).read_text()
    verified = run("verified", path=opened["path"])
    assert (verified["head"], verified["entries"], verified["closed"]) == (closed["head"], 4, True)


def test_closing_twice_writes_one_end(run):
    opened = run("opened")
    first = run("closed", path=opened["path"])
    assert run("closed", path=opened["path"])["head"] == first["head"]


def test_a_report_can_be_made_again_from_the_record_alone(run):
    opened = run("opened")
    closed = run("closed", path=opened["path"])
    page = Path(closed["files"]["incident.html"])
    before = page.read_text()
    page.unlink()
    assert run("reported", path=opened["path"] + "/record.jsonl")["head"] == closed["head"]
    assert page.read_text() == before


def test_a_broken_template_of_ones_own_does_not_cost_the_report(run, tmp_path):
    (tmp_path / "incident.md.j2").write_text("{% endfor %}")
    opened = run("opened")
    closed = run("closed", path=opened["path"], template_dir=str(tmp_path))
    assert "Verification Checklist" in Path(closed["files"]["incident.md"]).read_text()
    assert "incident.md.j2:1" in closed["warnings"][0]
    with pytest.raises(InvalidInput, match="incident.md.j2:1"):
        run("reported", path=opened["path"], template_dir=str(tmp_path))


def test_a_protected_environment_says_the_exact_words_that_are_missing(run, tmp_path):
    with pytest.raises(Refused) as caught:
        run("opened", environment="production", protected=True)
    assert str(caught.value).endswith(
        "Nothing was changed. Run the same command again with -e dualwrite_confirm=production "
        "-e dualwrite_reason='why this is done' -e dualwrite_ticket=TICKET-123."
    )
    with pytest.raises(Refused, match="again with -e dualwrite_confirm=production[.]$"):
        run("opened", environment="production", protected=True, confirm="staging", reason="r", ticket="t")
    assert not (tmp_path / "reports").exists()
    given = {"confirm": "production", "reason": "r", "ticket": "t"}
    assert run("opened", environment="production", protected=True, **given)["path"]


def test_check_mode_needs_no_confirmation_and_leaves_nothing(run, tmp_path):
    opened = run("opened", check=True, environment="production", protected=True)
    assert (opened["changed"], opened["path"], opened["check_mode"]) == (False, "", True)
    assert run("added", check=True, path="", phase="flag", data=ROLLED)["changed"] is False
    assert run("closed", check=True, path="")["failed_hosts"] == {}
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_report_folder_does_not_stop_an_emergency_but_is_not_forgotten(run, tmp_path):
    (tmp_path / "reports").write_text("a file where the folder should be")
    opened = run("opened")
    assert opened["fallback"] is True
    assert "the run goes on and ends non-zero" in opened["warning"]
    assert opened["path"].startswith(str(tmp_path / "home/.local/state/dualwrite/reports/staging/"))
    assert stat.S_IMODE(os.stat(opened["path"]).st_mode) == 0o700
    run("added", path=opened["path"], phase="verify", host="web-1", data=PASSED)
    closed = run("closed", path=opened["path"])
    assert (closed["ok"], closed["outcome"]) == (False, "proved")
    assert "The report folder can't be written" in closed["failed_hosts"]["web-1"]
    assert "REPORT FOLDER NOT WRITABLE" in closed["summary"]


def test_a_destructive_scenario_is_refused_without_its_record(run, tmp_path):
    (tmp_path / "reports").write_text("a file where the folder should be")
    with pytest.raises(Refused, match="may not run without its record.*set dualwrite_reports"):
        run("opened", required=True)
    assert not (tmp_path / "home").exists()


def test_even_without_a_home_there_is_a_private_place(run, tmp_path):
    for name in ("reports", "home"):
        (tmp_path / name).write_text("a file where the folder should be")
    opened = run("opened")
    assert opened["fallback"] is True
    assert stat.S_IMODE(os.stat(Path(opened["path"]).parent).st_mode) == 0o700
    subprocess.run(["rm", "-r", str(Path(opened["path"]).parent)], check=True)


def test_an_unreachable_host_is_written_down_and_becomes_a_failure(run):
    opened = run("opened", hosts=["web-1", "web-2"])
    with pytest.raises(Unreachable, match="web-1: the host was unreachable in phase 'flag': no route"):
        run("added", path=opened["path"], phase="flag", host="web-1", data={"unreachable": True, "msg": "no route"})
    closed = run("closed", path=opened["path"])
    assert closed["hosts"] == {"web-1": "unreachable", "web-2": "no_answer"}
    assert set(closed["failed_hosts"]) == {"web-1", "web-2"}


def test_what_is_wrong_with_the_path_is_one_sentence(run, tmp_path):
    with pytest.raises(NotFound, match="record.jsonl: the file does not exist"):
        run("added", path=str(tmp_path / "nothing"), phase="flag", data={}, required=True)
    with pytest.raises(InvalidInput, match="Give the path that state=opened returned"):
        run("closed", path="")
    with pytest.raises(InvalidInput, match="no slash"):
        run("opened", environment="../x")


def test_a_phase_that_cant_be_written_stops_no_run_but_keeps_it_from_ending_well(run):
    opened = run("opened", hosts=["web-1"])
    record = Path(opened["path"]) / "record.jsonl"
    kept = record.rename(record.with_suffix(".aside"))
    record.mkdir()  # root writes wherever it likes; a folder in the file's place it can't write
    added = run("added", path=opened["path"], phase="verify", host="web-1", data=PASSED)
    assert (added["recorded"], added["changed"]) == (False, False)
    assert added["summary"].startswith(f"verify NOT RECORDED: {record}")
    record.rmdir()
    kept.rename(record)
    assert run("closed", path=opened["path"])["hosts"] == {"web-1": "no_answer"}


def test_a_changed_record_is_named_by_verify_and_by_the_report(run):
    opened = run("opened")
    run("added", path=opened["path"], phase="verify", host="web-1", data=PASSED)
    run("closed", path=opened["path"])
    record = Path(opened["path"]) / "record.jsonl"
    record.write_text(record.read_text().replace('"pass":2', '"pass":3'))
    with pytest.raises(VerificationFailed, match="line 2: its content does not match its hash"):
        run("verified", path=opened["path"])
    files = run("reported", path=opened["path"])["files"]
    assert "THE RECORD WAS CHANGED AFTER IT WAS WRITTEN: line 2" in Path(files["incident.md"]).read_text()


DIES = """
import os, sys, time
from ansible_collections.dualwrite.rollback.plugins.module_utils.run.controller import identity
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.run_record import run_record
opened = run_record({"state": "opened", "environment": "staging", "scenario": "rollback", "budget": 300,
    "hosts": ["web-1"], "operator": "ann", "reports": sys.argv[1], "controller": identity(os.getpid())})
print(opened["path"], flush=True)
time.sleep(600)
"""


@pytest.fixture
def dying(tmp_path):
    import inspect

    root = inspect.getfile(run_record).partition("/ansible_collections/")[0]
    process = subprocess.Popen(
        [sys.executable, "-c", DIES, str(tmp_path / "reports")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    process.path = process.stdout.readline().strip()
    yield process
    process.kill()
    process.communicate()


def test_a_killed_run_is_found_finished_and_noted(run, dying):
    dead = Path(dying.path).name
    assert run("opened")["resumes"] == [], "a living run is nobody's to take over"
    os.kill(dying.pid, signal.SIGKILL)
    dying.wait()
    unreached = run("opened")
    assert unreached["resumes"] == [dead]
    run("closed", path=unreached["path"])
    again = run("opened")
    assert again["resumes"] == [dead], "the run that found it did not finish its host"
    run("added", path=again["path"], phase="verify", host="web-1", data=PASSED)
    run("closed", path=again["path"])
    assert run("opened")["resumes"] == []
    assert [entry["type"] for entry in entries_of(dying.path)] == ["open", "interrupted", "takeover"]
    assert entries_of(dying.path)[2]["data"]["by"] == again["run_id"]
    assert run("verified", path=dying.path)["closed"] is True


def test_gone_is_said_only_when_it_is_proven():
    me = identity(os.getpid())
    assert is_gone(me) is False
    assert is_gone({**me, "started": "1"}) is True, "the id is another process's now"
    assert is_gone({**me, "host": "elsewhere", "started": "1"}) is False
    assert is_gone({**me, "namespace": "pid:[1]", "started": "1"}) is False
    assert is_gone({**me, "boot_id": "x", "machine_id": "other"}) is False
    assert is_gone({}) is False
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert is_gone({**me, "pid": ended.pid}) is True
