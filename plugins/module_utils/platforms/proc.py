# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes as /proc shows them (proc(5)). A process is its pid and its start time: a reused pid is another one."""

from __future__ import annotations

import contextlib
import json
import os
import select
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from ..core.deadline import Deadline, wait_until
from ..core.errors import DeadlinePassed, InvalidInput, NotFound
from ..core.evidence import format_time

_TICKS = os.sysconf("SC_CLK_TCK")
_ENDED = ("Z", "X", "x")
_PRIVILEGE = "Run the task as root or as the process's user (become)."


@dataclass(frozen=True)
class Process:
    """One process: ``started`` in clock ticks after boot (field 22 of /proc/<pid>/stat)."""

    pid: int
    parent: int
    started: int

    @property
    def id(self) -> str:
        """The process for as long as it lives: ``<pid>:<start ticks>``."""
        return f"{self.pid}:{self.started}"

    @property
    def started_at(self) -> str:
        """The start as ISO 8601 UTC."""
        boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        return format_time(datetime.fromtimestamp(boot + self.started / _TICKS, timezone.utc))


def find(pid: int) -> Process | None:
    """Return the process that has ``pid`` now; None when there is none, or only what its parent has not collected."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            # the name, in brackets, may hold blanks and brackets itself
            fields = stream.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if len(fields) < 20 or fields[0].decode() in _ENDED:
        return None
    return Process(pid, int(fields[1]), int(fields[19]))


def alive(process: Process) -> bool:
    """Return whether this very process still runs."""
    now = find(process.pid)
    return now is not None and now.started == process.started


def every() -> list[Process]:
    """Return all processes that run now, in the order of their pids."""
    found = (find(int(name)) for name in sorted(filter(str.isdigit, os.listdir("/proc")), key=int))
    return [process for process in found if process]


def ancestors(pid: int) -> list[Process]:
    """Return the process ``pid`` and those that led to it, parents last."""
    found: list[Process] = []
    process = find(pid)
    while process:
        found.append(process)
        process = find(process.parent)
    return found


def in_our_namespace(process: Process) -> bool:
    """Return whether the process has the pid namespace of this one: one in a container does not."""
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{process.pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    return False


def family(top: Process) -> list[Process]:
    """Return ``top`` and all its descendants, parents first; empty when ``top`` is gone."""
    children: dict[int, list[Process]] = {}
    for process in every():
        children.setdefault(process.parent, []).append(process)
    if not alive(top):
        return []
    found = [top]
    for process in found:
        found.extend(child for child in children.get(process.pid, []) if child.started >= process.started)
    return found


def of_control_group(path: str) -> list[Process]:
    """Return the processes in the control group ``path`` (as systemd names it) and those below it."""
    return [process for process in every() if _in_control_group(process.pid, path)]


def _in_control_group(pid: int, path: str) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as stream:
        for line in stream:
            number, controllers, group = line.rstrip("\n").split(":", 2)
            ours = number == "0" or controllers == "name=systemd"
            if ours and (group == path or group.startswith(path.rstrip("/") + "/")):
                return True
    return False


def command_line(process: Process) -> str:
    """Return the arguments joined by blanks; empty when the process is gone."""
    with contextlib.suppress(OSError), open(f"/proc/{process.pid}/cmdline", "rb") as stream:
        text = stream.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        return text if alive(process) else ""
    return ""


def environment(process: Process) -> dict[str, str]:
    """Return the environment that the process was started with; the first of equal names wins, as in getenv(3).

    Raises NotFound when the process is gone, InvalidInput when this user may not look.
    """
    try:
        with open(f"/proc/{process.pid}/environ", "rb") as stream:
            content = stream.read()
    except PermissionError as error:
        raise InvalidInput(
            "this user may not read the environment of the process", where=f"pid {process.pid}", hint=_PRIVILEGE
        ) from error
    except OSError as error:
        raise NotFound("the process is gone", where=f"pid {process.pid}") from error
    # one that is ending is still there for a moment; kernels before 6.15 then show an empty environment
    if not alive(process) or not (content or command_line(process)):
        raise NotFound("the process is gone", where=f"pid {process.pid}")
    return parse_environment(content)


def parse_environment(content: bytes) -> dict[str, str]:
    """Return names and values of NUL-separated ``NAME=value`` bytes; the first of equal names wins."""
    found: dict[str, str] = {}
    for entry in content.split(b"\0"):
        name, equals, value = entry.partition(b"=")
        if equals:
            found.setdefault(os.fsdecode(name), os.fsdecode(value))
    return found


def announced(path: str, process: Process) -> dict[str, str] | None:
    """Return the flags that the application itself wrote to its state file, ``{pid, start_time, flags}`` in JSON.

    None when there is no such file, or it is not of this very process (its start_time differs), or it is unfinished.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            state = json.load(stream)
        if int(state["start_time"]) != process.started or int(state.get("pid", process.pid)) != process.pid:
            return None
        flags = state["flags"]
        return {str(name): _as_text(value) for name, value in flags.items() if value is not None}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def identity_of(process: Process) -> tuple[int, int, list[int]]:
    """Return user, group and further groups that the process runs as (ids); raises NotFound when it is gone."""
    ids: dict[str, list[int]] = {}
    with contextlib.suppress(OSError), open(f"/proc/{process.pid}/status", encoding="utf-8") as stream:
        for line in stream:
            name, dummy, values = line.partition(":")
            if name in ("Uid", "Gid", "Groups"):
                ids[name] = [int(value) for value in values.split()]
    if len(ids) < 3 or not alive(process):
        raise NotFound("the process is gone", where=f"pid {process.pid}")
    return ids["Uid"][1], ids["Gid"][1], ids["Groups"]


