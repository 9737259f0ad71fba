"""Start, find and end the processes of one lab.

Every process of a lab carries LAB_MEMBER_OF=<folder> in its environment from its start on, so that all of them are
found even after a crash of whoever started them, and no other process ever is. An id is always used together with
its start time, and signals go through a pidfd: a reused id is never hit.
"""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .waiting import LabError, wait_until


@dataclass(frozen=True)
class Process:
    """One process; `start_time` in clock ticks since boot (field 22 of /proc/<pid>/stat)."""

    pid: int
    start_time: int
    command: str

    def alive(self) -> bool:
        """Say whether it still runs (a zombie does not)."""
        return start_time(self.pid) == self.start_time

    def send(self, number: int) -> None:
        """Send a signal, unless the process is gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive():
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)


def start_time(pid: int) -> int | None:
    """Return the start of a live process in clock ticks since boot, None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def look_up(pid: int) -> Process | None:
    """Return a live process by its id."""
    began = start_time(pid)
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if began is None else Process(pid, began, command)


def from_pidfile(path: Path, needle: str) -> Process | None:
    """Return the live process that a pidfile names, if its command line holds `needle`."""
    try:
        process = look_up(int(path.read_text().split()[0]))
    except (FileNotFoundError, ValueError, IndexError):
        return None
    return process if process and needle in process.command else None


def of_lab(folder: Path) -> list[Process]:
    """Return every live process of the lab in this folder."""
    mark = b"LAB_MEMBER_OF=" + os.fsencode(folder)
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            marked = mark in (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile, or another user's
            continue
        process = look_up(int(entry.name)) if marked else None
        if process:
            found.append(process)
    return found


def spawn(argv: list[str], log: Path, environ: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Start a process in a session of its own, output to `log`. It is reaped here, should it end before us."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environ, start_new_session=True
        )
    threading.Thread(target=child.wait, daemon=True).start()
    return child


def end(processes: Iterable[Process], number: int = signal.SIGTERM, seconds: float = 12.0) -> None:
    """Signal all, wait for them, and SIGKILL those that stay. Raise LabError if one survives even that."""
    going = list(processes)
    for wanted, patience in ((number, seconds), (signal.SIGKILL, 5.0)):
        for process in going:
            process.send(wanted)
        with contextlib.suppress(LabError):
            wait_until(lambda some=going: not _living(some), "all ended", patience)
        going = _living(going)
    if going:
        raise LabError(f"processes that can't be ended: {[process.pid for process in going]}")


def _living(some: list[Process]) -> list[Process]:
    return [process for process in some if process.alive()]
