# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods, and every process in them with the environment that it holds, read from inside each container."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import InvalidInput, NotFound, Unreachable
from ..core.parallel import of_each
from .inside import Held, Look
from .kubernetes_api import Api
from .kubernetes_objects import Object

NO_SHELL = "Its image has neither sh nor cat, so that no proof is possible; add them, or leave the container out."


@dataclass(frozen=True)
class Process:
    """One process of one container; ``held`` is None for a container that can't be looked into just now."""

    pod: Object
    container: str
    held: Held | None
    why: str = ""

    @property
    def id(self) -> str:
        """A text that no other process will ever have."""
        uid = f"{self.pod['metadata']['uid']}:{self.container}"
        return f"{uid}:{self.held.pid}:{self.held.started}" if self.held else uid


def alive(pod: Mapping[str, Any]) -> bool:
    """Return whether processes of a pod run or may yet start.

    None do in a pod that has ended or was evicted, nor in one that was told to end and whose containers have: its
    object may stay for a while (it is cleaned up), but nothing in it writes any more.
    """
    status = pod.get("status") or {}
    if status.get("phase") in ("Failed", "Succeeded"):
        return False
    told = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
    return not (ending(pod) and bool(told) and all(_ended(one) for one in told))


def _ended(container: Mapping[str, Any]) -> bool:
    """Return whether a container of a pod that was told to end has ended: nothing starts it again there.

    One that the kubelet has removed already is told as waiting, with a last state.
    """
    state, last = container.get("state") or {}, container.get("lastState") or {}
    return "terminated" in state or ("waiting" in state and "terminated" in last)


def ending(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod has been told to end."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def running_containers(pod: Mapping[str, Any]) -> list[str]:
    """Return the names of the containers that run now, init containers too."""
    status = pod.get("status") or {}
    told = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
    return [str(one["name"]) for one in told if "running" in (one.get("state") or {})]


def processes(api: Api, pods: Sequence[Object], chosen: Callable[[Object], Sequence[str]]) -> dict[str, list[Process]]:
    """Return, by pod name, every process of the running containers that ``chosen`` names for a pod.

    All are read at once; a pod that is gone by then is left out, one that can't be reached has one Process without
    ``held``. Raises InvalidInput where there is no shell, or where a process may not be looked into.
    """
    pairs = {
        (str(pod["metadata"]["name"]), name): pod
        for pod in pods
        if alive(pod)
        for name in running_containers(pod)
        if name in chosen(pod)
    }
    found: dict[str, list[Process]] = {}
    for (name, dummy), listed in of_each(pairs, lambda pair: _read(api, pairs[pair], pair[1])).items():
        found.setdefault(name, []).extend(listed)
    return found


def _read(api: Api, pod: Object, container: str) -> list[Process]:
    metadata = pod["metadata"]
    where = f"pod {metadata['namespace']}/{metadata['name']}, container {container}"
    look = Look()
    try:
        done = api.execute(metadata["namespace"], metadata["name"], container, look.argv)
    except NotFound:
        return []
    except Unreachable as error:
        return [Process(pod, container, None, error.what)]
    if done.rc in (126, 127):
        raise InvalidInput("its processes can't be looked into: there is no shell inside", where=where, hint=NO_SHELL)
    held = look.told(done.stdout, shared=bool((pod.get("spec") or {}).get("shareProcessNamespace")))
    for one in held:
        if one.environ is None:
            raise InvalidInput(
                f"the environment of process {one.pid} can't be read by the user that the container runs as",
                where=where,
                hint="Run all its processes as the container's own user.",
            )
    return [Process(pod, container, one) for one in held]


def role_of(process: Process, among: Sequence[Process]) -> str:
    """Return what a process is among those of its container: the first one leads."""
    mine = [one for one in among if one.container == process.container]
    return "main" if len(mine) == 1 else "master" if process is mine[0] else "worker"


def called(process: Process, among: Sequence[Process], several: bool) -> str:
    """Return how a person is told of a process; with ``several`` containers their names are told too."""
    place = str(process.pod["metadata"]["name"]) + (f"/{process.container}" if several else "")
    if process.held is None:
        return f"{place} (can't be looked into: {process.why})"
    return f"{place} {role_of(process, among)} {process.held.pid}"
