# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers of a Compose project, and every process in them with the environment that it holds.

As root on the engine's own host the processes are this host's, known by their control group; else each container is
asked from inside. What the engine says of a container's environment is no evidence of what its processes hold.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import InvalidInput, NotFound, RollbackError
from ..core.parallel import for_each
from . import proc
from .docker import Docker
from .inside import Held, Look, visits

PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
FILES = "com.docker.compose.project.config_files"
ONE_OFF, NUMBER = "com.docker.compose.oneoff", "com.docker.compose.container-number"


@dataclass(frozen=True)
class Container:
    """What the engine says of one container."""

    id: str
    name: str
    service: str
    number: str
    one_off: bool
    status: str
    health: str
    pid: int
    exit_code: int
    error: str
    restarts: int
    files: tuple[str, ...]
    image: str
    environ: Mapping[str, str]

    @property
    def running(self) -> bool:
        """Whether processes of it may run."""
        return self.status in ("running", "paused", "restarting") and self.pid > 0

    def failed(self) -> str:
        """Return why it did not start, empty while it may still come up."""
        if self.status in ("exited", "dead", "restarting") or self.restarts:
            error = f", {self.error}" if self.error else ""
            return f"its container {self.name} ended with {self.exit_code}{error}"
        return f"its container {self.name} is unhealthy" if self.health == "unhealthy" else ""

    @property
    def live(self) -> bool:
        """Whether it runs, and is healthy where it has a probe of its own."""
        return self.status == "running" and self.health in ("", "none", "healthy")


def container_of(told: Mapping[str, Any]) -> Container:
    """Return a container out of what `docker inspect` tells."""
    state, config = told["State"], told["Config"]
    labels = config.get("Labels") or {}
    pairs = (entry.partition("=") for entry in config.get("Env") or [])
    return Container(
        id=told["Id"],
        name=str(told["Name"]).lstrip("/"),
        service=labels.get(SERVICE, ""),
        number=labels.get(NUMBER, ""),
        one_off=labels.get(ONE_OFF) == "True",
        status=state["Status"],
        health=(state.get("Health") or {}).get("Status", ""),
        pid=state.get("Pid") or 0,
        exit_code=state.get("ExitCode") or 0,
        error=state.get("Error") or "",
        restarts=told.get("RestartCount") or 0,
        files=tuple(path for path in labels.get(FILES, "").split(",") if path),
        image=str(told.get("Image") or ""),
        environ={name: value for name, dummy, value in pairs},
    )


def processes(containers: Sequence[Container], docker: Docker) -> dict[str, list[Held]]:
    """Return, by container id, every process of these running containers, the first one first.

    A visitor (put in from outside a moment ago, as a probe's command is) is left out. Raises InvalidInput when they
    can't be looked into.
    """
    found, errors = looked_into(containers, docker)
    for error in errors.values():
        raise error
    return found


def looked_into(
    containers: Sequence[Container], docker: Docker
) -> tuple[dict[str, list[Held]], dict[str, RollbackError]]:
    """Return, by container id, what ``processes`` does, and the error of each that can't be looked into."""
    ours = of_this_host(containers)
    others = {one.id: one for one in containers if one.id not in ours}
    asked, errors = for_each(others, lambda key: asked_inside(others[key], docker))
    told = {**ours, **asked}
    order = [one.id for one in containers if one.id in told]
    return {key: sorted(told[key], key=lambda one: (one.started, one.pid)) for key in order}, errors


def of_this_host(containers: Sequence[Container]) -> dict[str, list[Held]]:
    """Return the processes of those containers that are this host's and whose environment this user may read."""
    found: dict[str, list[proc.Process]] = {one.id: [] for one in containers}
    for process in proc.every():
        with contextlib.suppress(OSError), open(f"/proc/{process.pid}/cgroup", encoding="utf-8") as stream:
            groups = stream.read()
            for key, members in found.items():
                if key in groups:
                    members.append(process)
    readable: dict[str, list[Held]] = {}
    for one in containers:
        if any(process.pid == one.pid for process in found[one.id]):
            with contextlib.suppress(InvalidInput):
                readable[one.id] = _read(found[one.id], one.pid)
    return readable


def _read(members: Sequence[proc.Process], first: int) -> list[Held]:
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
    told = {
        process.pid: Held(process.pid, process.parent, process.started, proc.command_line(process), process.started_at)
        for process in members
    }
    held = []
    for process in members:
        if not visits(told, process.pid, first, uptime):
            with contextlib.suppress(NotFound):
                one = told[process.pid]
                environ = proc.environment(process)
                held.append(Held(one.pid, one.parent, one.started, one.command, one.started_at, environ))
    return held


def asked_inside(container: Container, docker: Docker) -> list[Held]:
    """Return the processes of a container as a shell inside it sees them.

    Raises InvalidInput when there is no shell in it or a process may not be looked into.
    """
    look = Look()
    done = docker.run("exec", "--privileged", "--user", "0:0", container.id, *look.argv, ok=range(256))
    if done.rc in (126, 127):
        raise InvalidInput(
            "its processes can't be looked into: this is not root on the engine's host, and there is no shell inside",
            where=f"container {container.name}",
            hint="Run the task as root on the host of the engine (become).",
        )
    held = look.told(done.stdout)
    if done.rc and not held:
        raise NotFound("the container is gone", where=f"container {container.name}")
    for one in held:
        if one.environ is None:
            raise InvalidInput(
                f"the environment of process {one.pid} can't be read from inside",
                where=f"container {container.name}",
                hint="Run the task as root on the host of the engine (become).",
            )
    return held
