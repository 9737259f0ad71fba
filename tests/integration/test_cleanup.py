"""Scenario 3 on the lab under traffic: the rows of the test go on both sides, nobody else's, and come back."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.lab import Lab
from tests.support.controller import Controller, killed_when, taken_over
from tests.support.measure import FLAG, MAP, await_dual_writes, dual_writing, figures, restart, told
from tests.support.play import Ended, call, environ

BRISK = {"dualwrite_hold": 1, "dualwrite_verify_timeout": 30}
#: test teams as the application makes them, and customers with names like theirs
NAMES = ["Staging Test One", "Staging Test Two", "Test Team Three", "Latest Teams", "Contest Team"]

Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def test_data(lab: Lab) -> Lab:
    """A lab that has dual-written teams of a test and look-alikes, and dual-writes no more."""
    dual_writing(lab)
    for name in NAMES:
        assert lab.request("POST", "/api/vnext/teams/create/", {"name": name})[0] == 201
    lab.sql("UPDATE teams_team SET name = 'Real Customers' WHERE name = 'Staging Test Two'")
    await_dual_writes(lab, 5)
    restart(lab, "false")
    return lab


@pytest.fixture
def run(lab: Lab, reports: Path) -> Run:
    """Run a playbook of the collection as an operator does."""

    def playbook(name: str, *more: str, **variables: Any) -> Ended:
        argv = ["ansible-playbook", f"{name}.yml", "-i", "lab", "-e", json.dumps({**BRISK, **variables}), *more]
        return call(argv, reports, environ(reports, DUALWRITE_LAB=str(lab.dir)))

    return playbook


def teams(lab: Lab) -> dict[str, list[tuple[Any, ...]]]:
    """Every row that belongs to one of the names, in all tables."""
    queries = {
        "vnext": "SELECT t::text FROM organizations_team t",
        "legacy": "SELECT t::text FROM teams_team t",
        "members": "SELECT m::text FROM organizations_teammembership m JOIN organizations_team t ON t.id = m.team_id",
        "legacy_members": "SELECT m::text FROM teams_teammembership m JOIN teams_team t ON t.id = m.team_id",
        "maps": f"SELECT m::text FROM {MAP} m JOIN organizations_team t ON t.id = m.vnext_team_id",
    }
    names = [*NAMES, "Real Customers"]
    return {name: sorted(lab.sql(f"{query} WHERE t.name = ANY(%s)", (names,))) for name, query in queries.items()}


def test_nothing_is_removed_while_a_process_dual_writes(lab: Lab, run: Run) -> None:
    dual_writing(lab)
    lab.request("POST", "/api/vnext/teams/create/", {"name": "Staging Test Early"})
    ended = run("cleanup_test_data")
    assert ended.rc != 0
    assert f"{FLAG} is not known to be off on lab" in ended.text
    assert lab.sql("SELECT count(*) FROM organizations_team WHERE name = 'Staging Test Early'") == [(1,)]
    lab.sql("UPDATE organizations_team SET name = 'kept' WHERE name = 'Staging Test Early'")


def test_check_mode_shows_the_rows_and_changes_nothing(test_data: Lab, run: Run) -> None:
    before = teams(test_data)
    ended = run("cleanup_test_data", "--check", "--diff")
    assert ended.rc == 0, ended.text
    assert "name=Staging Test One" in ended.text
    assert "Latest Teams" not in ended.text
    assert "user_id=********" in ended.text
    assert teams(test_data) == before
    assert not (test_data.dir / "archives").exists()


def test_the_rows_of_the_test_go_and_come_back(test_data: Lab, run: Run) -> None:
    lab = test_data
    before = teams(lab)
    assert [len(rows) for rows in before.values()] == [5, 5, 5, 5, 5]
    ended = run("cleanup_test_data")
    assert ended.rc == 0, ended.text
    assert ended.closed()["hosts"] == {"lab": "done"}
    left = teams(lab)
    assert [len(rows) for rows in left.values()] == [2, 3, 2, 3, 2]
    assert all("Test" not in text.replace("Contest", "").replace("Latest", "") for (text,) in left["vnext"])
    assert any("Real Customers" in text for (text,) in left["legacy"])
    done = ended.phase("cleanup")
    assert done["rows"]["organizations_team"] == 3
    assert done["mappings"][0]["only_unmapped"] == 1
    assert done["archive"] in told(ended.run_folder, "incident.md")
    assert lab.traffic_summary(since=ended.called)["failed"] == 0
    figures(cleanup_test_data=ended.took, transaction=done["timings"]["total"])

    again = run("cleanup_test_data")
    assert again.rc == 0, again.text
    assert again.closed()["hosts"] == {"lab": "unchanged"}

    back = run("undo_cleanup", dualwrite_archive=done["archive"], dualwrite_archive_sha256=done["archive_sha256"])
    assert back.rc == 0, back.text
    assert back.closed()["hosts"] == {"lab": "done"}
    assert teams(lab) == before


def test_an_unknown_table_that_references_teams_stops_it(test_data: Lab, run: Run) -> None:
    lab = test_data
    before = teams(lab)
    lab.sql("CREATE TABLE invites (team_id int REFERENCES organizations_team ON DELETE CASCADE)")
    lab.sql("INSERT INTO invites SELECT id FROM organizations_team WHERE name IN ('Staging Test One', 'Latest Teams')")
    try:
        ended = run("cleanup_test_data")
    finally:
        lab.sql("DROP TABLE invites")
    assert ended.rc != 0
    assert "1 rows of invites, which the plan does not cover, reference rows of organizations_team" in ended.text
    assert teams(lab) == before
    assert ended.closed()["hosts"] == {"lab": "failed"}


def test_a_protected_environment_wants_ids_and_its_record(test_data: Lab, run: Run, reports: Path) -> None:
    lab = test_data
    before = teams(lab)
    said = {"dualwrite_confirm": "lab", "dualwrite_reason": "test data", "dualwrite_ticket": "T-1"}
    ended = run("cleanup_test_data", dualwrite_protected=True, **said)
    assert ended.rc != 0
    assert "a pattern alone chooses no rows there" in ended.text
    ended = run("cleanup_test_data", dualwrite_reports="/proc/none")
    assert ended.rc != 0
    assert "this scenario may not run without its record" in ended.text
    assert teams(lab) == before
    ids = [row[0] for row in lab.sql("SELECT id FROM organizations_team WHERE name = 'Staging Test One'")]
    ended = run("cleanup_test_data", dualwrite_protected=True, dualwrite_cleanup_ids=str(ids[0]), **said)
    assert ended.rc == 0, ended.text
    assert ended.phase("cleanup")["ids"] == [str(ids[0])]


def test_a_killed_controller_leaves_everything_and_the_next_run_does_it(
    test_data: Lab, run: Run, reports: Path, tmp_path: Path
) -> None:
    """It is killed, with the module on the host, while the transaction waits for somebody's lock."""
    lab = test_data
    before = teams(lab)
    meant = lab.sql("SELECT count(*) FROM organizations_team WHERE name ~ '^(Staging Test|Test Team)'")[0][0]
    waiting = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'dualwrite%' AND wait_event_type = 'Lock'"
    with contextlib.closing(lab.postgres.connect()) as link, link.cursor() as cursor:
        cursor.execute("BEGIN; SELECT 1 FROM organizations_team WHERE name = 'Staging Test Two' FOR UPDATE")
        argv = ["ansible-playbook", "cleanup_test_data.yml", "-i", "lab", "-e", json.dumps(BRISK)]
        output = tmp_path / "output"
        one = Controller(argv, environ(reports, DUALWRITE_LAB=str(lab.dir)), reports, output)
        killed = killed_when(one, lambda _: bool(lab.sql(waiting)), output)
    assert teams(lab) == before
    ended = run("cleanup_test_data")
    assert ended.rc == 0, ended.text
    assert ended.phase("cleanup")["rows"]["organizations_team"] == meant > 0
    assert taken_over(reports / "lab" / killed / "record.jsonl")
