# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backups of a store, and one of them read to its end before anybody relies on it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..backups import archives, fetch, formats
from ..backups.choose import Backup, backups, choose
from ..backups.names import Pattern, safe
from ..backups.plain import Facts, PlainDump
from ..core.deadline import Deadline
from ..core.errors import DeadlinePassed, RollbackError
from ..core.libpq import environment
from ..core.parallel import of_each
from ..postgres import clients as programs
from ..postgres.clients import Clients
from ..stores.base import Store
from ..stores.registry import open_store

NAME = "dualwrite.rollback"


@dataclass(frozen=True)
class Choice:
    """The backups of a store: those that a restore tries in this order, and all others with the reason."""

    store: Store
    candidates: Sequence[Backup]
    others: Sequence[Backup]


@dataclass(frozen=True)
class Examined:
    """A backup that was read: where it lies on this host (an archive), its true format, checksum and contents."""

    backup: Backup
    facts: Facts
    checksum: str
    path: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**self.backup.as_dict(), "checksum": self.checksum, "contents": self.facts.as_dict()}


def offered(params: Mapping[str, Any]) -> Choice:
    """Return the backups that the options store, pattern, time_zone, backup and before point at.

    Raises InvalidInput, NotFound (none fits), and what the store raises.
    """
    named = str(params.get("backup") or "")
    if named:
        safe(named)
    pattern = Pattern(str(params["pattern"]), str(params.get("time_zone") or "UTC")) if params.get("pattern") else None
    store = open_store(params.get("store"))
    known = backups(store.list(), pattern, named)
    candidates, others = choose(known, named, str(params.get("before") or ""), store.place)
    return Choice(store, candidates, others)


def find_clients(params: Mapping[str, Any], server: int, deadline: Deadline) -> tuple[Clients, str]:
    """Return PostgreSQL's programs that may read backups, and a warning where the operator accepts old ones."""
    found = programs.find(params.get("bin_dir"), server, deadline, environment(params, name=NAME))
    return found, programs.require_safe(found, str(params.get("on_old_client") or "fail"))


def of_another_database(taken: Examined, live: str) -> list[str]:
    """Return a warning where an archive names another database than ``live``; a plain dump names none."""
    of = taken.facts.database
    if of in ("", live):
        return []
    return [f"the backup {taken.backup.name} is of the database '{of}', not of '{live}'. Is that what you want?"]


def examine(
    choice: Choice,
    params: Mapping[str, Any],
    clients: Clients,
    folder: str,
    deadline: Deadline,
    *,
    whole: bool = True,
    seen: Callable[[int], None] | None = None,
) -> Examined:
    """Return the first candidate that holds what a backup has to hold; ``whole`` reads every byte of it.

    With the option skip_damaged the next older one is tried; else raises VerificationFailed of the first. What has to
    be fetched for pg_restore lies in ``folder`` afterwards.
    """
    reading = _Reading(params, clients, folder, deadline, whole, seen or _unseen)
    problem: RollbackError | None = None
    for backup in choice.candidates:
        try:
            return reading.examined(choice.store, backup)
        except RollbackError as error:
            problem = problem or error
            if error.kind != "verification_failed" or not params.get("skip_damaged"):
                raise
    raise problem or RollbackError("there is no backup", where=choice.store.place)


def pieces(
    store: Store, backup: Backup, seen: Callable[[int], None], deadline: Deadline
) -> tuple[PlainDump, Iterator[bytes]]:
    """Return a plain dump and what of it goes to psql; at its end checksum and trailer are verified."""
    dump = PlainDump(backup.name)
    checksum = fetch.Checksum(fetch.expected_checksum(store, backup))
    chunks = _timed(fetch.chunks(store, backup.name, checksum, seen), deadline)
    return dump, dump.passed(formats.decompressed(chunks, backup.format.compression, backup.name))


def as_dump(name: str, sql: Iterable[bytes]) -> Iterator[bytes]:
    """Walk through what of an archive, which pg_restore has turned into SQL, goes to psql."""
    return PlainDump(name).passed(sql)


@dataclass(frozen=True)
class _Reading:
    """How backups are read: the options, the programs, a folder for copies, how long, to their end, and who counts."""

    params: Mapping[str, Any]
    clients: Clients
    folder: str
    deadline: Deadline
    whole: bool
    seen: Callable[[int], None]

    def examined(self, store: Store, backup: Backup) -> Examined:
        """Read one backup; raises VerificationFailed and what the store raises."""
        if backup.format.kind != formats.DIRECTORY:
            with store.open(backup.name) as stream:
                head = stream.read(formats.HEAD)
            backup = replace(backup, format=formats.by_content(head, backup.name))
        checksum = fetch.Checksum(fetch.expected_checksum(store, backup))
        read = self._plain if backup.format.kind == formats.PLAIN else self._archive
        return read(store, backup, checksum)

    def _plain(self, store: Store, backup: Backup, checksum: fetch.Checksum) -> Examined:
        dump = PlainDump(backup.name)
        content = formats.decompressed(self._chunks(store, backup, checksum), backup.format.compression, backup.name)
        if not self.whole:
            # the first lines tell which versions wrote it; the rest is verified while it is loaded
            for dummy in dump.passed(itertools.islice(content, 1)):
                break
            return Examined(backup, dump.facts, checksum.expected)
        for dummy in dump.passed(content):
            pass
        programs.require_new_enough(self.clients, dump.facts.client, backup.name)
        return Examined(backup, dump.facts, checksum.verify(backup.name))

    def _archive(self, store: Store, backup: Backup, checksum: fetch.Checksum) -> Examined:
        """Examine what pg_restore reads, its checksum beside its content where it lies on this host already."""
        local = fetch.local_path(store, backup)
        path = local or fetch.fetch(store, backup, self.folder, checksum, self.seen)
        program, environ = self.clients.program("pg_restore"), environment(self.params, name=NAME)

        def add_up() -> None:
            for dummy in self._chunks(store, backup, checksum):
                pass

        def read() -> Facts:
            facts = archives.contents(path, program, self.deadline, environ, backup.name)
            programs.require_new_enough(self.clients, facts.client, backup.name)
            if self.whole:
                processes = 1 if backup.format.kind == formats.TAR else at_once(self.params)
                archives.read_through(path, program, self.deadline, environ, backup.name, processes)
            return facts

        # a wrong checksum says more than what pg_restore makes of it
        passes: dict[str, Callable[[], Any]] = {"checksum": add_up, "content": read}
        if not local or backup.format.kind == formats.DIRECTORY or not (self.whole or checksum.expected):
            del passes["checksum"]
        facts = of_each(passes, lambda one: passes[one]())["content"]
        return Examined(backup, facts, checksum.found, path)

    def _chunks(self, store: Store, backup: Backup, checksum: fetch.Checksum) -> Iterator[bytes]:
        return _timed(fetch.chunks(store, backup.name, checksum, self.seen), self.deadline)


def at_once(params: Mapping[str, Any]) -> int:
    """Return how many processes may work on an archive at a time: the option parallel, else one for each core."""
    return int(params.get("parallel") or os.cpu_count() or 1)


def _timed(chunks: Iterator[bytes], deadline: Deadline) -> Iterator[bytes]:
    for chunk in chunks:
        if deadline.passed():
            raise DeadlinePassed(f"the backup was still being read after {deadline.seconds:.0f} s")
        yield chunk


def _unseen(number: int) -> None:
    """Count nothing."""
