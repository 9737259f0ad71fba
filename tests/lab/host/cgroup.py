"""A control group of its own for each host, in the hierarchies that systemd manages (version 1, 2 or both).

Two systemds in one group would take each other's units for their own; and whatever is in the group is the host's.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from ..waiting import LabError, wait_until

HIERARCHIES = [Path("/sys/fs/cgroup", name) for name in ("systemd", "unified", "")]


def homes(name: str) -> list[Path]:
    """Return the host's group in each hierarchy that this machine has."""
    found = [parent for parent in HIERARCHIES if (parent / "cgroup.procs").exists()]
    return [parent / f"dwr-{name}" for parent in found]


def members(name: str) -> set[int]:
    """Return the processes of the host, by their id on this machine."""
    pids: set[int] = set()
    for home in homes(name):
        for walked in os.walk(home):  # unlike rglob, it passes over groups that go away while we look
            with contextlib.suppress(OSError):
                pids.update(int(line) for line in Path(walked[0], "cgroup.procs").read_text().split())
    return pids - {0}


def init_of(name: str) -> int | None:
    """Return the host's first process (its systemd) by its id on this machine, or None while there is none."""
    for pid in members(name):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            command = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        ids = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
        if len(ids) > 1 and ids[-1] == "1" and command == "systemd":
            return pid
    return None


def clear(name: str, seconds: float = 15) -> None:
    """End every process of the host, the first one first, and remove its groups.

    Raises LabError when one of them stays.
    """
    init = init_of(name)
    if init:
        _kill(init)
        with contextlib.suppress(LabError):  # nspawn ends by itself when its child has; what doesn't is ended below
            wait_until(lambda: not members(name), "nspawn to end", min(5, seconds))

    def gone() -> bool:
        for pid in members(name):
            _kill(pid)
        return not members(name)

    wait_until(gone, f"the processes of host {name} to end", seconds)
    for home in homes(name):
        if home.exists():
            folders = sorted((folder for folder in home.rglob("*") if folder.is_dir()), reverse=True)
            for folder in [*folders, home]:
                folder.rmdir()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
