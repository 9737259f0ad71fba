"""The literal command against the application as a Docker Compose project, on a real engine, under traffic."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.docker.app import ComposeApp
from tests.lab.traffic import Traffic, read, summary
from tests.lab.waiting import wait_until
from tests.support.measure import FLAG, LEGACY, MAP, VNEXT, figures, secrets_of
from tests.support.play import Ended
from tests.support.projects import HOST, ProjectOperator, dual_writing, holders

ROLLBACK = "rollback_dual_write"


@pytest.fixture(scope="module")
def app(project: ComposeApp) -> ComposeApp:
    """The application, which dual-writes."""
    dual_writing(project)
    return project


@pytest.fixture(scope="module")
def users(app: ComposeApp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Traffic for the whole module; the path of its log."""
    log = tmp_path_factory.mktemp("users") / "traffic.jsonl"
    with Traffic(app.engine.address, app.port, app.token_file.read_text().strip(), log, rate=20):
        start = app.count(MAP)
        wait_until(lambda: app.count(MAP) >= start + 10, "ten dual writes")
        yield log


@pytest.fixture(scope="module")
def before(app: ComposeApp, users: Path) -> dict[str, Any]:
    """The files and containers while the application dual-writes."""
    return {
        "text": (app.folder / "compose.yaml").read_text(),
        **{service: app.containers(service) for service in ("web", "worker", "cache")},
    }


@pytest.fixture(scope="module")
def checked(before: dict[str, Any], operator: ProjectOperator) -> Ended:
    """The command in check mode."""
    return operator.run(ROLLBACK, "--check", "--diff")


@pytest.fixture(scope="module")
def first(checked: Ended, operator: ProjectOperator) -> Ended:
    """The literal command, under traffic, while the application dual-writes."""
    return operator.run(ROLLBACK)


def test_check_mode_shows_the_line_and_changes_nothing(app: ComposeApp, before: dict[str, Any], checked: Ended) -> None:
    assert checked.rc == 0, checked.text
    assert f"+{FLAG}=false" in checked.text
    assert (app.folder / "compose.yaml").read_text() == before["text"]
    assert app.containers("web") == before["web"]


def test_the_literal_command_switches_every_process_of_both_services(
    app: ComposeApp, before: dict[str, Any], first: Ended
) -> None:
    assert first.rc == 0, first.text
    web, worker = holders(app, "web"), holders(app, "worker")
    assert (set(web), worker) == ({"false"}, ["false"])
    assert len(web) >= 4, "a leader and three workers; the health command of the container may be at work beside them"
    assert first.closed()["hosts"] == {HOST: "done"}
    flag = first.phase("flag")
    assert flag["rolled"] == {"web": "recreate", "worker": "recreate"}
    assert not {*app.containers("web"), *app.containers("worker")} & {*before["web"], *before["worker"]}
    assert app.containers("cache") == before["cache"]
    figures(the_whole_command=first.took, roll=flag["timings"]["roll"], verified=first.phase("verify")["summary"])


def test_one_scalar_of_the_compose_file_was_edited(app: ComposeApp, before: dict[str, Any], first: Ended) -> None:
    after = (app.folder / "compose.yaml").read_text()
    assert after == before["text"].replace(f'{FLAG}: "true"', f'{FLAG}: "false"')
    assert after != before["text"]


def test_nothing_dual_writes_any_more(app: ComposeApp, users: Path, first: Ended) -> None:
    written, teams = [app.count(table) for table in (LEGACY, MAP)], app.count(VNEXT)
    wait_until(lambda: app.count(VNEXT) >= teams + 10, "ten more teams of the traffic")
    assert [app.count(table) for table in (LEGACY, MAP)] == written
    seen = summary(line for line in read(users) if line["time"] >= first.called.isoformat())
    figures(requests=seen["sent"], failed=seen["failed"])


def test_no_secret_is_told(app: ComposeApp, first: Ended) -> None:
    told = first.text + "".join(path.read_text() for path in first.run_folder.iterdir() if path.is_file())
    assert [one for one in secrets_of((app.folder / "deltacrown.env").read_text()) if one in told] == []


def test_the_same_command_again_changes_nothing(app: ComposeApp, first: Ended, operator: ProjectOperator) -> None:
    running = [app.containers(service) for service in ("web", "worker", "cache")]
    ended = operator.run(ROLLBACK, env={"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"})
    assert ended.rc == 0, ended.text
    assert ended.recap()[HOST]["changed"] == 0
    assert [app.containers(service) for service in ("web", "worker", "cache")] == running
    figures(the_same_command_again=ended.took)
