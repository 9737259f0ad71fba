"""The application as a Compose project: what its processes hold, how to have it dual-write, who operates it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab.docker import unavailable
from tests.lab.docker.app import ComposeApp
from tests.lab.waiting import wait_until
from tests.support.inside import look
from tests.support.measure import FLAG
from tests.support.operator import Operator

HOST = "staging-docker-1"

STRICT, BLOCKED = "TEAM_VNEXT_DUAL_WRITE_STRICT_MODE", "TEAM_VNEXT_LEGACY_WRITE_BLOCKED"
SERVICES = ("web", "worker")


def need_engines() -> None:
    """Skip where no engine can be had, and say why; in CI that is a failure."""
    reason = unavailable()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def variables_of(app: ComposeApp) -> dict[str, Any]:
    """Return what an inventory says of the project when modules run on this machine."""
    return {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
        "deltacrown_project": str(app.folder),
        "deltacrown_url": app.url,
        "deltacrown_token_file": str(app.token_file),
        "dualwrite_database": app.postgres.variables(app.password_file),
    }


class ProjectOperator(Operator):
    """Whoever operates the project on the engine's own host."""

    def __init__(self, app: ComposeApp, clone: Path, folder: Path) -> None:
        super().__init__("staging-compose", variables_of(app), clone, folder)
        self.app = app

    def environ(self, **more: str) -> dict[str, str]:
        """Return the environment in which docker speaks to the project's engine."""
        docker = {name: value for name, value in self.app.engine.environ.items() if name.startswith("DOCKER_")}
        path = f"{Path(sys.executable).parent}:{self.app.engine.environ['PATH']}"
        return super().environ(**{**docker, "PATH": path, **more})


def holders(app: ComposeApp, service: str, flag: str = FLAG) -> list[str]:
    """Return what every process in a service's containers holds for the flag, told from inside."""
    return "".join(app.engine.docker("exec", one, *look(flag)) for one in app.containers(service)).split()


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
