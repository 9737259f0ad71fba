# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several units as one workload: all that a pattern finds, the instances of a template above all.

Each of them is a SystemdPlatform of its own; here stands only what is to be said of them together.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.booleans import BooleanWords
from ..core.deadline import Deadline
from ..core.errors import InvalidInput, NotFound, RollbackError
from ..core.evidence import parse_time
from ..core.parallel import for_each
from ..core.process import Finished
from .base import Carrier, Change, Declared, Instance, Platform, Stopped
from .memory import Memory, runtime_folder
from .processes import RESTART
from .settings import Settings
from .systemd import SystemdPlatform

_PATTERN = re.compile(r"[A-Za-z0-9_@:.\\*?\[\]-]+")
#: what list-units calls a unit that has processes, or is about to
_UP = ("active", "reloading", "refreshing", "activating", "deactivating")


def systemd(name: str, options: Mapping[str, Any], words: BooleanWords | None = None) -> Platform:
    """Return the platform of one unit, or of several when the option ``unit`` is a pattern."""
    several = re.search(r"[*?\[]", str(options.get("unit") or ""))
    return Units(name, options, words) if several else SystemdPlatform(name, options, words)


class Units(Platform):
    """All loaded units that a pattern finds when it is first looked; they are changed and restarted at once."""

    OPTIONS = SystemdPlatform.OPTIONS

    def __init__(self, name: str, options: Mapping[str, Any], words: BooleanWords | None = None) -> None:
        super().__init__(name, options, words)
        pattern = Settings(name, options, self.OPTIONS).text("unit")
        self.where = f"workload '{name}'"
        if not _PATTERN.fullmatch(pattern):
            raise InvalidInput(f"the option 'unit' is no pattern of units: '{pattern}'", where=self.where)
        self.pattern = pattern if re.search(r"\.[a-z*]+$", pattern) else f"{pattern}.service"
        self.manager = self._part("of-a-pattern.service").unit  # refuses wrong options at once
        self.may_be_stopped = self._part(self.manager.name).may_be_stopped
        self._parts: dict[str, SystemdPlatform] = {}
        self._ran: set[str] = set()
        self._of: dict[str, SystemdPlatform] = {}

    def _part(self, unit: str) -> SystemdPlatform:
        return SystemdPlatform(self.name, {**self.options, "unit": unit}, self.words)

    def parts(self) -> dict[str, SystemdPlatform]:
        """Return the units by name; raises NotFound when the pattern finds none."""
        if not self._parts:
            shown = ("--all", "--type=service", "--plain", "--no-legend", "--full")
            listed = self.manager.systemctl("list-units", *shown, "--", self.pattern).stdout.splitlines()
            rows = [line.split() for line in listed if line.strip() and line.split()[1] != "not-found"]
            self._ran = {row[0] for row in rows if row[2] in _UP}
            names = [row[0] for row in rows]
            if not self._ran:
                # instances that were stopped are not loaded any more
                names += [one for one in (self.memory.recall() or {}).get("units", []) if one not in names]
            if not names:
                raise NotFound(
                    f"no unit is found by the pattern '{self.pattern}'",
                    where=self.where,
                    hint="See systemctl list-units --all; what is stopped and not enabled is not there.",
                )
            self._parts = {name: self._part(name) for name in names}
        return self._parts

    def identity(self) -> dict[str, Any]:
        """Return host name, machine id, and the pattern in the unit's place."""
        return {**self._part(self.manager.name).identity(), "unit": self.pattern}

    def notes(self) -> list[str]:
        """Return what there is to say of the units."""
        return [note for part in self._parts.values() for note in part.notes()]

    def touches(self) -> set[str]:
        """Return what the units touch, one by one, so that a workload of a single one waits."""
        found = super().touches()
        for part in self.parts().values():
            found |= part.touches()
        return found

    # --- what is declared ------------------------------------------------------------------------------------------

    def declared(self, flags: Sequence[str]) -> dict[str, Declared]:
        """Return what the units' next start gives; a text that names them where they differ, which no word is."""
        told = {name: part.declared(flags) for name, part in self.parts().items()}
        return {flag: _together({name: one[flag] for name, one in told.items()}) for flag in flags}

    def plan(self, flags: Mapping[str, str]) -> list[Change]:
        """Return the edits of all units, a file that they share once."""
        found: list[Change] = []
        for part in self.parts().values() if flags else ():
            found += [change for change in part.plan(flags) if change not in found]
        return found

    def declare(self, flags: Mapping[str, str]) -> list[Change]:
        """Write the files of all units or of none."""
        made: list[Change] = []
        for part in self.parts().values():
            try:
                made += part.declare(flags)
            except RollbackError:
                self.undeclare(made)
                raise
        return made

    def undeclare(self, changes: Sequence[Change]) -> None:
        """Put the files' former bytes back; the service manager reads its unit files again for all."""
        if changes:
            next(iter(self.parts().values())).undeclare(changes)

    # --- what runs -------------------------------------------------------------------------------------------------

    def instances(self) -> list[Instance]:
        """Return the processes of all units, each with the name of its unit."""
        of: dict[str, SystemdPlatform] = {}
        found: list[Instance] = []
        for name, part in self.parts().items():
            for one in part.instances():
                of[one.id] = part
                found.append(Instance(one.id, f"{name.rpartition('.')[0]} {one.name}", one.started, one.role))
        self._of = of
        return found

    def effective(self, instance: Instance, flags: Sequence[str]) -> dict[str, str | None]:
        """Return what the process holds."""
        return self._unit_of(instance).effective(instance, flags)

    def execute(self, instance: Instance, argv: Sequence[str], deadline: Deadline) -> Finished:
        """Run a command as the process would."""
        return self._unit_of(instance).execute(instance, argv, deadline)

    def _unit_of(self, instance: Instance) -> SystemdPlatform:
        if instance.id not in self._of:
            raise NotFound("the process is gone", where=f"{self.where}, {instance.name}")
        return self._of[instance.id]

    def reach(self) -> str:
        """Return that all processes of this host are looked through."""
        return self._part(self.manager.name).reach()

    def carriers(self, flags: Sequence[str]) -> list[Carrier]:
        """Return every process of this host with one of the flags in its environment."""
        return self._part(self.manager.name).carriers(flags)

    def members(self) -> set[str]:
        """Return all processes of all units."""
        return {one for part in self.parts().values() for one in part.members()}

    # --- roll, stop, start, logs -----------------------------------------------------------------------------------

    def roll(self, deadline: Deadline, flags: Mapping[str, str]) -> str:
        """Roll, all at once, those units that ran and lack what they declare; the error names each that fails."""
        parts = self.parts()
        todo = [name for name in parts if name in self._ran and self._lacks(parts[name], list(flags))]
        ways = self._each(todo, lambda name: parts[name].roll(deadline, _declares(parts[name], list(flags))))
        return ", ".join(dict.fromkeys(way for one in ways.values() for way in one.split(", "))) or RESTART

    def _lacks(self, part: SystemdPlatform, flags: Sequence[str]) -> bool:
        wanted = _declares(part, flags)
        held = [part.effective(one, flags) for one in part.instances()]
        return not held or any(
            self.words.read(one[flag]) != self.words.read(raw) for one in held for flag, raw in wanted.items()
        )

    def _each(self, names: Sequence[str], work: Any) -> dict[str, Any]:
        done, errors = for_each(names, work)
        if len(errors) > 1:
            first = next(iter(errors.values()))
            told = " ".join(str(error) for error in errors.values())
            raise type(first)(f"{len(errors)} units failed. {told}", where=self.where)
        for error in errors.values():
            raise error
        return done

    @property
    def memory(self) -> Memory:
        """A file that outlives no boot, with the names of the units that ran."""
        whose = f"{self.manager.user}." if self.manager.user else ""
        return Memory(os.path.join(runtime_folder(), f"dualwrite.{whose}{self.pattern}.stopped"))

    def stop(self, deadline: Deadline) -> Stopped:
        """Stop all units; which ones ran is written down first."""
        parts = self.parts()
        ran = [name for name, part in parts.items() if part.running()]
        state = {"running": bool(ran), "units": ran}
        self.memory.keep(state)
        self._each(ran, lambda name: parts[name].end(parts[name].running(), deadline))
        return Stopped(self.name, state)

    def remembered(self) -> Stopped | None:
        """Return what was written down."""
        state = self.memory.recall()
        return None if state is None else Stopped(self.name, state)

    def start(self, stopped: Stopped, deadline: Deadline) -> None:
        """Start those units that ran; where nobody knows which, all."""
        if stopped.state.get("running"):
            names = [str(name) for name in stopped.state.get("units") or self.parts()]
            parts = {name: self._part(name) for name in names}
            self._each(names, lambda name: parts[name].restart([], deadline))
            self._parts, self._ran = {**self._parts, **parts}, self._ran | set(names)
        self.memory.forget()

    def logs(self, since: str) -> list[str]:
        """Return the messages of all units in the journal since then, in the order of time."""
        first, *others = self.parts().values()
        return first.unit.journal_since(parse_time(since).timestamp(), [one.unit.name for one in others])


def _declares(part: SystemdPlatform, flags: Sequence[str]) -> dict[str, str]:
    """Return what a unit declares: the values of before, once a change was taken back, may differ by unit."""
    return {flag: one.value for flag, one in part.declared(flags).items() if one.value is not None}


def _together(told: Mapping[str, Declared]) -> Declared:
    sources = tuple(dict.fromkeys(one.source for one in told.values()))
    shadowed = tuple(dict.fromkeys(place for one in told.values() for place in one.shadowed))
    values = {one.value for one in told.values()}
    if len(values) == 1:
        return Declared(values.pop(), ", ".join(sources), shadowed)
    each = ", ".join(f"{'(missing)' if one.value is None else one.value} in {name}" for name, one in told.items())
    return Declared(each, ", ".join(sources), shadowed)
