# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive's rows in temporary tables of the database: are they missing there, or there, or is something else?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.errors import InvalidInput, Refused
from ..stores.base import Store
from . import archive, catalog
from .archive import Manifest, Part
from .catalog import Table
from .session import NOTHING, Session
from .statements import at_once, equal, joined, statement, value

MISSING = "missing"
PRESENT = "present"
MIXED = "mixed"
_FEW = 20


@dataclass(frozen=True)
class Staged:
    """One part in a temporary table, and the table that its rows belong to."""

    part: Part
    table: Table
    name: tuple[str, str]

    @property
    def columns(self) -> list[str]:
        """Return the names of the archived columns."""
        return [name for name, dummy in self.part.columns]


def load(session: Session, store: Store, manifest: Manifest) -> list[Staged]:
    """Load every part into a temporary table of the transaction; raises Refused when a table is not what it was."""
    staged = []
    for number, part in enumerate(manifest.parts):
        oid = catalog.find(session, f'"{_doubled(part.schema)}"."{_doubled(part.table)}"', part.object)
        table = catalog.tables(session, [oid])[oid]
        _need_same_shape(part, table)
        one = Staged(part, table, ("pg_temp", f"dw_archived_{number}"))
        session.run(
            statement("CREATE TEMPORARY TABLE {name} ON COMMIT DROP AS SELECT {columns} FROM {table} t WHERE false",
                      name=one.name, columns=[("t", name) for name in one.columns], table=table.path)
        )  # fmt: skip
        with archive.opened(store, part) as stream:
            session.copy_in(statement("COPY {name} ({columns}) FROM STDIN", name=one.name, columns=one.columns), stream)
        found = session.one(statement("SELECT count(*) FROM {name}", name=one.name))
        if found != part.rows:
            raise InvalidInput(
                f"the manifest says {part.rows} rows, there are {found}",
                where=part.object,
                hint="Nothing was put back.",
            )
        session.run(statement("ANALYZE {name}", name=one.name))
        staged.append(one)
    return staged


def state_of(session: Session, one: Staged) -> str:
    """Return whether none, all or some of the archived rows are in their table, whatever else is."""
    same = count_same(session, one)
    if same == one.part.rows:
        return PRESENT
    return MISSING if same == 0 else MIXED


def count_same(session: Session, one: Staged) -> int:
    """Return how many of the archived rows stand in their table just as they were."""
    if one.part.kind == archive.DETACHED or one.part.key:
        return int(
            session.one(
                statement(
                    "SELECT count(*) FROM {name} s JOIN {table} t ON {same_key}"
                    " WHERE ROW({theirs})::text = ROW({ours})::text",
                    name=one.name, table=one.table.path, same_key=equal("s", one.part.key, "t", one.part.key),
                    theirs=[("s", name) for name in one.columns], ours=[("t", name) for name in one.columns],
                )
            )
        )  # fmt: skip
    # without a key rows may stand there twice: as many as the archive has must be there
    return int(
        session.one(
            statement(
                "SELECT coalesce(sum(least(a.n, b.n)), 0) FROM"
                " (SELECT ROW({theirs})::text AS line, count(*) AS n FROM {name} s GROUP BY 1) a JOIN"
                " (SELECT ROW({ours})::text AS line, count(*) AS n FROM {table} t GROUP BY 1) b USING (line)",
                name=one.name, table=one.table.path,
                theirs=[("s", name) for name in one.columns], ours=[("t", name) for name in one.columns],
            )
        )
    )  # fmt: skip


def in_their_place(session: Session, one: Staged) -> list[str]:
    """Return what stands where archived rows would go: rows with the same key, or with the same unique values."""
    told = []
    for columns in one.table.unique:
        if not set(columns) <= set(one.columns):
            continue
        found = session.rows(
            statement("SELECT ROW({columns})::text FROM {name} s"
                      " WHERE EXISTS (SELECT FROM {table} t WHERE {same}) LIMIT {few}",
                      columns=[("s", name) for name in columns], name=one.name, table=one.table.path,
                      same=equal("s", columns, "t", columns), few=value(_FEW))
        )  # fmt: skip
        told += [f"{one.part.said} ({', '.join(columns)}) = {text}" for (text,) in found]
    return told


def not_as_before(session: Session, one: Staged) -> list[str]:
    """Return the rows that lost a reference and are gone now, or have another one.

    The columns of the reference that were cleared must be NULL still, the others what they were.
    """
    reference = one.part.reference
    kept = [name for name in one.columns if name not in reference]
    free = joined(
        [
            *(statement("{column} IS NULL", column=("t", name)) for name in reference),
            *(statement("{now} IS NOT DISTINCT FROM {then}", now=("t", name), then=("s", name)) for name in kept),
        ],
        " AND ",
    )
    found = session.rows(
        statement("SELECT ROW({key})::text FROM {name} s WHERE NOT EXISTS"
                  " (SELECT FROM {table} t WHERE {same} AND {free}) LIMIT {few}",
                  key=[("s", name) for name in one.part.key], name=one.name, table=one.table.path,
                  same=equal("s", one.part.key, "t", one.part.key), free=free, few=value(_FEW))
    )  # fmt: skip
    return [f"{one.part.said} {text}: it is gone or references something else" for (text,) in found]


def put(session: Session, group: Sequence[Staged]) -> None:
    """Put rows into their table, or into several that reference each other in a circle, in one statement."""
    parts = [
        statement(
            "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {name}",
            table=one.table.path,
            columns=one.columns,
            name=one.name,
        )
        for one in group
    ]
    session.run(at_once(parts))


def attach(session: Session, one: Staged) -> None:
    """Give rows the reference back that they lost."""
    session.run(
        statement(
            "UPDATE {table} t SET {sets} FROM {name} s WHERE {same}",
            table=one.table.path,
            sets=[statement("{column} = {old}", column=name, old=("s", name)) for name in one.part.reference],
            name=one.name,
            same=equal("s", one.part.key, "t", one.part.key),
        )
    )


def _need_same_shape(part: Part, table: Table) -> None:
    now = {one.name: one.type for one in table.columns if not one.generated}
    then = dict(part.columns)
    if part.kind == archive.DETACHED:
        now = {name: now.get(name, "") for name in then}
    different = [
        *(f"{name} is gone" for name in then if name not in now),
        *(f"{name} is {now[name]}, was {then[name]}" for name in then if name in now and now[name] != then[name]),
        *(f"{name} is new" for name in now if name not in then),
    ]
    if different:
        raise Refused(
            f"the table is not what it was when its rows were archived: {', '.join(different)}",
            where=part.said,
            hint=f"{NOTHING} Migrate the database back, put the rows back, migrate again.",
        )


def _doubled(name: str) -> str:
    return name.replace('"', '""')
