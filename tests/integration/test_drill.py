"""Drills on the lab under traffic: all is as before afterwards, also when the drill is killed in the middle."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.lab.lab import Lab
from tests.lab.waiting import wait_until
from tests.support.controller import Controller
from tests.support.measure import PROCESSES, await_dual_writes, canaries, figures, told
from tests.support.play import PLAYBOOKS, Ended, call, environ, newest_run

BRISK = {"dualwrite_hold": 1, "dualwrite_drill_steady_hold": 1, "dualwrite_verify_timeout": 20}
FAULT = "SELECT count(*) FROM pg_trigger WHERE tgname = 'dualwrite_drill'"
Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger in a checkout."""
    checkout = tmp_path_factory.mktemp("checkout")
    subprocess.run(["git", "init", "-q", str(checkout)], check=True)
    return checkout / "drills"


@pytest.fixture
def command(lab: Lab, reports: Path, ledger: Path) -> Callable[..., tuple[list[str], dict[str, str]]]:
    """The command of a drill and its environment."""

    def made(name: str, **variables: Any) -> tuple[list[str], dict[str, str]]:
        given = {**BRISK, "dualwrite_drill": name, **variables}
        argv = ["ansible-playbook", "drill.yml", "-i", "lab", "-e", json.dumps(given)]
        return argv, environ(reports, DUALWRITE_LAB=str(lab.dir), DUALWRITE_DRILLS=str(ledger))

    return made


@pytest.fixture
def drill(command: Callable[..., tuple[list[str], dict[str, str]]], reports: Path) -> Run:
    """Drill as an operator does."""

    def playbook(name: str, **variables: Any) -> Ended:
        argv, env = command(name, **variables)
        return call(argv, reports, env)

    return playbook


@pytest.fixture
def before(lab: Lab) -> Iterator[set[str]]:
    """What the processes hold before the drill, which is what they hold after it, with nothing left in the data."""
    held = flags(lab)
    yield held
    assert flags(lab) == held
    assert lab.sql(FAULT) == [(0,)]
    await_dual_writes(lab, 3)


def flags(lab: Lab) -> set[str]:
    """Return what the processes hold, each combination once."""
    found = lab.instances()
    assert len(found) == PROCESSES
    return {json.dumps(one["flags"], sort_keys=True) for one in found}


def newest(ledger: Path) -> dict[str, Any]:
    """Return the newest entry of the ledger."""
    return json.loads(max(ledger.glob("lab/*.json")).read_text())


def test_the_drill_of_the_first_quarter_passes_and_all_is_as_before(lab, drill, before, ledger, reports):
    ended = drill("q1", dualwrite_reason="the quarter's drill")
    assert ended.rc == 0, ended.text
    entry = newest(ledger)
    assert (entry["exercise"], entry["result"], entry["put_back"]) == ("disable_dual_write", "passed", True)
    assert [one["phase"] for one in entry["phases"]] == ["probe", "set up", "respond", "put back", "probe again"]
    assert 0 < entry["time_to_effect"] < entry["spent"] < entry["budget"]
    assert ended.closed()["hosts"] == {"lab": "done"}
    assert ended.closed()["spent"] < entry["spent"] + 1  # what came before it is no part of the run
    assert f"**This was a drill:** {entry['drill_id']}" in told(ended.run_folder, "incident.md")
    assert entry["run_id"] == ended.run_folder.name
    assert f"commit this file: {ledger}" in ended.text
    assert "disable_dual_write" in (reports / "lab" / "drills.html").read_text()
    cases = ElementTree.parse(reports / "lab" / "drills.xml").iter("testcase")
    assert {one.get("name") for one in cases if one.get("classname") == "drill.lab.disable_dual_write"} == {
        "probe", "set up", "respond", "put back", "probe again", "drill",
    }  # fmt: skip
    assert canaries(lab) == 0
    figures(drill_in_all=ended.took, response=entry["spent"], effect=entry["time_to_effect"])


