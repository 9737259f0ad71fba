# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a platform can do with one workload, and the values it speaks in.

A platform is one class in one file behind :class:`Platform`; ``registry.py`` lists them. What all of them share
(compare, decide, wait for values, undo, the shape of the result) stands once in ``steps/flag.py``.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.booleans import BooleanWords
from ..core.deadline import Deadline
from ..core.process import Finished

#: facts of ``identity`` that tell the host, not the workload
HOST_FACTS = ("hostname", "machine_id")


@dataclass(frozen=True)
class Declared:
    """Where the source of truth stands: the raw text of a flag and the place it comes from.

    ``value`` is None when no source names the flag; ``source`` is a file path (with line) or an object's name;
    ``shadowed`` lists other places that also name the flag and lose.
    """

    value: str | None
    source: str
    shadowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Instance:
    """One running copy of a workload.

    ``id`` is stable while it lives (pid and start time, pod UID, container id), ``started`` ISO 8601 UTC,
    ``role`` what it is within the workload ("master", "worker", "main").
    """

    id: str
    name: str
    started: str
    role: str = "main"


@dataclass(frozen=True)
class Carrier:
    """Something that holds a flag, whether the inventory lists it or not.

    ``id`` is that of an instance where it is one, ``name`` says to a person what it is, ``holds`` is flag to raw text.
    """

    id: str
    name: str
    holds: Mapping[str, str]


@dataclass(frozen=True)
class Change:
    """One edit made by ``declare``, with what is needed to take it back and to show it.

    ``before``/``after`` are the changed lines only (never neighbouring lines: they may hold secrets).
    """

    where: str
    before: str
    after: str
    undo: Any = None


@dataclass(frozen=True)
class Stopped:
    """What was running before ``stop``, enough for ``start`` to bring it back."""

    workload: str
    state: Mapping[str, Any] = field(default_factory=dict)


class Platform(ABC):
    """One workload on one platform. ``options`` is the workload's entry in the inventory, validated by the class."""

    #: the option names this platform accepts, each with a one-line meaning (used for error messages and docs)
    OPTIONS: Mapping[str, str] = {}

    #: whether ``declare`` may run while that of other workloads does, because nothing is lost when both edit one place
    declares_beside_others: bool = False

    #: whether a workload that does not run is no failure
    may_be_stopped: bool = False

    def __init__(self, name: str, options: Mapping[str, Any], words: BooleanWords | None = None) -> None:
        """Take the workload's name, its options and the words its application takes for true and false.

        Raises InvalidInput that names workload and option; nothing is looked at yet.
        """
        self.name = name
        self.options = dict(options)
        self.words = words or BooleanWords()
        self.beside: list[Platform] = []

    def meet(self, others: Iterable[Platform]) -> None:
        """Learn of the other workloads of the same call: a value that they share may change for all of them."""
        self.beside = list(others)

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return who the target is (host name, machine id, unit or pidfile): compared with what the inventory says."""

    def touches(self) -> set[str]:
        """Return names of what a change touches; changes that have one in common run one after the other."""
        facts = {fact: value for fact, value in self.identity().items() if fact not in HOST_FACTS}
        files = [self.options["env_file"]] if self.options.get("env_file") else []
        return {f"{fact} {value}" for fact, value in facts.items()} | {f"file {os.path.realpath(one)}" for one in files}

    def reach(self) -> str:
        """Return a name for what ``carriers`` looks through; empty when it can't look beyond the workload itself."""
        return ""

    def carriers(self, flags: Sequence[str]) -> list[Carrier]:
        """Return everything within reach that holds one of these flags, the workload's own instances too."""
        return []

    def members(self) -> set[str]:
        """Return the ids of all carriers that are parts of the workload, those too that don't count as instances."""
        return {one.id for one in self.instances()}

    def notes(self) -> list[str]:
        """Return sentences for the operator on what the last plan or change touches, none when all is plain."""
        return []

    @abstractmethod
    def declared(self, flags: Sequence[str]) -> dict[str, Declared]:
        """Return, per flag, the value that the next start of the workload will hold and where it comes from."""

    @abstractmethod
    def instances(self) -> list[Instance]:
        """Return every running instance that holds the flags, masters and workers alike; empty when none runs."""

    def interrupted(self) -> bool:
        """Return whether an earlier ``roll`` was killed after it had stopped the workload: it has to be started."""
        return False

    def resumed(self) -> None:
        """Forget that an earlier ``roll`` was killed: the workload runs, and may be stopped on purpose from now on."""
        return None

    @abstractmethod
    def effective(self, instance: Instance, flags: Sequence[str]) -> dict[str, str | None]:
        """Return, per flag, the raw text that this running instance holds; None when it holds none.

        Raises NotFound when the instance is gone.
        """

    @abstractmethod
    def plan(self, flags: Mapping[str, str]) -> list[Change]:
        """Return the edits that ``declare`` would make for these raw values, without making them."""

    @abstractmethod
    def declare(self, flags: Mapping[str, str]) -> list[Change]:
        """Write the raw values where they come from, all or none, and return what was changed."""

    @abstractmethod
    def undeclare(self, changes: Sequence[Change]) -> None:
        """Take the edits back, newest first.

        Raises Conflict when somebody else has edited the same place since.
        """

    @abstractmethod
    def roll(self, deadline: Deadline, flags: Mapping[str, str]) -> str:
        """Make new instances hold what is declared, and return how it was done ("reload", "restart").

        ``flags`` are the raw values that ``declare`` wrote. Ends when the new instances run and no instance of before
        is left. Starts a workload that does not run. Raises, with the platform's own reason (exit code, last log
        lines) in the sentence: CommandFailed when the workload does not start, DeadlinePassed when old instances
        stay, VerificationFailed when a reload changes nothing and a restart is not allowed.
        """

    @abstractmethod
    def stop(self, deadline: Deadline) -> Stopped:
        """Stop every instance and return what was running.

        What ran is remembered on the workload itself, where every controller finds it; a second stop forgets nothing.
        """

    @abstractmethod
    def remembered(self) -> Stopped | None:
        """Return what the last ``stop`` had found running; None when nothing is remembered, or it was started since."""

    @abstractmethod
    def start(self, stopped: Stopped, deadline: Deadline) -> None:
        """Start what ``stop`` had found running."""

    @abstractmethod
    def logs(self, since: str) -> list[str]:
        """Return the workload's log lines since an ISO 8601 time, oldest first."""

    @abstractmethod
    def execute(self, instance: Instance, argv: Sequence[str], deadline: Deadline) -> Finished:
        """Run ``argv`` with the environment, folder and user of a running instance; the exit code is in the result."""
