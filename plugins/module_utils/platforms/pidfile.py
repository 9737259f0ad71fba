# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform pidfile: a process that leaves its pid in a file, reads an env file when it starts, and its descendants."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ..core.booleans import BooleanWords
from ..core.deadline import Deadline, wait_until
from ..core.errors import CommandFailed, DeadlinePassed, InvalidInput, NotFound, RollbackError
from ..core.evidence import parse_time
from ..core.files import read_bytes, write_atomically
from ..core.redact import redact_text
from . import edits, env_file, proc
from .base import Change, Declared
from .memory import Memory
from .processes import COMMON_OPTIONS, RESTART, ProcessPlatform

#: seconds for which a workload that a killed run had stopped is started by the next one; later it may be meant
INTERRUPTED_FOR = 3600
_STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{3,6})?(?:Z|[+-]\d\d:?\d\d)?")


class PidfilePlatform(ProcessPlatform):
    """One pidfile. The process it names leads; its descendants are workers."""

    OPTIONS = {
        **COMMON_OPTIONS,
        "pidfile": "file that holds the pid of the running workload",
        "env_file": "file that the workload reads its flags from when it starts",
        "env_format": "how the workload reads that file: dotenv or systemd",
        "cmdline_match": "regular expression that the process's command line must match",
        "start_command": "command that starts the workload",
        "start_timeout": "seconds until the started workload has written its pidfile",
        "start_env_file": "whether the start command gets what the env file holds in its environment",
        "chdir": "folder to start in",
        "user": "user to start as",
        "stop_signal": "signal that ends the workload",
        "kill_after": "seconds after which SIGKILL follows; never when not given",
        "log_file": "file for what the workload prints, and to read its logs from",
    }

    def __init__(self, name: str, options: Mapping[str, Any], words: BooleanWords | None = None) -> None:
        super().__init__(name, options, words)
        ask = self.settings
        self.pidfile = ask.text("pidfile")
        self.env_file = ask.text("env_file")
        self.env_format = ask.text("env_format", env_file.DOTENV, one_of=(env_file.DOTENV, env_file.SYSTEMD))
        ask.text("cmdline_match")
        self.cmdline_match = ask.pattern("cmdline_match")
        self.start_command = ask.command("start_command")
        if RESTART in self.ways and not self.start_command:
            ask.text("start_command")
        self.start_timeout = ask.seconds("start_timeout", 30.0) or 0.0
        self.start_env_file = ask.boolean("start_env_file", False)
        self.chdir = ask.optional("chdir")
        self.user = ask.optional("user")
        self.stop_signal = ask.signal("stop_signal", "TERM")
        self.kill_after = ask.seconds("kill_after", None)
        self.log_file = ask.optional("log_file")
        #: tells the next run that this one had stopped the workload and did not live to start it again
        self.marker = f"{self.pidfile}.restarting"

    def identity(self) -> dict[str, Any]:
        """Return host name, machine id and pidfile."""
        return {**super().identity(), "pidfile": self.pidfile}

    # --- what is declared ---------------------------------------------------------------------------------------

    def declared(self, flags: Sequence[str]) -> dict[str, Declared]:
        """Return the env file's last assignment of each flag; earlier ones are shadowed."""
        content = read_bytes(self.env_file)
        found: dict[str, list[env_file.Assignment]] = {flag: [] for flag in flags}
        for item in env_file.assignments(content, self.env_format, self.env_file):
            if item.key in found:
                found[item.key].append(item)
        return {flag: self._declared(items) for flag, items in found.items()}

    def _declared(self, items: list[env_file.Assignment]) -> Declared:
        if not items:
            return Declared(None, self.env_file)
        places = [f"{self.env_file}:{item.line}" for item in items]
        return Declared(items[-1].value, places[-1], tuple(places[:-1]))

    def plan(self, flags: Mapping[str, str]) -> list[Change]:
        """Return the edit of the env file; empty when it holds these values."""
        before = read_bytes(self.env_file)
        after = before
        for flag, value in flags.items():
            after = env_file.assign(after, flag, value, self.env_format, self.env_file)
        if after == before:
            return []
        was = {flag: declared.value for flag, declared in self.declared(list(flags)).items()}
        return [edits.change_of(edits.FileEdit(self.env_file, before, after), was, flags)]

    def declare(self, flags: Mapping[str, str]) -> list[Change]:
        """Write the env file."""
        changes = self.plan(flags)
        edits.make(changes)
        return changes

    def undeclare(self, changes: Sequence[Change]) -> None:
        """Put the env file's former bytes back."""
        edits.take_back(changes)

    # --- what runs ----------------------------------------------------------------------------------------------

    def processes(self) -> list[proc.Process]:
        """Return the pidfile's process and its descendants; empty without a pidfile.

        Raises InvalidInput when the pidfile is stale, names another program or holds no pid.
        """
        return self._processes(stale_is_stopped=self.may_be_stopped or self.interrupted())

    def running(self) -> list[proc.Process]:
        """Return ``processes``, empty for a stale pidfile too; another program is still an error."""
        return self._processes(stale_is_stopped=True)

    def _processes(self, *, stale_is_stopped: bool) -> list[proc.Process]:
        try:
            text = read_bytes(self.pidfile).decode("ascii", "replace").strip()
        except NotFound:
            return []
        if not re.fullmatch(r"[1-9]\d{0,9}", text):
            raise InvalidInput("the pidfile holds no process id", where=self._at())
        leader = proc.find(int(text))
        command = proc.command_line(leader) if leader else ""
        if leader is None or not proc.alive(leader) or not command:  # one that is ending has no command line any more
            if stale_is_stopped:
                return []
            raise InvalidInput(
                f"the pidfile is stale: no process has pid {text}",
                where=self._at(),
                hint="Start the workload, or remove the pidfile if it is stopped on purpose.",
            )
        if self.cmdline_match and not self.cmdline_match.search(command):
            raise InvalidInput(
                f"pid {text} is another program ('{command.partition(' ')[0]}'), not '{self.cmdline_match.pattern}'",
                where=self._at(),
                hint="The pidfile is stale, or cmdline_match is wrong; nothing was signalled.",
            )
        return proc.family(leader)

    def _at(self) -> str:
        return f"{self.where}, {self.pidfile}"

    def interrupted(self) -> bool:
        """Return whether a run that had stopped the workload was killed before it had started it again."""
        try:
            return time.time() - os.stat(self.marker).st_mtime < INTERRUPTED_FOR
        except OSError:
            return False

    def resumed(self) -> None:
        """Remove the marker of a run that was killed between the start and its end."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.marker)

    def tell_to_reload(self, leader: proc.Process, deadline: Deadline) -> None:
        """Send the reload signal to the leader."""
        proc.send(leader, self.reload_signal)

    def restart(self, before: Sequence[proc.Process], deadline: Deadline) -> None:
        """Stop, wait until all are gone, start, see it live; a marker file says so to whoever comes after a kill."""
        if not self.start_command:
            raise InvalidInput(
                "the workload does not run and has no start_command", where=self.where, hint="Start it by hand."
            )
        write_atomically(self.marker, b"stopped to be started again by dualwrite.rollback\n", mode=0o644)
        self.end(before, deadline)
        self._begin(self.start_command, before, deadline)
        self.resumed()

    def end(self, before: Sequence[proc.Process], deadline: Deadline) -> None:
        """Send the stop signal to the leader and wait until it and its workers are gone."""
        if before:
            proc.send(before[0], self.stop_signal)
        if self.kill_after is not None:
            with contextlib.suppress(DeadlinePassed):
                proc.wait_gone(before, deadline.within(self.kill_after), where=self.where)
            for process in before:
                proc.send(process, signal.SIGKILL)
        proc.wait_gone(before, deadline, where=self.where)

    def _begin(self, command: Sequence[str], before: Sequence[proc.Process], deadline: Deadline) -> None:
        old = {process.id for process in before}
        log_end = os.path.getsize(self.log_file) if self.log_file and os.path.exists(self.log_file) else 0
        child = self._launch(command)

        def written() -> proc.Process | None:
            if child.poll() not in (None, 0):
                raise self._not_started(f"'{command[0]}' ended with {child.returncode}", log_end)
            with contextlib.suppress(RollbackError):  # while it starts, the pidfile may still be the old one
                return next((one for one in self.running()[:1] if one.id not in old), None)
            return None

        patience = deadline.within(self.start_timeout)
        try:
            leader = wait_until(written, patience, what="the start", longest_pause=0.05)
        except DeadlinePassed as error:
            # a start that goes on behind our back would become a second copy of the workload
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            raise self._not_started(
                f"no live process in {self.pidfile} within {patience.seconds:.0f} s", log_end
            ) from error
        if not proc.lived_on(leader, self.stable_for):
            raise self._not_started(f"pid {leader.pid} ended within {self.stable_for:g} s", log_end)

    def _launch(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a command that outlives us: its own session, a clean environment, no terminal."""
        extra: dict[str, Any] = {}
        account = pwd.getpwuid(os.geteuid())
        if self.user:
            try:
                account = pwd.getpwnam(self.user)
            except KeyError as error:
                raise InvalidInput(f"there is no user '{self.user}'", where=self.where) from error
            if account.pw_uid != os.geteuid():
                groups = os.getgrouplist(account.pw_name, account.pw_gid)
                extra = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}
        environ = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": account.pw_dir,
            "USER": account.pw_name,
            "LOGNAME": account.pw_name,
        }
        if self.start_env_file:
            content = read_bytes(self.env_file)
            environ.update((item.key, item.value) for item in env_file.assignments(content, self.env_format))
        try:
            with open(self.log_file or os.devnull, "ab") as output:
                return subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=environ,
                    cwd=self.chdir,
                    start_new_session=True,
                    **extra,
                )
        except (OSError, subprocess.SubprocessError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise CommandFailed(f"'{command[0]}' can't be started: {reason}", where=self.where) from error

    def _not_started(self, reason: str, log_end: int) -> CommandFailed:
        said, known = "", list[str]()
        with contextlib.suppress(RollbackError):
            known = env_file.secrets(read_bytes(self.env_file), self.env_format)
        if self.log_file:
            with contextlib.suppress(OSError), open(self.log_file, "rb") as stream:
                stream.seek(log_end)
                text = redact_text(stream.read()[-20000:].decode("utf-8", "replace"), known)[-2000:]
                said = " | ".join([line for line in text.splitlines() if line.strip()][-3:])
        hint = "" if said else f"See the workload's own log{'' if self.log_file else ', or set log_file'}."
        return CommandFailed(
            f"the workload did not start: {reason}" + (f"; it said: {said}" if said else ""),
            where=self.where,
            hint=hint,
        )

    # --- stop, logs ---------------------------------------------------------------------------------------------

    @property
    def memory(self) -> Memory:
        """A file beside the pidfile."""
        return Memory(f"{self.pidfile}.stopped")

    def logs(self, since: str) -> list[str]:
        """Return the lines of ``log_file`` from the first that bears that time or a later one; all if none has a time.

        A time without an offset is taken as UTC.
        """
        if not self.log_file:
            raise InvalidInput("the option 'log_file' is missing", where=self.where, hint="Give it to read logs.")
        lines = read_bytes(self.log_file).decode("utf-8", "replace").splitlines()
        moments = [_moment(line) for line in lines]
        start: datetime = parse_time(since)
        if not any(moments):
            return lines
        return next((lines[i:] for i, moment in enumerate(moments) if moment and moment >= start), [])


def _moment(line: str) -> datetime | None:
    found = _STAMP.search(line)
    try:
        return parse_time(found[0].replace(",", ".")) if found else None
    except ValueError:
        return None
