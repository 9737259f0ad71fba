"""The literal command against the application as a Docker Compose project, on a real engine, under traffic."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.docker import Engine, unavailable
from tests.lab.docker.app import ComposeApp, up
from tests.lab.postgres import DATABASE, USER
from tests.lab.traffic import Traffic, read, summary
from tests.lab.waiting import wait_until
from tests.support.containers import holders
from tests.support.measure import FLAG, LEGACY, MAP, VNEXT, figures, secrets_of
from tests.support.play import Ended, call, command, environ

HOST = "staging-docker-1"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """An engine for this module; where there can be none, the reason is printed (in CI: a failure)."""
    reason = unavailable()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    one = Engine(f"it-{os.getpid()}")
    try:
        yield one.up()
    finally:
        one.down()


@pytest.fixture(scope="module")
def app(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeApp]:
    """The application, which dual-writes."""
    made = up(engine, tmp_path_factory.mktemp("deltacrown"))
    try:
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def users(app: ComposeApp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Traffic for the whole module; the path of its log."""
    log = tmp_path_factory.mktemp("users") / "traffic.jsonl"
    with Traffic(app.engine.address, app.port, app.token_file.read_text().strip(), log, rate=20):
        wait_until(lambda: count(app, MAP) >= 10, "ten dual writes")
        yield log


def count(app: ComposeApp, table: str) -> int:
    """Return how many rows a table has."""
    with app.postgres.connect() as link, link.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return int(cursor.fetchone()[0])


@pytest.fixture(scope="module")
def rollback(clone: Path, app: ComposeApp, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ended]:
    """Run the literal command; further variables say where the project of this test is."""
    variables: dict[str, Any] = {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
        "deltacrown_project": str(app.folder),
        "deltacrown_url": app.url,
        "deltacrown_token_file": str(app.token_file),
        "dualwrite_lock_folder": str(tmp_path_factory.mktemp("lock")),
        "dualwrite_database": {
            "login_host": str(app.postgres.socket_dir),
            "login_port": app.postgres.port,
            "login_user": USER,
            "login_db": DATABASE,
            "passfile": str(app.password_file),
            "ssl_mode": "disable",
        },
    }
    given = tmp_path_factory.mktemp("given") / "variables.json"
    given.write_text(json.dumps(variables))
    docker = {name: value for name, value in app.engine.environ.items() if name.startswith("DOCKER_")}
    path = f"{Path(sys.executable).parent}:{app.engine.environ['PATH']}"

    def run(*more: str, **env: str) -> Ended:
        settings = environ(**{**docker, "PATH": path, **env})
        return call(
            command("staging-compose", ["-e", f"@{given}", *more]), clone / "reports", settings, cwd=clone / "playbooks"
        )

    return run


@pytest.fixture(scope="module")
def before(app: ComposeApp, users: Path) -> dict[str, Any]:
    """The files and containers while the application dual-writes."""
    return {
        "text": (app.folder / "compose.yaml").read_text(),
        **{service: app.containers(service) for service in ("web", "worker", "cache")},
    }


@pytest.fixture(scope="module")
def checked(before: dict[str, Any], rollback: Callable[..., Ended]) -> Ended:
    """The command in check mode."""
    return rollback("--check", "--diff")


@pytest.fixture(scope="module")
def first(checked: Ended, rollback: Callable[..., Ended]) -> Ended:
    """The literal command, under traffic, while the application dual-writes."""
    return rollback()


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
    written, teams = [count(app, table) for table in (LEGACY, MAP)], count(app, VNEXT)
    wait_until(lambda: count(app, VNEXT) >= teams + 10, "ten more teams of the traffic")
    assert [count(app, table) for table in (LEGACY, MAP)] == written
    seen = summary(line for line in read(users) if line["time"] >= first.called.isoformat())
    figures(requests=seen["sent"], failed=seen["failed"])


def test_no_secret_is_told(app: ComposeApp, first: Ended) -> None:
    told = first.text + "".join(path.read_text() for path in first.run_folder.iterdir() if path.is_file())
    assert [one for one in secrets_of((app.folder / "deltacrown.env").read_text()) if one in told] == []


def test_the_same_command_again_changes_nothing(app: ComposeApp, first: Ended, rollback: Callable[..., Ended]) -> None:
    running = [app.containers(service) for service in ("web", "worker", "cache")]
    ended = rollback(ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default")
    assert ended.rc == 0, ended.text
    assert ended.recap()[HOST]["changed"] == 0
    assert [app.containers(service) for service in ("web", "worker", "cache")] == running
    figures(the_same_command_again=ended.took)
