# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove the rows of a plan in one transaction: find, guard, archive, delete, look again, commit, or leave no trace."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.deadline import Deadline
from ..core.errors import Conflict, RollbackError, VerificationFailed
from ..core.evidence import utc_now
from ..core.result import Timings
from ..stores.base import Store
from . import archive, guards, identity, outcome, rows, touched
from .archive import COMMITTED, DETACHED, REMOVED, ROLLED_BACK, Manifest, Writer
from .catalog import Table
from .declared import Declared, look_up, roles
from .invariants import measure, need_not_worse
from .plan import Node
from .rows import Chosen
from .session import NOTHING, CommitUnknown, Session, Transient, set_constraints
from .statements import at_once, statement
from .touched import Touched

KEYS_TOLD = 1000
ROWS_SHOWN = 20


@dataclass
class Done:
    """What a cleanup did, or in a rehearsal would have done."""

    rows: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    detached: dict[str, int] = field(default_factory=dict)
    mappings: list[dict[str, Any]] = field(default_factory=list)
    ids: list[Any] = field(default_factory=list)
    plan_digest: str = ""
    shown: list[str] = field(default_factory=list)
    invariants: dict[str, Any] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)
    archive: str = ""
    archive_sha256: str = ""
    transaction: str = ""
    attempts: int = 0
    notes: list[str] = field(default_factory=list)
    earlier: list[dict[str, Any]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Return the number of rows of all tables."""
        return sum(self.rows.values())


class Cleanup:
    """One cleanup by its options, with a store for its archive (None to go without) and a deadline."""

    def __init__(
        self, params: Mapping[str, Any], store: Store | None, deadline: Deadline, timings: Timings, rehearse: bool
    ) -> None:
        self.params = params
        self.store = store
        self.deadline = deadline
        self.timings = timings
        self.rehearse = rehearse
        self.guards = guards.take(params)
        self.connect: Callable[[], Session] = lambda: Session(params, deadline, name="sql_cleanup")

    def run(self) -> Done:
        """Run the transaction, again after what may go well the next time, and return what was done.

        Raises Refused by a guard, VerificationFailed when the rows that were touched are not those of the plan,
        Conflict when locks were never to be had; nothing has been changed then.
        """
        session = self.connect()
        try:
            earlier = outcome.earlier(session, self.store, self.deadline, not self.rehearse) if self.store else []
            attempts = max(1, int(self.params.get("retries") or 0) + 1)
            for attempt in range(1, attempts + 1):
                try:
                    done = self._attempt(session)
                    done.attempts = attempt
                    done.earlier = earlier
                    done.notes = [outcome.said(one) for one in earlier] + done.notes
                    return done
                except Transient as error:
                    session.rollback()
                    self._wait_or_give_up(session, error, attempt, attempts)
            raise Conflict("no attempt was made", hint=NOTHING)
        finally:
            session.rollback()
            session.close()

    def _wait_or_give_up(self, session: Session, error: Transient, attempt: int, attempts: int) -> None:
        if attempt < attempts and self.deadline.left() > 1.0:
            time.sleep(min(self.deadline.left(), random.uniform(0.05, 0.2) * 2**attempt))
            return
        holders = session.holders(sorted(self._oids))
        raise Conflict(
            f"{error.what}, in {attempt} of {attempts} attempts"
            + (f"; these hold locks there: {holders}" if holders else ""),
            where=error.where,
            hint=f"{NOTHING} Wait until they are done, or give more retries or a longer lock_timeout.",
        ) from error

    _oids: frozenset[int] = frozenset()

    def _attempt(self, session: Session) -> Done:
        done = Done()
        with self.timings.phase("find"):
            session.begin(lock_timeout=float(self.params.get("lock_timeout") or 2.0))
            session.take_turn()
            done.server = identity.confirm(session, self.params.get("identity") or {})
            declared = look_up(session, self.params)
            self._oids = frozenset(declared.tables)
            before = measure(session, self.params.get("invariants") or [])
            chosen = self._find(session, declared)
        done.reasons = roles(declared.plan)
        if not chosen.counts.get(declared.plan.root):
            session.rollback()
            done.invariants = {"before": before, "after": before}
            return done
        with self.timings.phase("guard"):
            self._guard(session, declared, chosen, done)
        name = archive.new_name(str(self.params.get("run_id") or ""))
        untouched = touched.so_far(session)
        with archive.writing(None if self.rehearse else self.store, name) as writer:
            if self.store or self.rehearse:
                with self.timings.phase("archive"):
                    _archive(session, declared, chosen, writer)
            with self.timings.phase("delete"):
                for group in reversed(declared.plan.groups):
                    _delete(session, [declared.plan.nodes[oid] for oid in group], chosen)
                set_constraints(session, "immediate")
            with self.timings.phase("verify"):
                self._verify(session, declared, chosen, untouched)
                after = measure(session, self.params.get("invariants") or [])
                need_not_worse(before, after, self.params.get("baseline") or {})
            done.invariants = {"before": before, "after": after}
            done.transaction = str(session.one(
                "SELECT pg_current_xact_id()::text" if session.version >= 130000 else "SELECT txid_current()::text"
            ))  # fmt: skip
        if self.rehearse:
            session.rollback()
            return done
        with self.timings.phase("commit"):
            self._commit(session, done, name, writer)
        return done

    # -- find and guard

    def _find(self, session: Session, declared: Declared) -> Chosen:
        guards.need_key(self.guards, declared)
        count = rows.count_root(session, declared)
        if not count:
            return Chosen()
        root = declared.plan.nodes[declared.plan.root].table
        guards.root_rows(self.guards, declared, count, rows.count_table(session, root))
        chosen = rows.collect(session, declared, lambda total: guards.too_many(self.guards, total))
        # others may have added rows and taken some away before these were locked
        guards.root_rows(self.guards, declared, chosen.counts[root.oid], rows.count_table(session, root))
        return chosen

    def _guard(self, session: Session, declared: Declared, chosen: Chosen, done: Done) -> None:
        plan = declared.plan
        done.rows = {node.table.said: chosen.counts[node.table.oid] for node in plan.ordered()}
        done.detached = _told(declared, chosen)
        done.mappings = chosen.mappings
        # expected ids are compared whole, whatever is told of them
        most = max(KEYS_TOLD, len(self.guards.get("expected_ids") or []) + 1)
        done.ids = rows.root_keys(session, declared, most)
        done.plan_digest = hashlib.sha256("\n".join(rows.digest(session, declared)).encode()).hexdigest()[:16]
        broken = []
        for oid, words, condition in declared.rules:
            count, few = rows.count_outside(session, plan.nodes[oid], condition)
            if count:
                broken.append((declared.said(oid), words, count, few))
        left = rows.references_left(session, declared)
        guards.judge(
            self.guards, declared, chosen, left=left, broken=broken, keys=done.ids, plan_digest=done.plan_digest
        )
        for dummy, cost, remedy in guards.unindexed(declared, chosen):
            done.notes.append(f"A foreign key has no index; the server reads about {cost:.0f} rows for it: {remedy}")
        for node in plan.ordered():
            if node.table.triggers:
                done.notes.append(f"{node.table.said} has triggers: {', '.join(node.table.triggers)}")
        done.shown = [line for node in plan.ordered() for line in self._shown(session, node, chosen)]
        done.ids = done.ids[:KEYS_TOLD]

    def _shown(self, session: Session, node: Node, chosen: Chosen) -> list[str]:
        masked = set(self.params.get("sensitive") or [])
        columns = [one.name for one in node.table.columns]
        total = chosen.counts[node.table.oid]
        lines = []
        for row in rows.preview(session, node, columns, ROWS_SHOWN):
            told = [
                f"{name}={'********' if {name, f'{node.table.said}.{name}'} & masked and text is not None else text}"
                for name, text in zip(columns, row)
            ]
            lines.append(f"{node.table.said}: " + ", ".join(told).replace("\n", " "))
        if total > len(lines):
            lines.append(f"{node.table.said}: and {total - len(lines)} more")
        return lines

    # -- look again, commit

    def _verify(self, session: Session, declared: Declared, chosen: Chosen, before: Mapping[int, Touched]) -> None:
        """Raise VerificationFailed when anything but the planned rows was touched, Transient when new ones came in."""
        planned = {oid: Touched(deleted=count) for oid, count in chosen.counts.items()}
        for one in declared.plan.detached:
            planned[one.child] = planned.get(one.child, Touched()) + Touched(updated=chosen.detached[one])
        others = touched.others(session, before, planned, declared.side_effects)
        if others:
            raise VerificationFailed(
                f"other rows than those of the plan were touched, by a trigger or a rule: {others}",
                where=session.where,
                hint=f"{NOTHING} Add the table to the plan, or name it in side_effects if what is done there may stay.",
            )
        left = rows.count_root(session, declared) + rows.soft_references_left(session, declared)
        if left:
            raise Transient(f"{left} new rows of the test have come in meanwhile", where=session.where, hint=NOTHING)

    def _commit(self, session: Session, done: Done, name: str, writer: Writer) -> None:
        manifest = Manifest(
            name, utc_now(), str(self.params.get("run_id") or ""), done.server, done.transaction, tuple(writer.parts)
        )
        if self.store:
            done.archive = name
            done.archive_sha256 = archive.seal(self.store, manifest)
        try:
            session.commit()
            known, how = COMMITTED, "the server answered COMMIT"
        except CommitUnknown as error:
            known, how = self._ask_again(manifest, error)
            done.notes.append(f"The connection broke at COMMIT; the transaction is known as {known}: {how}.")
        if self.store:
            try:
                archive.tell_outcome(self.store, name, known, how)
            except RollbackError as error:
                done.notes.append(f"The rows are removed, but that could not be noted at the archive: {error}")

    def _ask_again(self, manifest: Manifest, error: CommitUnknown) -> tuple[str, str]:
        """Return the outcome after a broken COMMIT; raises CommitUnknown while nobody can tell it."""
        kept = f"Archive: {manifest.archive}. " if self.store else ""
        try:
            session = self.connect()
        except RollbackError as again:
            raise self._unknown(error, kept) from again
        try:
            if self.store:
                known, how = outcome.resolve(session, self.store, manifest, self.deadline)
            else:
                known, how = outcome.by_number(session, manifest, self.deadline)
        finally:
            session.close()
        if known == COMMITTED:
            return known, how
        if known == ROLLED_BACK:
            if self.store:
                archive.tell_outcome(self.store, manifest.archive, known, how)
            raise Conflict(f"the connection broke at COMMIT, and the transaction was rolled back ({how})",
                           where=error.where, hint=f"{NOTHING} Run the same command again.") from error  # fmt: skip
        raise self._unknown(error, kept)

    def _unknown(self, error: CommitUnknown, kept: str) -> CommitUnknown:
        return CommitUnknown(
            "the connection broke at COMMIT, and whether the rows are removed is not known",
            where=error.where,
            hint=f"{kept}Run the same command again: it finds out and says it.",
        )


def _told(declared: Declared, chosen: Chosen) -> dict[str, int]:
    """Return how many rows lose which reference, with its table where several tables have one of that name."""
    names = [one.name for one in chosen.detached]
    return {
        one.name if names.count(one.name) == 1 else f"{one.name} of {declared.said(one.child)}": count
        for one, count in chosen.detached.items()
    }


def _archive(session: Session, declared: Declared, chosen: Chosen, writer: Writer) -> None:
    for number, group in enumerate(declared.plan.groups):
        for node in (declared.plan.nodes[oid] for oid in group):
            count, rows_of = chosen.counts[node.table.oid], ("pg_temp", node.rows)
            if count:
                known = {"kind": REMOVED, "rows": count, "group": number}
                _copy(session, writer, node.table, node.table.stored, rows_of, known)
    for number, one in enumerate(declared.plan.detached):
        if chosen.detached[one]:
            table = declared.tables[one.child]
            columns = tuple(dict.fromkeys([*table.key, *one.columns]))
            known = {"kind": DETACHED, "rows": chosen.detached[one], "reference": one.cleared}
            _copy(session, writer, table, columns, rows.detached_rows(number), known)


def _copy(
    session: Session, writer: Writer, table: Table, columns: Sequence[str], source: Any, known: Mapping[str, Any]
) -> None:
    typed = tuple((name, table.column(name, "archive").type) for name in columns)
    query = statement(
        "COPY (SELECT {columns} FROM {table} t JOIN {source} k ON {same}) TO STDOUT",
        columns=[("t", name) for name in columns],
        table=table.path,
        source=source,
        same=rows.same_place(table),
    )
    with writer.part(schema=table.schema, table=table.name, columns=typed, key=table.key, **known) as stream:
        session.copy_out(query, stream)


def _delete(session: Session, group: list[Node], chosen: Chosen) -> None:
    """Delete the rows of one table, or of several that reference each other in a circle, in one statement."""
    parts = [
        statement("DELETE FROM {table} t USING {rows} k WHERE {same}",
                  table=node.table.path, rows=("pg_temp", node.rows), same=rows.same_row(node))
        for node in group if chosen.counts[node.table.oid]
    ]  # fmt: skip
    if parts:
        session.run(at_once(parts))
