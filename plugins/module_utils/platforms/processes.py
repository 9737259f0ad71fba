# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What platforms share whose instances are processes of this host: reading, reloading, running commands."""

from __future__ import annotations

import contextlib
import os
import socket
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.booleans import BooleanWords
from ..core.deadline import Deadline, wait_until
from ..core.errors import CommandFailed, DeadlinePassed, NotFound, RollbackError, VerificationFailed
from ..core.process import Finished, run
from ..core.redact import redact_text, secret_values
from . import proc
from .base import Carrier, Instance, Platform, Stopped
from .memory import Memory
from .settings import Settings

RELOAD, RESTART = "reload", "restart"

COMMON_OPTIONS = {
    "roll": "ways to make new values live, in the order in which they are tried: reload, restart",
    "reload_signal": "signal that makes the application take new values",
    "reload_timeout": "seconds that a reload may take until all instances hold the values",
    "state_file": "path, with {pid} in it, where the application writes the flags it holds",
    "instance_match": "regular expression of the command lines that count as instances",
    "stable_for": "seconds that a started workload must live",
    "may_be_stopped": "whether a workload that does not run is no failure",
}


class ProcessPlatform(Platform):
    """A workload made of processes of this host. A subclass says which they are and how they restart."""

    OPTIONS = COMMON_OPTIONS

    def __init__(self, name: str, options: Mapping[str, Any], words: BooleanWords | None = None) -> None:
        super().__init__(name, options, words)
        self.settings = Settings(name, options, self.OPTIONS)
        self.ways = self.settings.listed("roll", [RESTART], (RELOAD, RESTART))
        self.reload_signal = self.settings.signal("reload_signal", "HUP")
        self.reload_timeout = self.settings.seconds("reload_timeout", 10.0) or 0.0
        self.state_file = self.settings.optional("state_file")
        self.instance_match = self.settings.pattern("instance_match")
        self.stable_for = self.settings.seconds("stable_for", 1.0) or 0.0
        self.may_be_stopped = self.settings.boolean("may_be_stopped", False)
        self.where = f"workload '{name}'"

    @abstractmethod
    def processes(self) -> list[proc.Process]:
        """Return the workload's processes, the one that leads first; empty when it does not run."""

    def running(self) -> list[proc.Process]:
        """Return ``processes``, taking what a dead workload left behind as "does not run" instead of an error."""
        return self.processes()

    @abstractmethod
    def tell_to_reload(self, leader: proc.Process, deadline: Deadline) -> None:
        """Ask the running workload to take new values; raises CommandFailed when it refuses."""

    @abstractmethod
    def end(self, before: Sequence[proc.Process], deadline: Deadline) -> None:
        """Stop these processes, all that the workload has, and wait until they are gone."""

    @property
    @abstractmethod
    def memory(self) -> Memory:
        """What remembers whether the workload ran when it was stopped; gone after a boot, as its processes are."""

    def stop(self, deadline: Deadline) -> Stopped:
        """Stop the workload; what it was is written down first, so that a killed stop is known too."""
        before = self.running()
        state = {"running": bool(before)}
        self.memory.keep(state)
        self.end(before, deadline)
        return Stopped(self.name, state)

    def remembered(self) -> Stopped | None:
        """Return what the memory says."""
        state = self.memory.recall()
        return None if state is None else Stopped(self.name, state)

    def start(self, stopped: Stopped, deadline: Deadline) -> None:
        """Start the workload, if it ran."""
        if stopped.state.get("running"):
            self.restart([], deadline)
        self.memory.forget()

    @abstractmethod
    def restart(self, before: Sequence[proc.Process], deadline: Deadline) -> None:
        """Stop ``before``, start anew and see it live; raises as ``roll``."""

    def identity(self) -> dict[str, Any]:
        """Return host name and machine id."""
        machine = ""
        with contextlib.suppress(OSError), open("/etc/machine-id", encoding="ascii") as stream:
            machine = stream.read().strip()
        return {"hostname": socket.gethostname(), "machine_id": machine}

    def instances(self) -> list[Instance]:
        """Return leader and workers, those only whose command line ``instance_match`` finds."""
        found = self.processes()
        leader = found[0] if found else None
        if self.instance_match:
            found = [one for one in found if self.instance_match.search(proc.command_line(one))]
        return [self._instance(one, leader, alone=len(found) == 1) for one in found]

    def reach(self) -> str:
        """Return that all processes of this host are looked through."""
        return "processes of this host"

    def carriers(self, flags: Sequence[str]) -> list[Carrier]:
        """Return every process with one of the flags in its environment, except those that led to this one.

        Processes of containers belong to another platform and are left out.
        """
        found: list[Carrier] = []
        leading = {one.id for one in proc.ancestors(os.getpid())}
        for process in proc.every():
            with contextlib.suppress(RollbackError):
                held = proc.environment(process)
                holds = {flag: held[flag] for flag in flags if flag in held}
                if holds and process.id not in leading and proc.in_our_namespace(process):
                    command = redact_text(proc.command_line(process), secret_values(held))
                    found.append(Carrier(process.id, f"pid {process.pid} ({command[:80]})", holds))
        return found

    def members(self) -> set[str]:
        """Return all of the workload's processes."""
        return {one.id for one in self.processes()}

    def _instance(self, process: proc.Process, leader: proc.Process | None, *, alone: bool) -> Instance:
        role = "main" if alone else "master" if process == leader else "worker"
        return Instance(id=process.id, name=f"{role} {process.pid}", started=process.started_at, role=role)

    def effective(self, instance: Instance, flags: Sequence[str]) -> dict[str, str | None]:
        """Return what the process says in its state file, or else what stands in its environment."""
        process = self._process(instance)
        held = proc.announced(self.state_file.replace("{pid}", str(process.pid)), process) if self.state_file else None
        if held is None:
            held = proc.environment(process)
        return {flag: held.get(flag) for flag in flags}

    def execute(self, instance: Instance, argv: Sequence[str], deadline: Deadline) -> Finished:
        """Run a command with the environment, folder, user and groups of a running instance."""
        process = self._process(instance)
        user, group, groups = proc.identity_of(process)
        environ, folder = proc.environment(process), proc.folder_of(process)
        return run(
            argv,
            deadline,
            environ=environ,
            cwd=folder,
            user=user,
            group=group,
            groups=groups,
            ok=None,
            where=self.where,
        )

    def roll(self, deadline: Deadline, flags: Mapping[str, str]) -> str:
        """Reload or restart, in the order that the option ``roll`` gives; a workload that does not run is started."""
        before = self.running()
        ways = self.ways if before else (RESTART,)
        tried: list[str] = []
        for way in ways:
            tried.append(way)
            if way == RESTART:
                self.restart(self._all_of(before), deadline)
                break
            try:
                self._reload(before[0], deadline.within(self.reload_timeout), flags)
                break
            except (CommandFailed, VerificationFailed):
                if way == ways[-1]:
                    raise
        return ", ".join(tried)

    def _all_of(self, before: Sequence[proc.Process]) -> list[proc.Process]:
        """Return the processes of before that still run, and those that a reload has made since."""
        now: list[proc.Process] = []
        with contextlib.suppress(RollbackError):
            now = self.running()
        return [*now, *(one for one in before if one not in now and proc.alive(one))]

    def _reload(self, leader: proc.Process, deadline: Deadline, flags: Mapping[str, str]) -> None:
        self.tell_to_reload(leader, deadline)

        def settled() -> bool:
            try:
                read, others = self._held(flags)
            except RollbackError:
                # while it reloads, its pidfile may be half written, and one that is ending has no command line
                read, others = 0, []
            if not proc.alive(leader):
                raise CommandFailed(f"pid {leader.pid} ended when it was told to reload", where=self.where)
            return read > 0 and not others

        try:
            wait_until(settled, deadline, what="the reload")
        except DeadlinePassed as error:
            try:
                told = self._held(flags)[1][:5] or ["some of it was still changing"]
            except RollbackError as unread:
                told = [unread.what]
            raise VerificationFailed(
                f"the application did not take the new values: {self.reload_timeout:g} s after it was told to reload, "
                + "; ".join(told),
                where=self.where,
                hint="" if RESTART in self.ways else "Allow a restart: roll: [reload, restart].",
            ) from error

    def _held(self, flags: Mapping[str, str]) -> tuple[int, list[str]]:
        """Return how many instances were read, all of one look, and who of them holds another value.

        An instance that vanishes is left out. A reload may take the pidfile away for a moment: that nothing was read
        then says nothing.
        """
        read, told = 0, list[str]()
        for instance in self.instances():
            with contextlib.suppress(NotFound):
                for flag, raw in self.effective(instance, list(flags)).items():
                    if self.words.read(raw) != self.words.read(flags[flag]):
                        told.append(f"{instance.name} holds {flag}={'(missing)' if raw is None else raw}")
                read += 1
        return read, told

    def _process(self, instance: Instance) -> proc.Process:
        process = proc.find(int(instance.id.partition(":")[0]))
        if process is None or process.id != instance.id:
            raise NotFound("the process is gone", where=f"{self.where}, {instance.name}")
        return process
