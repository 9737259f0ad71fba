# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds a flag in a Compose project, whichever service it is of: one-off containers and profiles not in use too.

A container counts by what its processes hold, not by what it was made with: a probe's command, put into it from
outside a moment ago, is none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.errors import InvalidInput
from ..core.redact import redact_text, secret_values
from .base import Carrier
from .compose_containers import PROJECT, Container, container_of, looked_into
from .docker import Docker
from .inside import Held

#: characters of a command line that are told
_COMMAND = 80


def carriers(docker: Docker, project: str, flags: Sequence[str]) -> list[Carrier]:
    """Return the running containers of a project that hold one of the flags, by container id.

    One whose processes hold different values comes once for each.
    """
    told = [container_of(one) for one in docker.containers({PROJECT: project})]
    found: list[Carrier] = []
    running = sorted((one for one in told if one.running), key=lambda one: one.name)
    inside, errors = looked_into(running, docker)
    for container in running:
        if container.id in inside:
            found += _held(container, inside[container.id], flags)
        elif isinstance(errors[container.id], InvalidInput) or container.status == "paused":
            found += _made_with(container, flags)
    return found


def _held(container: Container, inside: Sequence[Held], flags: Sequence[str]) -> list[Carrier]:
    found: dict[str, Carrier] = {}
    for one in inside:
        environ = one.environ or {}
        holds = _of(environ, flags)
        if holds and str(holds) not in found:
            command = redact_text(one.command, secret_values(environ))[:_COMMAND]
            found[str(holds)] = Carrier(container.id, f"{_named(container)}: {command}", holds)
    return list(found.values())


def _made_with(container: Container, flags: Sequence[str]) -> list[Carrier]:
    """Return what a container that can't be looked into was made with: better told than left out."""
    holds = _of(container.environ, flags)
    return [Carrier(container.id, f"{_named(container)}, as it was made", holds)] if holds else []


def _named(container: Container) -> str:
    return f"container {container.name} of service {container.service}" + (", one-off" if container.one_off else "")


def _of(environ: Mapping[str, str], flags: Sequence[str]) -> dict[str, str]:
    return {flag: environ[flag] for flag in flags if flag in environ}
