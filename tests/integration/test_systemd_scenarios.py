"""Scenarios 2 and 5 and their ways back on a host booted by systemd: each keeps its promise by what the users see.

One scenario after the other starts where the one before it has ended.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.host import App, SystemdHost, up_with_app
from tests.lab.host.app import WEB, WORKER
from tests.lab.lab import BREAK
from tests.support.measure import FLAG, LEGACY, MAP, VNEXT, figures
from tests.support.play import Ended
from tests.support.projects import BLOCKED, STRICT
from tests.support.units import UnitsOperator, holders, set_flags, sql

HOST = "staging-web-1"
WEB_LOG = "/var/log/deltacrown/web.log"
#: the ways back are watched; here for a few seconds only
BRISK = {"dualwrite_hold": 1, "dualwrite_watch": 2, "dualwrite_verify_timeout": 20}


@pytest.fixture(scope="module")
def host(units_host: SystemdHost) -> SystemdHost:
    """The host, whose application dual-writes in strict mode."""
    set_flags(units_host, **{FLAG: "true", STRICT: "true", BLOCKED: "false"})
    return units_host


@pytest.fixture(scope="module")
def app(host: SystemdHost) -> App:
    """How to reach the application."""
    return up_with_app(host)


@pytest.fixture(scope="module")
def operator(host: SystemdHost, clone: Path) -> UnitsOperator:
    """Whoever operates the host, over ssh."""
    return UnitsOperator(host, clone)


@contextlib.contextmanager
def broken_legacy(host: SystemdHost) -> Iterator[None]:
    """Have every write of a legacy team fail."""
    sql(host, BREAK)
    try:
        yield
    finally:
        sql(host, "DROP TRIGGER IF EXISTS lab_refuse ON teams_team")


def holds(host: SystemdHost) -> tuple[str, ...]:
    """Return what all five processes hold for dual-write, strict mode and the block; two values where they differ."""
    found = [holders(host, flag) for flag in (FLAG, STRICT, BLOCKED)]
    assert [(len(one[WEB]), len(one[WORKER])) for one in found] == [(4, 1)] * 3
    return tuple(" and ".join(sorted({*one[WEB], *one[WORKER]})) for one in found)


def count(host: SystemdHost, table: str) -> int:
    return int(sql(host, f"SELECT count(*) FROM {table}"))


def passes(operator: UnitsOperator, scenario: str, **variables: Any) -> Ended:
    """Run a scenario to its good end, in one roll of both units."""
    ended = operator.run(scenario, **{**BRISK, **variables})
    assert ended.rc == 0, ended.text
    assert ended.closed()["hosts"] == {HOST: "done"}
    assert ended.phase("flag")["rolled"] == {"web": "restart", "worker": "restart"}
    figures(**{scenario: ended.took})
    return ended


def test_without_strict_mode_a_failing_legacy_side_is_logged_and_costs_no_request(
    host: SystemdHost, app: App, operator: UnitsOperator
) -> None:
    assert holds(host) == ("true", "true", "false")
    with broken_legacy(host):
        assert app.request("POST", "/api/vnext/teams/create/", {"name": "while strict"}) == 500
        passes(operator, "disable_strict_mode")
        assert holds(host) == ("true", "false", "false")
        assert app.request("POST", "/api/vnext/teams/create/", {"name": "no longer strict"}) == 201
    logged = [json.loads(line) for line in host.read(WEB_LOG).splitlines() if '"dual_write_failed"' in line]
    assert [one["slug"] for one in logged].count("no-longer-strict") == 1


def test_strict_mode_that_comes_back_makes_requests_fail_again(
    host: SystemdHost, app: App, operator: UnitsOperator
) -> None:
    passes(operator, "enable_strict_mode")
    assert holds(host) == ("true", "true", "false")
    with broken_legacy(host):
        assert app.request("POST", "/api/vnext/teams/create/", {"name": "strict again"}) == 500
    assert app.request("POST", "/api/vnext/teams/create/", {"name": "strict and in order"}) == 201


def test_blocked_legacy_writes_are_refused_and_vnext_works(
    host: SystemdHost, app: App, operator: UnitsOperator
) -> None:
    assert app.request("POST", "/api/legacy/teams/create/", {"name": "before the block"}) == 201
    ended = passes(operator, "block_legacy_writes")
    # the worker's own file gives it dual-write: both files are changed for one promise
    assert holds(host) == ("false", "true", "true")
    written, teams = [count(host, table) for table in (LEGACY, MAP)], count(host, VNEXT)
    assert app.request("POST", "/api/legacy/teams/create/", {"name": "after the block"}) == 409
    assert app.request("POST", "/api/vnext/teams/create/", {"name": "after the block"}) == 201
    assert ([count(host, table) for table in (LEGACY, MAP)], count(host, VNEXT)) == (written, teams + 1)
    evidence = {one["probe"]: one["answer"] for one in ended.phase("verify")["evidence"]}
    assert (evidence["a legacy write is refused"], evidence["legacy teams do not grow"]) == ("pass", "pass")


def test_unblocked_legacy_writes_are_accepted_and_dual_write_stays_off(
    host: SystemdHost, app: App, operator: UnitsOperator
) -> None:
    passes(operator, "unblock_legacy_writes")
    assert holds(host) == ("false", "true", "false")
    mapped = count(host, MAP)
    assert app.request("POST", "/api/legacy/teams/create/", {"name": "after the block was lifted"}) == 201
    assert app.request("POST", "/api/vnext/teams/create/", {"name": "written once"}) == 201
    assert count(host, MAP) == mapped
