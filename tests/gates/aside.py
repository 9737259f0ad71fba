"""Run programs beside the tiers that mostly wait: one after the other, last in line for the cores, read when ended.

What a program says goes to a file of its own and is told whole, between two tiers, never into one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from .tier import ROOT

#: seconds that a program which is asked to end has to tidy up
GRACE = 20.0
LOWEST = "19"


class Aside:
    """Programs by name, run in this order; leaving the ``with`` block ends what still runs."""

    def __init__(self, programs: dict[str, list[str]]) -> None:
        self._programs = programs
        self._folder = tempfile.TemporaryDirectory(prefix="dualwrite-aside-")
        self._ended = {name: threading.Event() for name in programs}
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self._over = False
        self._running: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Aside:
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        with self._lock:
            self._over = True
            running = self._running
        if running:
            _end(running)
        self._thread.join()
        self._folder.cleanup()

    def tell(self, wait: bool = False) -> None:
        """Show what each program said that has ended since the last call; ``wait`` for all the others."""
        for name, ended in self._ended.items():
            if name in self._told or not (wait or ended.is_set()):
                continue
            ended.wait()
            self._told.add(name)
            print(f"\n== beside the tiers before: {name}", flush=True)
            print(self._output(name).read_text(encoding="utf-8", errors="replace"), end="", flush=True)

    def _work(self) -> None:
        for name, argv in self._programs.items():
            with self._output(name).open("wb") as output:
                with self._lock:
                    if self._over:
                        return
                    self._running = _start(argv, output.fileno())
                self._running.wait()
            self._ended[name].set()

    def _output(self, name: str) -> Path:
        return Path(self._folder.name) / f"{name.replace(' ', '-')}.out"


def _start(argv: list[str], output: int) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, which the kernel weighs as one: ``nice`` alone counts only within it."""
    started = subprocess.Popen(
        ["nice", "-n", LOWEST, *argv],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    with contextlib.suppress(OSError):  # a kernel without such groups, or a program that has ended already
        Path(f"/proc/{started.pid}/autogroup").write_text(LOWEST, encoding="ascii")
    return started


def _end(running: subprocess.Popen[bytes]) -> None:
    """Ask a program and its children to end, and kill what is left after a while."""
    for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, 5.0)):
        until = time.monotonic() + patience
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, number)
            while time.monotonic() < until:
                running.poll()
                os.killpg(running.pid, 0)
                time.sleep(0.1)
