# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One systemd unit through systemctl(1) and journalctl(1)."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..core.account import Account, account_of, acting_as
from ..core.deadline import Deadline
from ..core.errors import CommandFailed, InvalidInput, NotFound, RollbackError
from ..core.files import read_bytes
from ..core.process import Finished, run
from ..core.redact import redact_text
from . import env_file

#: seconds for a question to systemd
ASK = 20.0
_PROPERTIES = (
    "Id,LoadState,LoadError,UnitFileState,ActiveState,SubState,Result,NRestarts,MainPID,ControlPID,ControlGroup,Type,"
    "ExecMainStatus,FragmentPath,DropInPaths,EnvironmentFiles,PassEnvironment,UnsetEnvironment,CanReload,"
    "NeedDaemonReload"
)
#: where logind remembers whose service manager runs without a login
_LINGER = "/var/lib/systemd/linger"
_NAME = re.compile(r"[A-Za-z0-9_@:.\\][A-Za-z0-9_@:.\\-]*")
#: what systemd itself says at every failure; it would push out the lines that tell why
_ROUTINE = re.compile(
    r"(Start|Stopp)(ing|ed) |Failed to start |\S+: (Deactivated |Failed with result |Scheduled restart |Consumed )"
)
_FILE = re.compile(r"^(?P<path>.*) \(ignore_errors=(?P<optional>yes|no)\)$")


@dataclass(frozen=True)
class State:
    """What systemd says of a unit: its properties, and its EnvironmentFile= entries as (path, may be missing)."""

    properties: dict[str, str]
    environment_files: tuple[tuple[str, bool], ...]

    def __getitem__(self, name: str) -> str:
        return self.properties.get(name, "")

    def words(self, name: str) -> list[str]:
        """Return a property that is a list."""
        return self[name].split()

    @property
    def main_pid(self) -> int:
        """The main process, 0 when there is none."""
        return int(self["MainPID"] or 0)

    @property
    def up(self) -> bool:
        """Whether the unit is active."""
        return self["ActiveState"] in ("active", "reloading", "refreshing")

    def unit_files(self) -> list[str]:
        """Return fragment and drop-ins in the order in which they are applied."""
        return [path for path in (self["FragmentPath"], *self.words("DropInPaths")) if path]


