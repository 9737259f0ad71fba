# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the rows of an archive back in one transaction, exactly as they were, or say what took their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any

from ..core.deadline import Deadline
from ..core.errors import Conflict, DeadlinePassed, Refused, RollbackError, Unreachable, VerificationFailed
from ..core.result import Timings
from ..stores.base import Store
from . import archive, catalog, identity, outcome, staging, touched
from .archive import COMMITTED, DETACHED, REMOVED, ROLLED_BACK, Manifest
from .session import NOTHING, CommitUnknown, Session, Transient, set_constraints
from .staging import MISSING, PRESENT, Staged
from .touched import Touched


@dataclass
class PutBack:
    """What an undo did, or in a rehearsal would have done; ``already`` when all rows were there."""

    archive: str
    rows: dict[str, int] = field(default_factory=dict)
    detached: dict[str, int] = field(default_factory=dict)
    already: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Return the number of rows put back."""
        return sum(self.rows.values())


class Undo:
    """One undo of an archive; the whole archive is read and checked before the database is touched."""

    def __init__(
        self, params: Mapping[str, Any], store: Store, deadline: Deadline, timings: Timings, rehearse: bool
    ) -> None:
        self.params = params
        self.store = store
        self.deadline = deadline
        self.timings = timings
        self.rehearse = rehearse
        self.connect: Callable[[], Session] = lambda: Session(params, deadline, name="sql_undo_cleanup")

    def run(self) -> PutBack:
        """Put the rows back and return how many; raises Refused with a list when something took their place."""
        with self.timings.phase("check"):
            manifest = self._manifest()
            archive.verify(self.store, manifest)
        session = self.connect()
        try:
            self._need_committed(session, manifest)
            attempts = max(1, int(self.params.get("retries") or 0) + 1)
            for attempt in range(1, attempts + 1):
                try:
                    return self._attempt(session, manifest)
                except Transient as error:
                    session.rollback()
                    if attempt == attempts or self.deadline.left() < 1.0:
                        raise Conflict(
                            f"{error.what}, in {attempt} of {attempts} attempts", where=error.where, hint=NOTHING
                        ) from error
            raise Conflict("no attempt was made", hint=NOTHING)
        except CommitUnknown as error:
            return self._ask_again(manifest, error)
        finally:
            session.rollback()
            session.close()

    def _manifest(self) -> Manifest:
        manifest = archive.read(self.store, str(self.params["archive"]))
        wanted = self.params.get("archive_sha256")
        if wanted and wanted != manifest.sha256:
            raise VerificationFailed(
                "the manifest was changed since the archive was made (its checksum differs)",
                where=f"{self.store.place}, {manifest.archive}",
                hint="Nothing was put back. Take the archive from a copy of the store.",
            )
        return manifest

    def _need_committed(self, session: Session, manifest: Manifest) -> None:
        """Raise Refused when the cleanup of this archive was rolled back; find out first where nobody knows."""
        known = archive.outcome_of(self.store, manifest.archive)
        if known not in (COMMITTED, ROLLED_BACK):
            known, how = outcome.resolve(session, self.store, manifest, self.deadline)
            if known != archive.UNKNOWN and not self.rehearse:
                archive.tell_outcome(self.store, manifest.archive, known, how)
        if known == ROLLED_BACK:
            raise Refused(
                "the cleanup of this archive was rolled back, so there is nothing to put back",
                where=manifest.archive,
                hint=NOTHING,
            )

    def _attempt(self, session: Session, manifest: Manifest) -> PutBack:
        done = PutBack(manifest.archive)
        with self.timings.phase("compare"):
            session.begin(lock_timeout=float(self.params.get("lock_timeout") or 2.0))
            session.take_turn()
            told = identity.confirm(session, self.params.get("identity") or {})
            if self.params.get("same_database", True):
                _need_same_database(told, manifest)
            staged = staging.load(session, self.store, manifest)
            removed = [one for one in staged if one.part.kind == REMOVED]
            loose = [one for one in staged if one.part.kind == DETACHED]
            if all(staging.state_of(session, one) == PRESENT for one in staged):
                session.rollback()
                done.already = True
                return done
            self._need_free(session, removed, loose)
            spared = frozenset(
                catalog.find(session, name, "side_effects") for name in self.params.get("side_effects") or []
            )
        untouched = touched.so_far(session)
        with self.timings.phase("put"):
            try:
                for dummy, group in groupby(removed, attrgetter("part.group")):
                    staging.put(session, list(group))
                for one in loose:
                    staging.attach(session, one)
                set_constraints(session, "immediate")
            except (Transient, Unreachable, DeadlinePassed):
                raise
            except RollbackError as error:
                raise Refused(
                    f"the rows can't be put back as they were: {error.what}", where=error.where, hint=NOTHING
                ) from error
        with self.timings.phase("verify"):
            for one in staged:
                same = staging.count_same(session, one)
                if same != one.part.rows:
                    raise VerificationFailed(
                        f"{one.part.rows - same} of {one.part.rows} rows of {one.part.said} are not what was archived",
                        where=session.where,
                        hint=f"{NOTHING} A trigger of the table changes what is inserted: disable it for the undo.",
                    )
            _need_nothing_else(session, staged, untouched, spared)
        _count(done, staged)
        done.notes += _triggers(staged)
        if self.rehearse:
            session.rollback()
        else:
            with self.timings.phase("commit"):
                session.commit()
        return done

    def _need_free(self, session: Session, removed: Sequence[Staged], loose: Sequence[Staged]) -> None:
        taken = [text for one in removed for text in staging.in_their_place(session, one)]
        for one in removed:
            # rows without any unique key collide with nothing, but being there already they would be there twice
            if not one.table.unique and staging.state_of(session, one) != MISSING:
                taken.append(f"{one.part.said}: some of its rows are there already")
        taken += [text for one in loose for text in staging.not_as_before(session, one)]
        if taken:
            raise Refused(
                f"something took the place of {len(taken)} archived rows: " + "; ".join(taken[:10])
                + (f"; and {len(taken) - 10} more" if len(taken) > 10 else ""),
                where=session.where,
                hint=f"{NOTHING} Move those rows away, or leave the archive as it is.",
                evidence={"refused": taken},
            )  # fmt: skip

    def _ask_again(self, manifest: Manifest, error: CommitUnknown) -> PutBack:
        """Look at the rows themselves after a COMMIT without an answer; raises CommitUnknown while nobody can tell."""
        try:
            session = self.connect()
            try:
                session.begin()
                # the server may still be at that COMMIT, and what it has not finished nobody sees
                session.wait_for_turn()
                staged = staging.load(session, self.store, manifest)
                states = {staging.state_of(session, one) for one in staged}
            finally:
                session.rollback()
                session.close()
        except RollbackError as again:
            raise CommitUnknown(
                "the connection broke at COMMIT, and whether the rows are back is not known",
                where=error.where,
                hint="Run the same command again: it finds out and says it.",
            ) from again
        if states != {PRESENT}:
            raise Conflict("the connection broke at COMMIT, and the rows are not back", where=error.where,
                           hint=f"{NOTHING} Run the same command again.") from error  # fmt: skip
        done = PutBack(manifest.archive, notes=["The connection broke at COMMIT; all rows are back."])
        _count(done, staged)
        return done


def _count(done: PutBack, staged: Sequence[Staged]) -> None:
    for one in staged:
        counts = done.rows if one.part.kind == REMOVED else done.detached
        counts[one.part.said] = counts.get(one.part.said, 0) + one.part.rows


def _need_nothing_else(
    session: Session, staged: Sequence[Staged], before: Mapping[int, Touched], spared: Set[int]
) -> None:
    """Raise VerificationFailed when rows besides the archived ones were touched."""
    meant: dict[int, Touched] = {}
    for one in staged:
        mine = Touched(inserted=one.part.rows) if one.part.kind == REMOVED else Touched(updated=one.part.rows)
        meant[one.table.oid] = meant.get(one.table.oid, Touched()) + mine
    others = touched.others(session, before, meant, spared)
    if others:
        raise VerificationFailed(
            f"other rows than those of the archive were touched, by a trigger or a rule: {others}",
            where=session.where,
            hint=f"{NOTHING} Name the table in side_effects if what is done there may stay, or disable the trigger for"
            f" the undo{''.join(f' ({text})' for text in _triggers(staged))}.",
        )


def _triggers(staged: Sequence[Staged]) -> list[str]:
    names = {one.part.said: one.table.triggers for one in staged if one.table.triggers}
    return [f"{table} has triggers: {', '.join(triggers)}" for table, triggers in names.items()]


def _need_same_database(told: Mapping[str, Any], manifest: Manifest) -> None:
    for name in ("system_identifier", "database"):
        if told[name] != manifest.server.get(name):
            raise Refused(
                f"the archive is of another database: its {name} is {manifest.server.get(name)},"
                f" here it is {told[name]}",
                where=manifest.archive,
                hint=f"{NOTHING} Connect to that database; for a restored copy of it say same_database: false.",
            )
