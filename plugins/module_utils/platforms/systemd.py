# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform systemd: one unit, its EnvironmentFile= and Environment=, and every process of its control group.

EnvironmentFile= beats Environment=, which beats PassEnvironment=; UnsetEnvironment= beats all (systemd.exec(5)).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.booleans import BooleanWords
from ..core.deadline import Deadline
from ..core.errors import DeadlinePassed, InvalidInput
from ..core.evidence import parse_time
from . import edits, env_file, proc, unit_env
from .base import Change, Declared
from .memory import Memory, runtime_folder
from .processes import COMMON_OPTIONS, ProcessPlatform
from .unit import State, Unit

#: what is not edited: of packages and generators, and an administrator's for the units of all users
_VENDOR = ("/usr/lib/", "/lib/", "/run/", "/etc/systemd/user/", "/etc/xdg/systemd/user/")
_DROP_IN, _LATER_DROP_IN = "90-dualwrite.conf", "zz-dualwrite.conf"
FILE, UNIT, PASSED, UNSET = "EnvironmentFile", "Environment", "PassEnvironment", "UnsetEnvironment"


@dataclass(frozen=True)
class Source:
    """One place that gives a flag: its kind, file, line and raw value."""

    kind: str
    path: str
    line: int
    value: str | None
    place: unit_env.Place | None = None

    @property
    def vendor(self) -> bool:
        """Whether the file is somebody else's (a package's, a generator's), so that an edit would be lost."""
        return self.kind == UNIT and os.path.realpath(self.path).startswith(_VENDOR)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else f"{self.kind}= of {self.path}"


