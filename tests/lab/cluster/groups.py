"""Control groups of one cluster: `lab` for its own programs, `pods` for what kubelet starts."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from ..waiting import wait_until

TOP = Path("/sys/fs/cgroup")


def root(name: str) -> str:
    """Return the cluster's group, as every hierarchy names it."""
    return f"dwr-cluster-{name}"


def hierarchies() -> list[Path]:
    """Return the hierarchies of this machine: one per controller, one for all, or both."""
    if (TOP / "cgroup.procs").exists():
        return [TOP]
    return sorted({path.resolve() for path in TOP.iterdir() if (path / "cgroup.procs").exists()})


def create(name: str) -> list[Path]:
    """Make the groups in each hierarchy and return those for the cluster's own programs."""
    homes = []
    for hierarchy in hierarchies():
        parent = hierarchy
        for part in (Path(root(name)), Path(root(name), "lab"), Path(root(name), "pods")):
            group = hierarchy / part
            group.mkdir(exist_ok=True)
            for setting in ("cpuset.cpus", "cpuset.mems"):  # a new group of version 1 may use no processor
                if (hierarchy / setting).exists() and not (group / setting).read_text().strip():
                    (group / setting).write_text((hierarchy / setting).read_text())
            if part.name != "lab" and (parent / "cgroup.controllers").exists():
                parent = group
                _hand_down(group)
        homes.append(hierarchy / root(name) / "lab")
    return homes


def _hand_down(group: Path) -> None:
    """Let the children of a group of version 2 use the controllers that it has."""
    for controller in (group / "cgroup.controllers").read_text().split():
        with contextlib.suppress(OSError):
            (group / "cgroup.subtree_control").write_text(f"+{controller}")


def members(name: str) -> set[int]:
    """Return all processes of the cluster, by their id on this machine."""
    pids: set[int] = set()
    for hierarchy in hierarchies():
        for walked in os.walk(hierarchy / root(name)):
            with contextlib.suppress(OSError):
                pids.update(int(line) for line in Path(walked[0], "cgroup.procs").read_text().split())
    return pids - {0}


def program(name: str, command: str) -> int | None:
    """Return the process of the cluster that runs a program, or None."""
    for pid in members(name):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if Path(os.fsdecode(words[0])).name == command:
                return pid
    return None


def init_of(name: str) -> int | None:
    """Return the cluster's first process by its id on this machine, or None while there is none."""
    for pid in members(name):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            ids = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            # Pods have a first process too, one more namespace down.
            if len(ids) == 2 and ids[-1] == "1" and b"inside.py" in command:
                return pid
    return None


def clear(name: str) -> None:
    """End every process of the cluster and remove its groups. Raises LabError when one of them stays."""
    init = init_of(name)
    if init:
        _kill(init)  # the kernel ends all others of its namespace

    def gone() -> bool:
        for pid in members(name):
            _kill(pid)
        return not members(name)

    wait_until(gone, f"the processes of cluster {name} to end", 20)
    wait_until(lambda: _remove(name), f"the control groups of cluster {name} to go", 10)


def _remove(name: str) -> bool:
    left = False
    for hierarchy in hierarchies():
        for walked in os.walk(hierarchy / root(name), topdown=False):
            try:
                os.rmdir(walked[0])
            except OSError:
                left = True
    return not left


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
