"""An ansible-playbook under way that a test kills, with all that it has started or only what one signal reaches."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.lab.waiting import wait_until
from tests.support.play import PLAYBOOKS


class Controller:
    """An ansible-playbook process in a session of its own, as a terminal or a job runner starts it."""

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str], reports: Path, output: Path, cwd: Path = PLAYBOOKS
    ) -> None:
        """Start it; ``reports`` is where it keeps its record, ``output`` gets what it says."""
        self.reports = reports
        self.known = set(reports.glob("*/*/record.jsonl"))
        self.began = datetime.now(UTC)
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                argv, cwd=cwd, env=env, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )

    def run_folder(self) -> Path | None:
        """Return the folder of its record, None while there is none."""
        return next((path.parent for path in set(self.reports.glob("*/*/record.jsonl")) - self.known), None)

    def phases(self) -> list[str]:
        """Return the entries of its record so far: "open", or the phase's name."""
        folder = self.run_folder()
        with contextlib.suppress(ValueError):
            if folder:
                entries = [json.loads(line) for line in (folder / "record.jsonl").read_text().splitlines()]
                return [str(entry["data"].get("phase") or entry["type"]) for entry in entries]
        return []

    def family(self) -> list[int]:
        """Return its process and all below it, forks and modules that left its session too, but nothing of the lab."""
        found, known = [], {self.process.pid}
        for pid, parent in sorted(parents().items()):
            if pid in known or parent in known:
                known.add(pid)
                if not _is_of_lab(pid):
                    found.append(pid)
        return found

    def kill_group(self) -> None:
        """Kill what one signal to the process group reaches; a module that runs on the target goes on there."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def kill_all(self) -> None:
        """Kill it, its forks and the module on the target at one moment: each is stopped before any is ended."""
        stopped: list[int] = []
        while new := [pid for pid in self.family() if pid not in stopped]:
            for pid in new:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            stopped += new
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def at_files(paths: Sequence[str]) -> list[int]:
    """Return the processes that have one of these files open."""
    found = []
    for pid in parents():
        with contextlib.suppress(OSError):
            if any(os.readlink(link) in paths for link in Path(f"/proc/{pid}/fd").iterdir()):
                found.append(pid)
    return found


def parents() -> dict[int, int]:
    """Return each process of this machine with its parent."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def _is_of_lab(pid: int) -> bool:
    try:
        return b"LAB_MEMBER_OF=" in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return True


@contextlib.contextmanager
def another_change(fences: Sequence[str]) -> Iterator[None]:
    """Hold the files that keep two changes of the same thing apart, as another change would."""
    with contextlib.ExitStack() as held:
        for path in fences:
            fcntl.flock(held.enter_context(open(path, "a", encoding="ascii")), fcntl.LOCK_EX)
        yield


def killed_when(one: Controller, reached: Callable[[Controller], bool], output: Path) -> str:
    """Wait until something is so, kill the controller with all that it has started, and return its run's name."""
    try:
        wait_until(lambda: reached(one) or one.process.poll() is not None, "the moment", 60)
    finally:
        one.kill_all()
    said = output.read_text()
    assert one.process.returncode < 0, said
    assert "close" not in one.phases(), said
    folder = one.run_folder()
    assert folder, said
    return folder.name


def taken_over(record: Path) -> bool:
    """Return whether a dead run's record ends with who found it and who took it over."""
    lines = record.read_text().splitlines()
    return [json.loads(line)["type"] for line in lines[-2:]] == ["interrupted", "takeover"]
