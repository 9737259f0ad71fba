"""The controller of a Compose project is killed with SIGKILL, later each time; the same command finishes at last.

One run after the other goes on where the one before it died, so that one project serves all moments.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.registry import make
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.fence import fence_files
from tests.lab.docker.app import ComposeApp
from tests.lab.waiting import wait_until
from tests.support.controller import Controller, at_files
from tests.support.measure import FLAG, VNEXT, figures
from tests.support.play import Ended
from tests.support.projects import HOST, SERVICES, Operator, dual_writing, holders, sql

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
def fences(app: ComposeApp, operator: Operator) -> list[str]:
    """The files that keep two changes of the project apart."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in operator.environ().items():
            patch.setenv(name, value)
        options = {"project_src": str(app.folder), "service": "web"}
        return fence_files(make({"name": "web", "platform": "compose", "options": options}).touches())


Kill = Callable[[Callable[[Controller], bool]], Controller]


@pytest.fixture
def kill(app: ComposeApp, operator: Operator, dead: list[str], tmp_path: Path) -> Kill:
    """Run the command until something is so, and kill it with all that it has started, docker clients too."""

    def until(reached: Callable[[Controller], bool]) -> Controller:
        one = operator.begin(ROLLBACK, tmp_path / "output", **BRISK)
        try:
            wait_until(lambda: reached(one) or one.process.poll() is not None, "the moment", 60)
        finally:
            one.kill_all()
        said = (tmp_path / "output").read_text()
        assert one.process.returncode < 0, said
        assert "close" not in one.phases(), said
        folder = one.run_folder()
        assert folder
        dead.append(folder.name)
        return one

    return until


@contextlib.contextmanager
def another_change(paths: list[str]) -> Iterator[None]:
    """Hold what keeps changes of the project apart, as another change would."""
    with contextlib.ExitStack() as held:
        for path in paths:
            fcntl.flock(held.enter_context(open(path, "a", encoding="ascii")), fcntl.LOCK_EX)
        yield


def declared(app: ComposeApp) -> str:
    """Return what the project's file says."""
    return (app.folder / "compose.yaml").read_text().partition(f'{FLAG}: "')[2].partition('"')[0]


def held(app: ComposeApp) -> set[str]:
    """Return what the processes of both services hold."""
    return {value for service in SERVICES for value in holders(app, service)}


def running(app: ComposeApp) -> list[str]:
    """Return the containers of both services."""
    return [one for service in SERVICES for one in app.containers(service)]


def test_killed_with_the_lock_nothing_is_changed(app: ComposeApp, operator: Operator, kill: Kill) -> None:
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
    one = kill(lambda one: sql(app, CANARIES)[0][0] > 0)
    assert "flag" in one.phases()
    assert held(app) == {"false"}


def test_the_same_command_finishes_and_says_what_it_found(app: ComposeApp, operator: Operator, dead: list[str]) -> None:
    containers = running(app)
    ended = operator.run(ROLLBACK, **BRISK)
    assert ended.rc == 0, ended.text
    assert ended.closed()["hosts"][HOST] in ("done", "unchanged")
    opened = ended.entries()[0]["data"]
    assert opened["resumes"][-1] == dead[-1]
    assert ended.phase("lock")["taken_over"]["run_id"] == dead[-1]
    assert all(_taken_over(ended, name) for name in dead)
    assert not operator.lock.exists()
    assert (declared(app), held(app), running(app)) == ("false", {"false"}, containers)
    assert len(app.compose("ps", "--all", "--quiet").split()) == 3
    assert sql(app, CANARIES) == [(0,)]
    figures(the_same_command_after_five_kills=ended.took)


def _taken_over(ended: Ended, name: str) -> bool:
    lines = (ended.run_folder.parent / name / "record.jsonl").read_text().splitlines()
    return [json.loads(line)["type"] for line in lines[-2:]] == ["interrupted", "takeover"]