class Unit:
    """A unit of the service manager of the system, of this user, or of another user (``user``)."""

    def __init__(self, name: str, *, of_user: bool, where: str, user: str | None = None) -> None:
        if not _NAME.fullmatch(name):
            raise InvalidInput(f"the option 'unit' is no name of a unit: '{name}'", where=where)
        self.name = name if re.search(r"\.[a-z]+$", name) else f"{name}.service"
        self.where = f"{where}, {self.name}"
        self.scope = ["--user"] if of_user else []
        self.user = user
        self._account: Account | None = None
        self._dialect = ""

    @property
    def account(self) -> Account | None:
        """Whose rights the unit's files are touched with, None for those of this process; raises as account_of."""
        if self.user and self._account is None:
            self._account = account_of(self.user, self.where)
        return self._account

    @property
    def environ(self) -> dict[str, str]:
        """What systemctl needs to find the service manager."""
        plain = {"LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
        account = self.account
        if account:
            its = {"HOME": account.home, "USER": account.name, "XDG_RUNTIME_DIR": f"/run/user/{account.uid}"}
            return {"PATH": os.environ.get("PATH", os.defpath), **its, **plain}
        own = {"XDG_RUNTIME_DIR": f"/run/user/{os.geteuid()}"} if self.scope else {}
        return {**own, **os.environ, **plain}

    def folder(self) -> str:
        """Return where an administrator's, or the user's, units and drop-ins belong."""
        if not self.scope:
            return "/etc/systemd/system"
        config = "~/.config" if self.account is None else os.path.join(self.account.home, ".config")
        own = None if self.account else os.environ.get("XDG_CONFIG_HOME")
        return os.path.join(own or os.path.expanduser(config), "systemd/user")

    def ends_with_its_user(self) -> bool:
        """Return whether the service manager ends when its user has logged out."""
        return bool(self.user) and not os.path.exists(os.path.join(_LINGER, self.user or ""))

    def systemctl(self, *words: str, deadline: Deadline | None = None, ok: Sequence[int] | None = (0,)) -> Finished:
        """Run systemctl and return how it ended; raises as core.process.run, and NotFound without a user's manager."""
        self._require_manager()
        return self._run(["systemctl", *self.scope, "--no-ask-password", *words], deadline or Deadline(ASK), ok)

    def _run(self, argv: Sequence[str], deadline: Deadline, ok: Sequence[int] | None) -> Finished:
        account = self.account
        if account is None:
            return run(argv, deadline, environ=self.environ, ok=ok, where=self.where)
        return run(
            argv,
            deadline,
            environ=self.environ,
            cwd="/",
            user=account.uid,
            group=account.gid,
            groups=account.groups,
            ok=ok,
            where=self.where,
        )

    def _require_manager(self) -> None:
        folder = self.environ.get("XDG_RUNTIME_DIR", "")
        if self.scope and not os.path.exists(os.path.join(folder, "systemd/private")):
            who = self.user or pwd.getpwuid(os.geteuid()).pw_name
            raise NotFound(
                f"the service manager of user '{who}' does not run, and so none of that user's units",
                where=self.where,
                hint=f"Have it run without a login: loginctl enable-linger {who}.",
            )

    def read(self, path: str) -> bytes:
        """Return the bytes of one of the unit's files; raises as core.files.read_bytes."""
        with acting_as(self.account, path):
            return read_bytes(path)

    def state(self) -> State:
        """Return what systemd says now.

        Raises NotFound when there is no such unit, InvalidInput when it is masked or can't be loaded.
        """
        properties: dict[str, str] = {}
        files: list[tuple[str, bool]] = []
        for line in self.systemctl("show", "--property", _PROPERTIES, "--", self.name).stdout.splitlines():
            name, dummy, value = line.partition("=")
            entry = _FILE.match(value) if name == "EnvironmentFiles" else None
            if entry:
                files.append((entry["path"], entry["optional"] == "yes"))
            else:
                properties[name] = value
        state = State(properties, tuple(files))
        load = state["LoadState"]
        if load == "not-found":
            raise NotFound("the unit does not exist", where=self.where, hint="Check the workload's option 'unit'.")
        if load == "masked":
            raise InvalidInput(
                "the unit is masked, so it can't be started", where=self.where, hint="Unmask it: systemctl unmask."
            )
        if load != "loaded":
            raise InvalidInput(
                f"systemd can't load the unit ({load}): {state['LoadError']}",
                where=self.where,
                hint="See systemd-analyze verify.",
            )
        return state

    def environment_files(self, state: State) -> list[str]:
        """Return the files that EnvironmentFile= names, patterns expanded, in the order in which they are read.

        Raises NotFound for one that is missing and not marked optional (the unit would not start).
        """
        found: list[str] = []
        for pattern, optional in state.environment_files:
            with acting_as(self.account, pattern):
                paths = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
                there = [path for path in paths if os.path.exists(path)]
            if not there and not optional:
                raise NotFound(
                    "the unit's EnvironmentFile= does not exist, so it could not start again",
                    where=f"{self.where}, {pattern}",
                )
            found += there
        return found

    def dialect(self) -> str:
        """Return how this systemd reads an env file."""
        if not self._dialect:
            version = re.match(r"systemd (\d+)", self.systemctl("--version").stdout)
            new = not version or int(version[1]) >= 254
            self._dialect = env_file.SYSTEMD if new else env_file.SYSTEMD_BEFORE_254
        return self._dialect

    def manager_environment(self) -> dict[str, str]:
        """Return the service manager's own environment, which PassEnvironment= hands on."""
        lines = self.systemctl("show-environment").stdout.splitlines()
        return {name: value for name, dummy, value in (line.partition("=") for line in lines)}

    def reload_manager(self) -> None:
        """Make systemd read its unit files again."""
        self.systemctl("daemon-reload")

    def restart(self, deadline: Deadline) -> None:
        """Restart the unit and wait for the end of its start; raises CommandFailed with its last words."""
        since = self.cursor()
        try:
            self.systemctl("restart", "--", self.name, deadline=deadline)
        except CommandFailed as error:
            raise self.not_started(self.state(), since) from error

    def not_started(self, state: State, since: str, waited: float | None = None) -> CommandFailed:
        """Return the error for a unit that does not live, with the journal's last lines since then, redacted.

        ``waited`` are the seconds after which it was given up; None when it failed by itself.
        """
        reason = state["Result"] if state["Result"] not in ("", "success") else f"it is {state['ActiveState']}"
        status = f", exit status {state['ExecMainStatus']}" if state["ExecMainStatus"] not in ("", "0") else ""
        late = "" if waited is None else f" within {waited:.0f} s"
        journal = [line for line in self.journal(since) if line.strip()]
        lines = ([line for line in journal if not _ROUTINE.match(line)] or journal)[-4:]
        said = f"; the journal says: {redact_text(' | '.join(lines), self._secrets(state))}" if lines else ""
        hint = "systemd refuses more starts for now: systemctl reset-failed." if "start-limit" in reason else ""
        return CommandFailed(f"the unit did not start{late} ({reason}{status}){said}", where=self.where, hint=hint)

    def _secrets(self, state: State) -> list[str]:
        """Return the values under names of secrets in the unit's env files, as far as they can be read."""
        found: list[str] = []
        with contextlib.suppress(RollbackError):
            for path in self.environment_files(state):
                found += env_file.secrets(self.read(path), self.dialect())
        return found

    def cursor(self) -> str:
        """Return a place in the journal, to read on from later; empty when there is none."""
        done = self._journalctl("-n", "0", "--show-cursor")
        return done.stdout.rpartition("-- cursor: ")[2].strip() if "-- cursor: " in done.stdout else ""

    def journal(self, after: str) -> list[str]:
        """Return the unit's messages since a cursor, oldest first."""
        start = ["--after-cursor", after] if after else ["-n", "20"]
        return self._journalctl("-o", "cat", *start, *self._mine()).stdout.splitlines()

    def journal_since(self, seconds: float, others: Sequence[str] = ()) -> list[str]:
        """Return the messages of the unit, and of others of its manager, since a time in seconds after 1970."""
        return self._journalctl("-o", "cat", "--since", f"@{seconds:.6f}", *self._mine(others)).stdout.splitlines()

    def _mine(self, others: Sequence[str] = ()) -> list[str]:
        """Return what finds the messages of these units; journalctl's own option asks for those of its own user."""
        names = [self.name, *others]
        if self.account is None:
            return [word for name in names for word in ("--user-unit" if self.scope else "--unit", name)]
        found: list[str] = []
        for name in names:
            for field in ("_SYSTEMD_USER_UNIT", "USER_UNIT"):
                found += [*(["+"] if found else []), f"{field}={name}", f"_UID={self.account.uid}"]
        return found

    def _journalctl(self, *words: str) -> Finished:
        argv = ["journalctl", "--no-pager", "--quiet", *words]
        return run(argv, Deadline(ASK), environ=self.environ, ok=None, where=self.where)
