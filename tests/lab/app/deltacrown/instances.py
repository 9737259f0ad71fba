"""Each process tells which flags it really holds, in a file of its own: run_dir/instances/<pid>.json.

A reload by signal changes what a process holds without changing /proc/<pid>/environ, so a reader needs another
source. Without LAB_RUN_DIR nothing is written.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path


def start_time(pid: int) -> int:
    """Return the start of a process in clock ticks since boot: field 22 of /proc/<pid>/stat."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[19])


def _path(pid: int) -> Path | None:
    run_dir = os.environ.get("LAB_RUN_DIR")
    return Path(run_dir, "instances", f"{pid}.json") if run_dir else None


def announce(flags: Mapping[str, bool]) -> None:
    """Write this process's file, all at once."""
    path = _path(os.getpid())
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "pid": os.getpid(),
        "start_time": start_time(os.getpid()),
        "flags": {name: "true" if value else "false" for name, value in flags.items()},
    }
    aside = path.with_suffix(f".{os.getpid()}.tmp")
    aside.write_text(json.dumps(state) + "\n")
    aside.replace(path)


def withdraw(pid: int) -> None:
    """Remove the file of a process that has ended or is about to."""
    path = _path(pid)
    if path is not None:
        path.unlink(missing_ok=True)
