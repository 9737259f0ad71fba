"""The application as a Compose project: what its processes hold, how to have it dual-write, who operates it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.lab.docker import unavailable
from tests.lab.docker.app import ComposeApp
from tests.lab.postgres import DATABASE, USER
from tests.lab.waiting import wait_until
from tests.support.controller import Controller
from tests.support.measure import FLAG
from tests.support.play import Ended, call, environ

HOST = "staging-docker-1"

STRICT, BLOCKED = "TEAM_VNEXT_DUAL_WRITE_STRICT_MODE", "TEAM_VNEXT_LEGACY_WRITE_BLOCKED"
SERVICES = ("web", "worker")
#: prints what every other process in a container holds for the flag
HOLDERS = """
import os, pathlib
for one in pathlib.Path("/proc").glob("[0-9]*/environ"):
    try:
        text = one.read_text()
    except OSError:
        continue  # it has ended, or is the engine's own and only becomes the health command
    if one.parent.name != str(os.getpid()):
        held = dict(pair.split("=", 1) for pair in text.split("\\0") if "=" in pair)
        print(held.get("{flag}"))
"""


def need_engines() -> None:
    """Skip where no engine can be had, and say why; in CI that is a failure."""
    reason = unavailable()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


class Operator:
    """Whoever runs the playbooks from a clone, on the engine's own host, for the project of a test."""

    def __init__(self, app: ComposeApp, clone: Path, folder: Path) -> None:
        """Write the variables that say where the project is into a folder, where the lock will be too."""
        self.app, self.clone = app, clone
        self.reports = clone / "reports"
        self.lock = folder / "staging-compose.lock"
        self._given = folder / "variables.json"
        variables: dict[str, Any] = {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "deltacrown_project": str(app.folder),
            "deltacrown_url": app.url,
            "deltacrown_token_file": str(app.token_file),
            "dualwrite_lock_folder": str(folder),
            "dualwrite_database": {
                "login_host": str(app.postgres.socket_dir),
                "login_port": app.postgres.port,
                "login_user": USER,
                "login_db": DATABASE,
                "passfile": str(app.password_file),
                "ssl_mode": "disable",
            },
        }
        self._given.write_text(json.dumps(variables))

    def argv(self, playbook: str, *more: str, **variables: Any) -> list[str]:
        """Return the literal command, with what is this test's own after it."""
        given = ["-e", f"@{self._given}", *(["-e", json.dumps(variables)] if variables else [])]
        return ["ansible-playbook", f"{playbook}.yml", "-i", "staging-compose", *given, *more]

    def environ(self, **more: str) -> dict[str, str]:
        """Return the environment in which docker speaks to the project's engine."""
        docker = {name: value for name, value in self.app.engine.environ.items() if name.startswith("DOCKER_")}
        path = f"{Path(sys.executable).parent}:{self.app.engine.environ['PATH']}"
        return environ(**{**docker, "PATH": path, **more})

    def run(self, playbook: str, *more: str, env: dict[str, str] | None = None, **variables: Any) -> Ended:
        """Run a playbook to its end."""
        argv = self.argv(playbook, *more, **variables)
        return call(argv, self.reports, self.environ(**(env or {})), cwd=self.clone / "playbooks")

    def begin(self, playbook: str, output: Path, **variables: Any) -> Controller:
        """Begin a run that is to be killed."""
        argv = self.argv(playbook, **variables)
        return Controller(argv, self.environ(), self.reports, output, cwd=self.clone / "playbooks")


def sql(app: ComposeApp, query: str, values: Any = None) -> list[tuple[Any, ...]]:
    """Run one statement in the application's database and return its rows."""
    with contextlib.closing(app.postgres.connect()) as link, link.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall() if cursor.description else []


def count(app: ComposeApp, table: str) -> int:
    """Return how many rows a table has."""
    return int(sql(app, f"SELECT count(*) FROM {table}")[0][0])


def create(app: ComposeApp, model: str, name: str) -> int:
    """Create a team in one model and return the status."""
    request = urllib.request.Request(f"{app.url}/api/{model}/teams/create/", json.dumps({"name": name}).encode())
    request.add_header("Authorization", f"Token {app.token_file.read_text().strip()}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def holders(app: ComposeApp, service: str, flag: str = FLAG) -> list[str]:
    """Return what every process in a service's containers holds for the flag, told from inside."""
    script = HOLDERS.format(flag=flag)
    told = [app.engine.docker("exec", one, "python3", "-c", script) for one in app.containers(service)]
    return "".join(told).split()


def set_flags(app: ComposeApp, **flags: str) -> None:
    """Have every process of the application hold these flags, as an operator would: edit the file, `up`."""
    path = app.folder / "compose.yaml"
    text = path.read_text()
    for flag, value in flags.items():
        head, dummy, rest = text.partition(f"{flag}: ")
        mark = rest[0]
        text = f"{head}{flag}: {mark}{value}{rest[rest.index(mark, 1) :]}"
    path.write_text(text)
    app.compose("up", "--detach", "--wait", "--timeout", "1", *SERVICES)
    wait_until(app.healthy, "the application to answer healthy", 30)


def dual_writing(app: ComposeApp) -> None:
    """Have every process of the application dual-write, neither strict nor with legacy writes blocked."""
    set_flags(app, **{FLAG: "true", STRICT: "false", BLOCKED: "false"})