def folder_of(process: Process) -> str:
    """Return the working folder of the process; raises NotFound when it is gone or may not be looked at."""
    try:
        return os.readlink(f"/proc/{process.pid}/cwd")
    except OSError as error:
        raise NotFound("the working folder of the process can't be read", where=f"pid {process.pid}") from error


def send(process: Process, number: int) -> bool:
    """Send a signal to this very process and return whether it was there; a stranger with its pid is never hit.

    Raises InvalidInput when this user may not signal it.
    """
    if not alive(process):
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise InvalidInput(
            "this user may not signal the process", where=f"pid {process.pid}", hint=_PRIVILEGE
        ) from error
    return True


def wait_gone(processes: Iterable[Process], deadline: Deadline, *, where: str = "") -> None:
    """Wait until all of these processes have ended; told by the kernel (pidfd_open(2)) where it can.

    Raises DeadlinePassed that names those which still run.
    """
    waiting = list(processes)
    with _watching(waiting) as watch:
        try:
            wait_until(lambda: not any(map(alive, waiting)), deadline, what="the end of the processes", watch=watch)
        except DeadlinePassed as error:
            left = ", ".join(f"pid {process.pid}" for process in waiting if alive(process))
            raise DeadlinePassed(
                f"{left} still ran {deadline.seconds:.0f} s after being told to stop",
                where=where,
                hint="See what it waits for; it holds the old values.",
            ) from error


def lived_on(process: Process, seconds: float) -> bool:
    """Return whether the process is still there after ``seconds``; returns as soon as it ends."""
    deadline = Deadline(seconds)
    with _watching([process]) as watch:
        while alive(process) and not deadline.passed():
            watch(min(deadline.left(), 0.5))
    return alive(process)


class _watching:
    """Hand out a ``watch(seconds)`` that returns when one of the processes ends, or sleeps where that can't be had."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self.handles: list[int] = []
        self.poll = select.poll()
        for process in processes:
            with contextlib.suppress(OSError, AttributeError):
                handle = os.pidfd_open(process.pid)
                self.handles.append(handle)
                if alive(process):
                    self.poll.register(handle, select.POLLIN)

    def __enter__(self) -> _watching:
        return self

    def __call__(self, seconds: float) -> None:
        if not self.handles:
            time.sleep(seconds)
            return
        for handle, dummy in self.poll.poll(max(1, int(seconds * 1000))):
            self.poll.unregister(handle)

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            os.close(handle)
