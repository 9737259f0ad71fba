"""The ways to switch a flag off that are timed against each other, whatever it is switched off in."""

from __future__ import annotations

import json
import re
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from tests.support.play import ROOT, environ

FLAG = "TEAM_X"
#: a line of Python that prints the most memory, in KiB, that its process has taken
PEAK = """print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


class Subject(ABC):
    """What a flag is switched off in; ``what`` names it in the table."""

    what = ""

    @abstractmethod
    def switch_on(self) -> None:
        """Have every process hold the flag on again."""

    @abstractmethod
    def held(self) -> list[str]:
        """Return what every process holds, told without the collection."""

    @abstractmethod
    def pasted(self) -> None:
        """The runbook's commands, for one after the other."""

    @abstractmethod
    def at_once(self) -> None:
        """What the platform itself needs: no more than the necessary commands, for all at once."""

    @abstractmethod
    def module(self) -> float:
        """The module flag, which also reads every process before and after; returns the seconds that it tells."""


ARMS: dict[str, Callable[[Subject], float | None]] = {
    "runbook": lambda subject: subject.pasted(),
    "limit": lambda subject: subject.at_once(),
    "module": lambda subject: subject.module(),
}
#: what the module tells of its own time, without Ansible's and Python's start
STEP = "step"
_TOLD = re.compile(r'"timings": \{[^}]*"total": ([0-9.]+)')


def call_module(inventory: Path, **variables: str) -> float:
    """Call the module flag on all hosts of an inventory, which says what bench_flags and bench_workloads are.

    Returns the seconds of the slowest host's step, as the module itself tells them.
    """
    given = {"flags": "{{ bench_flags }}", "known_flags": [FLAG], "workloads": "{{ bench_workloads }}"}
    argv = ["ansible", "all", "-i", str(inventory), "-m", "dualwrite.rollback.flag", "-a", json.dumps(given)]
    env = environ(ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_FORKS="50", **variables)
    done = subprocess.run(argv, env=env, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return max(map(float, _TOLD.findall(done.stdout)))


def rounds(subject: Subject, number: int) -> dict[str, list[float]]:
    """Time every arm ``number`` times, one after the other in turn; return the seconds by arm, and of the step.

    Raises AssertionError when an arm has left a process that holds the flag on: its time would mean nothing.
    """
    seconds: dict[str, list[float]] = {name: [] for name in (*ARMS, STEP)}
    for dummy in range(number):
        for name, arm in ARMS.items():
            subject.switch_on()
            begun = time.monotonic()
            told = arm(subject)
            seconds[name].append(time.monotonic() - begun)
            if told is not None:
                seconds[STEP].append(told)
            held = subject.held()
            assert set(held) == {"false"}, f"{name} left {held or 'nothing alive'}"
    return seconds