def test_a_drill_that_is_killed_is_put_back_by_the_next_command(lab, command, drill, before, ledger, reports):
    argv, env = command("q2")
    known, entries = newest_run(reports), len(list(ledger.glob("lab/*.json")))
    child = subprocess.Popen(
        argv, cwd=PLAYBOOKS, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_until(lambda: newest_run(reports) != known, "the scenario to begin", seconds=90)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert lab.sql(FAULT) == [(1,)]
    assert flags(lab) != before
    ended = drill("q2", dualwrite_drill_recover=True)
    assert ended.rc == 0, ended.text
    entry = newest(ledger)
    assert (entry["exercise"], entry["result"]) == ("disable_strict_mode", "recovered")
    assert entry["issues"][0].startswith("killed after 'set up', recovered at ")
    assert drill("q2", dualwrite_drill_recover=True).rc == 0  # nothing is left, and nothing follows
    assert len(list(ledger.glob("lab/*.json"))) == entries + 1
    figures(recovery=ended.took)


def test_the_drill_of_the_third_quarter_removes_its_own_rows_only(lab, drill, before, ledger):
    teams = lab.sql("SELECT count(*) FROM organizations_team WHERE slug LIKE 'staging-test-drill-%'")
    known = lab.sql("SELECT id FROM organizations_team")
    ended = drill("q3")
    assert ended.rc == 0, ended.text
    entry = newest(ledger)
    assert (entry["exercise"], entry["result"], entry["put_back"]) == ("cleanup_test_data", "passed", True)
    assert ended.phase("cleanup")["rows"]["organizations_team"] == 20
    assert lab.sql("SELECT count(*) FROM organizations_team WHERE slug LIKE 'staging-test-drill-%'") == teams == [(0,)]
    assert set(known) <= set(lab.sql("SELECT id FROM organizations_team"))
    figures(drill_in_all=ended.took, response=entry["spent"])


@pytest.fixture
def databases(lab: Lab) -> Iterator[Callable[[], list[str]]]:
    """Tell the databases of the server; after the drill they are those of before, with no name corrupted."""

    def told_by_the_server() -> list[str]:
        with contextlib.closing(lab.postgres.connect(admin=True, database="postgres")) as link, link.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database ORDER BY 1")
            return [name for (name,) in cursor.fetchall()]

    known = told_by_the_server()
    yield told_by_the_server
    assert told_by_the_server() == known
    assert lab.sql("SELECT count(*) FROM organizations_team WHERE name LIKE 'CORRUPTED%'") == [(0,)]


def test_the_drill_of_the_fourth_quarter_restores_and_leaves_no_database(lab, drill, before, ledger, databases):
    ended = drill("q4")
    assert ended.rc == 0, ended.text
    entry = newest(ledger)
    assert (entry["exercise"], entry["result"], entry["put_back"]) == ("restore_backup", "passed", True)
    assert "restore-backup" in entry["run_id"]
    figures(drill_in_all=ended.took, response=entry["spent"])


def test_a_restore_drill_that_is_killed_behind_its_exchange_leaves_no_database(
    lab, command, drill, before, ledger, databases, reports, tmp_path
):
    argv, env = command("q4")
    one = Controller(argv, env, reports, tmp_path / "output")
    try:
        wait_until(lambda: any("_replaced_" in name for name in databases()), "the exchange", seconds=120)
    finally:
        one.kill_all()
    ended = drill("q4", dualwrite_drill_recover=True)
    assert ended.rc == 0, ended.text
    entry = newest(ledger)
    assert (entry["exercise"], entry["result"], entry["put_back"]) == ("restore_backup", "recovered", True)
    figures(recovery=ended.took)


def test_a_fault_that_somebody_else_heals_is_waited_for(lab, drill, before, ledger):
    """Somebody else is the test: it mends the legacy side, as soon as requests fail."""

    def heal() -> None:
        wait_until(
            lambda: lab.request("POST", "/api/vnext/teams/create/", {"name": "felt"})[0] == 500,
            "requests to fail",
            seconds=90,
        )
        assert not (lab.paths.run_dir / "lab.lock").exists()  # whoever is to act finds no lock
        wait_until(lambda: lab.sql("DROP TRIGGER IF EXISTS dualwrite_drill ON teams_team") == [], "the trigger to go")

    healer = Thread(target=heal)
    healer.start()
    ended = drill("alert_chain")
    healer.join()
    assert ended.rc == 0, ended.text
    entry = newest(ledger)
    assert (entry["exercise"], entry["result"], entry["run_id"]) == ("alert_chain", "passed", "")
    assert 0 < entry["time_to_effect"] < entry["spent"]
    figures(time_to_recovery=entry["time_to_effect"])


def test_without_a_steady_state_nothing_is_set_up_and_the_ledger_says_so(lab, drill, before, ledger):
    lab.set_unhealthy(True)
    try:
        ended = drill("q1", dualwrite_drill_steady_timeout=2)
    finally:
        lab.set_unhealthy(False)
    assert ended.rc != 0
    assert "ends as 'refused'" in ended.text
    assert "Traceback" not in ended.text
    assert newest(ledger)["result"] == "refused"
    assert "set up" not in [one["phase"] for one in newest(ledger)["phases"]]


def test_a_check_sets_nothing_up(lab, command, before, reports, ledger):
    argv, env = command("q2")
    entries, known = len(list(ledger.glob("lab/*.json"))), newest_run(reports)
    ended = call([*argv, "--check"], reports, env)
    assert ended.rc == 0, ended.text
    assert "nothing is set up" in ended.text
    assert len(list(ledger.glob("lab/*.json"))) == entries
    assert newest_run(reports) == known


def test_a_protected_environment_wants_a_confirmation_for_the_drill_itself(drill, before, ledger):
    entries = len(list(ledger.glob("lab/*.json")))
    guard = {
        "dualwrite_protected": True,
        "dualwrite_confirm": "lab",
        "dualwrite_reason": "q1",
        "dualwrite_ticket": "T-1",
    }
    ended = drill("q1", **guard)
    assert ended.rc != 0
    assert "dualwrite_drill_confirm=lab" in ended.text
    assert len(list(ledger.glob("lab/*.json"))) == entries
