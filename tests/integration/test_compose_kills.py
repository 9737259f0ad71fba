"""The controller of a Compose project is killed with SIGKILL, later each time; the same command finishes at last.

One run after the other goes on where the one before it died, so that one project serves all moments.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.registry import make
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.fence import fence_files
from tests.lab.docker.app import ComposeApp
from tests.support.controller import Controller, another_change, at_files, killed_when, taken_over
from tests.support.measure import FLAG, VNEXT, figures
from tests.support.projects import HOST, SERVICES, ProjectOperator, dual_writing, holders

ROLLBACK = "rollback_dual_write"
BRISK = {"dualwrite_hold": 1, "dualwrite_verify_timeout": 20}
CANARIES = f"SELECT count(*) FROM {VNEXT} WHERE slug LIKE 'dualwrite-canary-%%'"


@pytest.fixture(scope="module")
def app(project: ComposeApp) -> ComposeApp:
    """The application, which dual-writes."""
    dual_writing(project)
    return project


@pytest.fixture(scope="module")
def dead() -> list[str]:
    """The runs that were killed, the first one first."""
    return []


@pytest.fixture(scope="module")
def fences(app: ComposeApp, operator: ProjectOperator) -> list[str]:
    """The files that keep two changes of the project apart."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in operator.environ().items():
            patch.setenv(name, value)
        options = {"project_src": str(app.folder), "service": "web"}
        return fence_files(make({"name": "web", "platform": "compose", "options": options}).touches())


Kill = Callable[[Callable[[Controller], bool]], Controller]


@pytest.fixture
def kill(app: ComposeApp, operator: ProjectOperator, dead: list[str], tmp_path: Path) -> Kill:
    """Run the command until something is so, and kill it with all that it has started, docker clients too."""

    def until(reached: Callable[[Controller], bool]) -> Controller:
        one = operator.begin(ROLLBACK, tmp_path / "output", **BRISK)
        dead.append(killed_when(one, reached, tmp_path / "output"))
        return one

    return until


def declared(app: ComposeApp) -> str:
    """Return what the project's file says."""
    return (app.folder / "compose.yaml").read_text().partition(f'{FLAG}: "')[2].partition('"')[0]


def held(app: ComposeApp) -> set[str]:
    """Return what the processes of both services hold."""
    return {value for service in SERVICES for value in holders(app, service)}


def running(app: ComposeApp) -> list[str]:
    """Return the containers of both services."""
    return [one for service in SERVICES for one in app.containers(service)]


def test_killed_with_the_lock_nothing_is_changed(app: ComposeApp, operator: ProjectOperator, kill: Kill) -> None:
    kill(lambda one: operator.lock.exists())
    assert (declared(app), held(app)) == ("true", {"true"})


def test_killed_before_the_edit_nothing_is_changed(app: ComposeApp, kill: Kill, fences: list[str]) -> None:
    containers = running(app)
    with another_change(fences):
        kill(lambda one: bool(set(at_files(fences)) & set(one.family())))
    assert (declared(app), held(app), running(app)) == ("true", {"true"}, containers)


def test_killed_after_the_edit_the_containers_are_the_old_ones(app: ComposeApp, kill: Kill) -> None:
    containers = running(app)
    kill(lambda one: declared(app) == "false")
    assert (held(app), running(app)) == ({"true"}, containers)


def test_killed_while_containers_are_replaced(app: ComposeApp, kill: Kill) -> None:
    before = set(app.compose("ps", "--all", "--quiet", "--no-trunc", *SERVICES).split())
    kill(lambda one: set(app.compose("ps", "--all", "--quiet", "--no-trunc", *SERVICES).split()) != before)


def test_killed_while_it_verifies_every_process_holds_the_flag(app: ComposeApp, kill: Kill) -> None:
    one = kill(lambda one: app.sql(CANARIES)[0][0] > 0)
    assert "flag" in one.phases()
    assert held(app) == {"false"}


def test_the_same_command_finishes_and_says_what_it_found(
    app: ComposeApp, operator: ProjectOperator, dead: list[str]
) -> None:
    containers = running(app)
    ended = operator.run(ROLLBACK, **BRISK)
    assert ended.rc == 0, ended.text
    assert ended.closed()["hosts"][HOST] in ("done", "unchanged")
    opened = ended.entries()[0]["data"]
    assert opened["resumes"][-1] == dead[-1]
    assert ended.phase("lock")["taken_over"]["run_id"] == dead[-1]
    assert all(taken_over(ended.run_folder.parent / name / "record.jsonl") for name in dead)
    assert not operator.lock.exists()
    assert (declared(app), held(app), running(app)) == ("false", {"false"}, containers)
    assert len(app.compose("ps", "--all", "--quiet").split()) == 3
    assert app.sql(CANARIES) == [(0,)]
    figures(the_same_command_after_five_kills=ended.took)
