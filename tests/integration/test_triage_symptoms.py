"""What the reference profile measures in the database and by Prometheus: made true on the lab, seen, and mended."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.lab import parts
from tests.lab.lab import Lab
from tests.lab.waiting import wait_until
from tests.support.measure import MAP, VNEXT, figures, held
from tests.support.play import Ended, call, environ

BRISK = {"dualwrite_hold": 1, "dualwrite_verify_timeout": 20, "dualwrite_symptom_window": 4, "dualwrite_trend": 0.5}
DATA = ("data_inconsistent", "duplicate_mappings", "orphans_increasing", "test_data_left")
#: a legacy side that takes its time
SLOW = """
CREATE OR REPLACE FUNCTION lab_wait() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END $$;
CREATE OR REPLACE TRIGGER lab_wait AFTER INSERT ON teams_team FOR EACH STATEMENT EXECUTE FUNCTION lab_wait();
"""
#: longer than what comes after the roll takes, so that triage has to wait
WINDOW = 20
P95 = f"histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[{WINDOW}s])))"
#: how far back the latency is that the lab's is held against, in seconds: Prometheus is no hour old
BEFORE = 45
Run = Callable[..., Ended]


@pytest.fixture
def run(lab: Lab, reports: Path) -> Run:
    """Run triage as an operator does."""

    def playbook(**variables: Any) -> Ended:
        argv = ["ansible-playbook", "triage.yml", "-i", "lab", "-e", json.dumps({**BRISK, **variables})]
        return call(argv, reports, environ(reports, DUALWRITE_LAB=str(lab.dir)))

    return playbook


def states(ended: Ended) -> dict[str, list[str]]:
    """Return symptom -> the states that the operator reads, one per look."""
    found: dict[str, list[str]] = {}
    for line in ended.lines():
        if "(measured): " in line:
            state, symptom = line.split()[:2]
            found.setdefault(symptom, []).append(state)
    return found


def line_of(ended: Ended, *parts_of_it: str) -> str:
    """Return the one line that holds all these words."""
    [line] = [line.strip() for line in ended.lines() if all(part in line for part in parts_of_it)]
    return line


def orphan(lab: Lab, minutes: int) -> None:
    """Make a mapping to nothing, that many minutes old; the foreign keys look away."""
    with contextlib.closing(lab.postgres.connect(admin=True)) as link, link.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            f"INSERT INTO {MAP} (vnext_team_id, legacy_team_id, created_at)"
            f" SELECT least(min(vnext_team_id), 0) - 1, gen_random_uuid(), now() - %s * interval '1 minute' FROM {MAP}",
            [minutes],
        )


@contextlib.contextmanager
def two_names(lab: Lab) -> Iterator[None]:
    """A team has had another name in each model for a minute."""
    team = lab.request("POST", "/api/vnext/teams/create/", {"name": "two names"})[1]
    rename = f"UPDATE {VNEXT} SET name = %s, updated_at = now() - interval '1 minute' WHERE id = %s"
    lab.sql(rename, ["the other name", team["id"]])
    yield
    lab.sql(rename, ["two names", team["id"]])


@contextlib.contextmanager
def mapped_twice(lab: Lab) -> Iterator[None]:
    """One team has two mappings."""
    columns = "vnext_team_id, legacy_team_id"
    [[number]] = lab.sql(f"INSERT INTO {MAP} ({columns}) SELECT {columns} FROM {MAP} LIMIT 1 RETURNING id")
    yield
    lab.sql(f"DELETE FROM {MAP} WHERE id = %s", [number])


@contextlib.contextmanager
def mapped_to_nothing(lab: Lab) -> Iterator[None]:
    """Two mappings of the last ten minutes lead to nothing, and an older one."""
    for minutes in (1, 8, 60):
        orphan(lab, minutes)
    yield
    lab.sql(f"DELETE FROM {MAP} WHERE vnext_team_id < 0 AND created_at > now() - interval '10 minutes'")


@contextlib.contextmanager
def left_by_a_test(lab: Lab) -> Iterator[None]:
    """Three teams have the names of tests, and a fourth nearly."""
    names = ("Staging Test 1", "Test Team 2", "Test Team", "A Test Team")
    for number, name in enumerate(names):
        lab.sql(f"INSERT INTO {VNEXT} (name, slug) VALUES (%s, %s)", [name, f"left-{number}"])
    yield
    lab.sql(f"DELETE FROM {VNEXT} WHERE slug LIKE 'left-%%'", [])


@pytest.mark.parametrize(
    ("made_true", "symptom", "probe", "seen", "first_step"),
    [
        (two_names, "data_inconsistent", "both models have the same names", 1, "1. [high] disable_dual_write"),
        (mapped_twice, "duplicate_mappings", "no team is mapped twice", 2, "1. [medium] disable_dual_write"),
        (
            mapped_to_nothing,
            "orphans_increasing",
            "no mapping of the last ten minutes leads to nothing",
            2,
            "1. [medium] by a person: Find the root cause, then clean up the orphan mappings",
        ),
        (left_by_a_test, "test_data_left", "no team of a test is left", 3, "1. [low] cleanup_test_data"),
    ],
)
def test_what_is_wrong_with_the_data_is_seen_and_nothing_else(
    lab: Lab,
    run: Run,
    made_true: Callable[[Lab], AbstractContextManager[None]],
    symptom: str,
    probe: str,
    seen: int,
    first_step: str,
) -> None:
    """What the test before this one has mended is absent here."""
    with made_true(lab):
        ended = run()
    assert ended.rc == 0, ended.text
    found = {name: state for name, state in states(ended).items() if name in DATA}
    assert found == {name: ["PRESENT" if name == symptom else "ABSENT"] for name in DATA}
    assert line_of(ended, "seen: ", probe).endswith(f": the value is {seen}, above 0")
    assert "(+0), over 0." in line_of(ended, "not seen: 'mappings to nothing become no more'")
    assert line_of(ended, "1. [") == first_step
    assert held(lab) == ["true"] * len(held(lab))


def test_old_mappings_that_lead_to_nothing_are_a_symptom_only_while_they_become_more(lab: Lab, run: Run) -> None:
    """One that was there in the two tests before was none; all else has been mended."""
    ending = threading.Event()

    def more_and_more() -> None:
        while not ending.wait(0.2):
            orphan(lab, 60)

    going = threading.Thread(target=more_and_more)
    going.start()
    try:
        ended = run(dualwrite_trend=2)
    finally:
        ending.set()
        going.join()
    found = {name: state for name, state in states(ended).items() if name in DATA}
    assert found == {name: ["PRESENT" if name == "orphans_increasing" else "ABSENT"] for name in DATA}
    assert ", above 0, over 2." in line_of(ended, "seen: 'mappings to nothing become no more'")
    lab.sql(f"DELETE FROM {MAP} WHERE vnext_team_id < 0")


def p95(lab: Lab, seconds_ago: float) -> float | None:
    """Return the lab's latency, as Prometheus has it."""
    asked = urlencode({"query": P95, "time": time.time() - seconds_ago})
    answer = parts.get(f"{lab.state['prometheus']['url']}/api/v1/query?{asked}")
    found = json.loads(answer[1])["data"]["result"] if answer else []
    return float(found[0]["value"][1]) if found else None


def test_a_slow_legacy_side_is_switched_off_and_triage_waits_until_the_metrics_say_so(lab: Lab, run: Run) -> None:
    """When the roll has ended, most of the window is still of slow requests."""
    if not lab.state["prometheus"]:
        pytest.skip("prometheus is not installed")
    before = wait_until(lambda: p95(lab, BEFORE), "Prometheus to have seen the lab for that long", 2 * BEFORE)
    lab.sql(SLOW)
    wait_until(lambda: (p95(lab, 0) or 0.0) > 4 * before, "the requests to be slow", 30)
    ended = run(dualwrite_execute=True, deltacrown_latency_before=BEFORE, deltacrown_metric_window=WINDOW)
    assert states(ended)["latency_degraded"] == ["PRESENT", "ABSENT"], ended.text
    assert "times its baseline" in line_of(ended, "seen: 'p95 latency is below twice that of before'")
    assert line_of(ended, "1. [") == "1. [high] disable_dual_write"
    assert ended.rc == 0, ended.text
    assert set(held(lab)) == {"false"}
    figures(slow_until_gone=ended.took)