class SystemdPlatform(ProcessPlatform):
    """One unit. Its main process leads; the others in its control group are workers."""

    OPTIONS = {
        **COMMON_OPTIONS,
        "unit": "name of the unit",
        "scope": "whose service manager runs it: system or user",
        "user": "the user whose service manager runs it; without it that is the one who runs the task",
        "env_file": "which of the unit's EnvironmentFile= gets a flag that is declared nowhere yet",
    }

    def __init__(self, name: str, options: Mapping[str, Any], words: BooleanWords | None = None) -> None:
        super().__init__(name, options, words)
        user = self.settings.optional("user")
        scope = self.settings.text("scope", "user" if user else "system", one_of=("system", "user"))
        if user and scope == "system":
            raise InvalidInput("the option 'user' has no meaning for a unit of the system", where=self.where)
        self.unit = Unit(self.settings.text("unit"), of_user=scope == "user", where=self.where, user=user)
        self.env_file = self.settings.optional("env_file")

    def identity(self) -> dict[str, Any]:
        """Return host name, machine id and unit, and the user where one is named."""
        named = {"user": self.unit.user} if self.unit.user else {}
        return {**super().identity(), "unit": self.unit.name, **named}

    def notes(self) -> list[str]:
        """Return that the unit ends with its user's last session, where it does."""
        if not self.unit.ends_with_its_user():
            return []
        user = self.unit.user
        return [f"{self.unit.where}: it ends when '{user}' has logged out, until: loginctl enable-linger {user}"]

    # --- what is declared ---------------------------------------------------------------------------------------

    def declared(self, flags: Sequence[str]) -> dict[str, Declared]:
        """Return what the unit's next start gives each flag, where it stands, and the places that lose."""
        state = self.unit.state()
        return {flag: _declared(sources, state) for flag, sources in self._sources(state, flags).items()}

    def _sources(self, state: State, flags: Sequence[str]) -> dict[str, list[Source]]:
        """Return, per flag, every place that gives it, the one that wins last."""
        found: dict[str, list[Source]] = {flag: [] for flag in flags}
        passed = [name for name in state.words(PASSED) if name in found]
        if passed:
            values = self.unit.manager_environment()
            for name in passed:
                found[name].append(Source(PASSED, self.unit.name, 0, values.get(name)))
        for path in state.unit_files():
            for place in unit_env.places(self.unit.read(path), path):
                if not place.key:
                    for sources in found.values():
                        sources[:] = [source for source in sources if source.kind != UNIT]
                elif place.key in found:
                    found[place.key].append(Source(UNIT, path, place.line, place.value, place))
        for path in self.unit.environment_files(state):
            for item in env_file.assignments(self.unit.read(path), self.unit.dialect(), path):
                if item.key in found:
                    found[item.key].append(Source(FILE, path, item.line, item.value))
        for word in state.words(UNSET):
            name, equals, value = word.partition("=")
            if name in found and (not equals or (found[name] and found[name][-1].value == value)):
                found[name].append(Source(UNSET, self.unit.name, 0, None))
        return found

    def plan(self, flags: Mapping[str, str]) -> list[Change]:
        """Return the edits of the files that give these flags; a vendor's unit file gets a drop-in instead.

        Raises InvalidInput when the unit unsets a flag, or when ``env_file`` is none of its files.
        """
        state = self.unit.state()
        sources = self._sources(state, list(flags))
        before: dict[str, bytes | None] = {}
        after: dict[str, bytes] = {}
        touched: dict[str, list[str]] = {}
        for flag, value in flags.items():
            winner = sources[flag][-1] if sources[flag] else None
            if winner is not None and winner.value == value:
                continue
            path, kind = self._target(state, flag, winner)
            if path not in before:
                before[path] = edits.read_if_there(path, self.unit.account)
            content = after.get(path, before[path])
            touched.setdefault(path, []).append(flag)
            after[path] = self._edited(content, path, kind, flag, value)
        return [
            edits.change_of(
                edits.FileEdit(path, before[path], after[path], self.unit.account),
                {flag: sources[flag][-1].value if sources[flag] else None for flag in touched[path]},
                {flag: flags[flag] for flag in touched[path]},
            )
            for path in after
        ]

    def _target(self, state: State, flag: str, winner: Source | None) -> tuple[str, str]:
        """Return the file to edit for a flag, and whether it is an env file or a unit file."""
        if winner is not None and winner.kind == UNSET:
            raise InvalidInput(
                f"the unit takes {flag} away (UnsetEnvironment=), so it can't be declared",
                where=self.unit.where,
                hint="Remove it from UnsetEnvironment= first.",
            )
        if winner is not None and winner.kind in (FILE, UNIT) and not winner.vendor:
            return winner.path, winner.kind
        if winner is None or winner.kind == PASSED:
            named = [path for path, dummy in state.environment_files]
            if self.env_file and self.env_file not in named:
                raise InvalidInput(
                    f"the option 'env_file' is no EnvironmentFile= of the unit: '{self.env_file}'",
                    where=self.unit.where,
                    hint=f"Its files are: {', '.join(named) or 'none'}.",
                )
            files = [self.env_file] if self.env_file else self.unit.environment_files(state)[-1:]
            if files:
                return files[0], FILE
        late = winner is not None and os.path.basename(winner.path) >= _DROP_IN and winner.path.endswith(".conf")
        folder = os.path.join(self.unit.folder(), f"{self.unit.name}.d")
        return os.path.join(folder, _LATER_DROP_IN if late else _DROP_IN), UNIT

    def _edited(self, content: bytes | None, path: str, kind: str, flag: str, value: str) -> bytes:
        if kind == FILE:
            return env_file.assign(content or b"", flag, value, self.unit.dialect(), path)
        places = [place for place in unit_env.places(content or b"", path) if place.key == flag]
        if places:
            return unit_env.assign(content or b"", places[-1], value, path)
        return unit_env.add(content, flag, value, path)

    def declare(self, flags: Mapping[str, str]) -> list[Change]:
        """Write the files, and have systemd read its unit files again when one of them changed."""
        changes = self.plan(flags)
        edits.make(changes)
        self._read_again(changes)
        return changes

    def undeclare(self, changes: Sequence[Change]) -> None:
        """Put the files' former bytes back; a drop-in that was new is removed."""
        try:
            edits.take_back(changes)
        finally:
            self._read_again(changes)

    def _read_again(self, changes: Sequence[Change] = ()) -> None:
        """Have systemd read its unit files again, if one of them changed (it does not notice its first drop-in)."""
        state = self.unit.state()
        env_files = {*self.unit.environment_files(state), *(path for path, dummy in state.environment_files)}
        if state["NeedDaemonReload"] == "yes" or any(change.where not in env_files for change in changes):
            self.unit.reload_manager()

    # --- what runs ----------------------------------------------------------------------------------------------

    def processes(self) -> list[proc.Process]:
        """Return the processes of the unit's control group, the main one first; empty when the unit does not run."""
        state = self.unit.state()
        if not state["ControlGroup"]:
            return []
        helper, main = int(state["ControlPID"] or 0), state.main_pid
        found = [one for one in proc.of_control_group(state["ControlGroup"]) if one.pid != helper]
        return sorted(found, key=lambda one: (one.pid != main, one.started, one.pid))

    def tell_to_reload(self, leader: proc.Process, deadline: Deadline) -> None:
        """Reload the unit, or send the signal when it has no ExecReload=."""
        self._read_again()
        if self.unit.state()["CanReload"] == "yes":
            self.unit.systemctl("reload", "--", self.unit.name, deadline=deadline)
        else:
            proc.send(leader, self.reload_signal)

    def restart(self, before: Sequence[proc.Process], deadline: Deadline) -> None:
        """Restart the unit, see it stay, and wait until all processes of before are gone."""
        if self.unit.state()["SubState"] == "auto-restart":
            self.unit.systemctl("stop", "--", self.unit.name, deadline=deadline)  # else it starts behind our back
        # starts before this one, those of a change that is being taken back too, must not use up the start limit
        self.unit.systemctl("reset-failed", "--", self.unit.name, ok=(0, 1))
        self._read_again()
        since = self.unit.cursor()
        try:
            self.unit.restart(deadline)
        except DeadlinePassed as error:
            proc.wait_gone(before, deadline, where=self.unit.where)  # they are why, if they are still there
            raise self.unit.not_started(self.unit.state(), since, deadline.seconds) from error
        self._stays(since)
        proc.wait_gone(before, deadline, where=self.unit.where)

    def _stays(self, since: str) -> None:
        """Raise CommandFailed unless the unit stays up, with the same main process, for ``stable_for`` seconds."""
        state = self.unit.state()
        main = proc.find(state.main_pid) if state.main_pid else None
        lived = proc.lived_on(main, self.stable_for) if main else not state.main_pid
        now = self.unit.state()
        same = (now["NRestarts"], now.main_pid) == (state["NRestarts"], state.main_pid)
        done = state["Type"] == "oneshot" and now["Result"] == "success"
        if not done and not (state.up and now.up and lived and same):
            raise self.unit.not_started(now, since)

    # --- stop, logs ---------------------------------------------------------------------------------------------

    @property
    def memory(self) -> Memory:
        """A file where this user keeps what does not outlive a boot."""
        whose = f"{self.unit.user}." if self.unit.user else ""
        return Memory(os.path.join(runtime_folder(), f"dualwrite.{whose}{self.unit.name}.stopped"))

    def end(self, before: Sequence[proc.Process], deadline: Deadline) -> None:
        """Stop the unit and wait until all its processes are gone."""
        self.unit.systemctl("stop", "--", self.unit.name, deadline=deadline)
        proc.wait_gone(before, deadline, where=self.unit.where)

    def logs(self, since: str) -> list[str]:
        """Return the unit's messages in the journal since then."""
        return self.unit.journal_since(parse_time(since).timestamp())


def _declared(sources: list[Source], state: State) -> Declared:
    if not sources:
        files = [path for path, dummy in state.environment_files]
        return Declared(None, files[-1] if files else state["FragmentPath"])
    return Declared(sources[-1].value, str(sources[-1]), tuple(str(source) for source in sources[:-1]))
