"""The other scenarios and the ways back on a Compose project: each keeps its promise by what the users see.

One scenario after the other starts where the one before it has ended.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.docker.app import ComposeApp
from tests.lab.lab import BREAK
from tests.lab.waiting import wait_until
from tests.support.measure import FLAG, LEGACY, MAP, VNEXT, figures
from tests.support.play import Ended
from tests.support.projects import BLOCKED, HOST, SERVICES, STRICT, ProjectOperator, holders, set_flags

#: the ways back are watched; here for a few seconds only
BRISK = {"dualwrite_hold": 1, "dualwrite_watch": 3, "dualwrite_verify_timeout": 20}
ROLLED = dict.fromkeys(SERVICES, "recreate")


@pytest.fixture(scope="module")
def app(project: ComposeApp) -> ComposeApp:
    """The application, which dual-writes in strict mode."""
    set_flags(project, **{FLAG: "true", STRICT: "true", BLOCKED: "false"})
    return project


@contextlib.contextmanager
def broken_legacy(app: ComposeApp) -> Iterator[None]:
    """Have every write of a legacy team fail."""
    app.sql(BREAK)
    try:
        yield
    finally:
        app.sql("DROP TRIGGER IF EXISTS lab_refuse ON teams_team")


def holds(app: ComposeApp) -> tuple[str, ...]:
    """Return what all processes hold for dual-write, strict mode and the block; two values where they differ."""
    held = ({value for one in SERVICES for value in holders(app, one, flag)} for flag in (FLAG, STRICT, BLOCKED))
    return tuple(" and ".join(sorted(one)) for one in held)


def passes(operator: ProjectOperator, scenario: str, **variables: Any) -> Ended:
    """Run a scenario to its good end, in one roll of both services."""
    ended = operator.run(scenario, **{**BRISK, **variables})
    assert ended.rc == 0, ended.text
    assert ended.closed()["hosts"] == {HOST: "done"}
    assert ended.phase("flag")["rolled"] == ROLLED
    assert len([one for one in ended.entries() if one["data"].get("phase") == "flag"]) == 1
    figures(**{scenario: ended.took})
    return ended


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_without_strict_mode_a_failing_legacy_side_costs_no_request(app: ComposeApp, operator: ProjectOperator) -> None:
    assert holds(app) == ("true", "true", "false")
    with broken_legacy(app):
        assert app.request("POST", "/api/vnext/teams/create/", {"name": "while strict"}) == 500
        passes(operator, "disable_strict_mode")
        assert holds(app) == ("true", "false", "false")
        assert app.request("POST", "/api/vnext/teams/create/", {"name": "no longer strict"}) == 201
    failures = [one["slug"] for one in lines(app.folder / "logs" / "web.log") if one["event"] == "dual_write_failed"]
    assert "no-longer-strict" in failures


def test_strict_mode_that_comes_back_makes_requests_fail_again(app: ComposeApp, operator: ProjectOperator) -> None:
    passes(operator, "enable_strict_mode")
    assert holds(app) == ("true", "true", "false")
    with broken_legacy(app):
        assert app.request("POST", "/api/vnext/teams/create/", {"name": "strict again"}) == 500
    assert app.request("POST", "/api/vnext/teams/create/", {"name": "strict and in order"}) == 201


def test_blocked_legacy_writes_are_refused_and_vnext_works(app: ComposeApp, operator: ProjectOperator) -> None:
    assert app.request("POST", "/api/legacy/teams/create/", {"name": "before the block"}) == 201
    ended = passes(operator, "block_legacy_writes")
    assert holds(app) == ("false", "true", "true")
    written, teams = [app.count(table) for table in (LEGACY, MAP)], app.count(VNEXT)
    assert app.request("POST", "/api/legacy/teams/create/", {"name": "after the block"}) == 409
    assert app.request("POST", "/api/vnext/teams/create/", {"name": "after the block"}) == 201
    assert ([app.count(table) for table in (LEGACY, MAP)], app.count(VNEXT)) == (written, teams + 1)
    evidence = {one["probe"]: one["answer"] for one in ended.phase("verify")["evidence"]}
    assert (evidence["a legacy write is refused"], evidence["legacy teams do not grow"]) == ("pass", "pass")


def test_unblocked_legacy_writes_are_accepted_and_dual_write_stays_off(
    app: ComposeApp, operator: ProjectOperator
) -> None:
    passes(operator, "unblock_legacy_writes")
    assert holds(app) == ("false", "true", "false")
    mapped = app.count(MAP)
    assert app.request("POST", "/api/legacy/teams/create/", {"name": "after the block was lifted"}) == 201
    assert app.request("POST", "/api/vnext/teams/create/", {"name": "written once"}) == 201
    assert app.count(MAP) == mapped


def test_dual_write_comes_on_again_and_both_models_are_written(app: ComposeApp, operator: ProjectOperator) -> None:
    passes(operator, "enable_dual_write", dualwrite_accept_divergence=True)
    assert holds(app) == ("true", "true", "false")
    mapped = app.count(MAP)
    assert app.request("POST", "/api/vnext/teams/create/", {"name": "written twice"}) == 201
    wait_until(lambda: app.count(MAP) == mapped + 1, "the dual write of the new team")
