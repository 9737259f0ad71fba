# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server's catalog knows: tables, their columns and keys, and who references whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..core.errors import InvalidInput
from .session import Session
from .statements import table_name

#: confdeltype -> what the server does to the referencing row
ON_DELETE = {"a": "no action", "r": "restrict", "c": "cascade", "n": "set null", "d": "set default"}


@dataclass(frozen=True)
class Column:
    """A column's name and type; ``generated`` ones are computed by the server and never written."""

    name: str
    type: str
    generated: bool = False


@dataclass(frozen=True)
class Table:
    """A table, or a partitioned one with all that hangs below it (``spread``)."""

    oid: int
    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...]
    spread: bool
    rows: float
    rights: frozenset[str] = frozenset()
    triggers: tuple[str, ...] = ()

    @property
    def path(self) -> tuple[str, str]:
        """Return schema and name, as ``statement`` takes them."""
        return (self.schema, self.name)

    @property
    def said(self) -> str:
        """Return the name for a person to read."""
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"

    def column(self, name: str, where: str) -> Column:
        """Return a column by its name; raises InvalidInput when there is none."""
        for one in self.columns:
            if one.name == name:
                return one
        names = ", ".join(one.name for one in self.columns)
        raise InvalidInput(f"the table {self.said} has no column '{name}'", where=where, hint=f"It has: {names}.")

    @property
    def stored(self) -> tuple[str, ...]:
        """Return the columns that can be written."""
        return tuple(one.name for one in self.columns if not one.generated)


@dataclass(frozen=True)
class Reference:
    """Rows of ``child`` name rows of ``parent``: a foreign key, or one that only the inventory knows (``soft``).

    ``cleared`` are those of its columns that ON DELETE SET NULL sets.
    """

    name: str
    child: int
    columns: tuple[str, ...]
    parent: int
    parent_columns: tuple[str, ...]
    on_delete: str = "no action"
    indexed: bool = True
    soft: bool = False
    where: tuple[tuple[str, str], ...] = ()
    cleared: tuple[str, ...] = ()


_FIND = """
SELECT c.oid::bigint, c.relkind::text, c.relispartition, coalesce(pg_partition_root(c.oid), c.oid)::regclass::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = %(name)s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
AND CASE WHEN %(schema)s = '' THEN pg_table_is_visible(c.oid) ELSE n.nspname = %(schema)s END
"""
_TABLES = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind = 'p' OR c.relhassubclass,
  ARRAY(SELECT a.attname::text FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
  ARRAY(SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
  ARRAY(SELECT a.attgenerated <> '' FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
  (SELECT CASE WHEN min(s.reltuples) < 0 THEN sum(pg_relation_size(s.oid)) / 100 ELSE sum(s.reltuples) END
   FROM pg_class s WHERE s.relkind = 'r' AND s.oid IN
   (SELECT c.oid UNION ALL SELECT relid FROM pg_partition_tree(c.oid))),
  ARRAY(SELECT r FROM unnest(ARRAY['SELECT', 'INSERT', 'DELETE']) r WHERE has_table_privilege(c.oid, r))
  || ARRAY(SELECT 'UPDATE' WHERE has_any_column_privilege(c.oid, 'UPDATE')),
  ARRAY(SELECT t.tgname::text FROM pg_trigger t
        WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D' ORDER BY 1)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY(%s::oid[])
"""
_KEYS = """
SELECT i.indrelid::bigint, i.indisprimary,
  ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(num, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num
        WHERE k.place <= i.indnkeyatts ORDER BY k.place)
FROM pg_index i
WHERE i.indrelid = ANY(%s::oid[]) AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL ORDER BY i.indexrelid
"""
_REFERENCES = """
SELECT c.conname, coalesce(pg_partition_root(c.conrelid), c.conrelid)::bigint,
  ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k(num, place)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.num ORDER BY k.place),
  coalesce(pg_partition_root(c.confrelid), c.confrelid)::bigint,
  ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY k(num, place)
        JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.num ORDER BY k.place),
  c.confdeltype::text,
  EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indisvalid AND i.indpred IS NULL
          AND (string_to_array(i.indkey::text, ' ')::int2[])[1:cardinality(c.conkey)] @> c.conkey),
  ARRAY(SELECT a.attname::text FROM unnest(%(cleared)s) WITH ORDINALITY k(num, place)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.num ORDER BY k.place)
FROM pg_constraint c
WHERE c.contype = 'f' AND c.conparentid = 0
AND coalesce(pg_partition_root(c.confrelid), c.confrelid) = ANY(%s::oid[])
ORDER BY c.conname, c.oid
"""
#: the first version whose ON DELETE SET NULL may name some of the columns
_CLEARS_SOME = 150000


def find(session: Session, text: str, where: str) -> int:
    """Return a table's oid; raises InvalidInput when there is none, or when rows can't be removed from what it is."""
    schema, name = table_name(text, where)
    found = session.rows(_FIND.replace("%(name)s", "%s").replace("%(schema)s", "%s"), (name, schema, schema))
    if not found:
        hint = "Names are taken as they stand in the catalog. Is the schema right, and the database?"
        raise InvalidInput(f"there is no table {text}", where=f"{session.where}, {where}", hint=hint)
    oid, kind, partition, root = found[0]
    if partition:
        raise InvalidInput(f"{text} is a partition of {root}", where=where, hint=f"Name {root}.")
    if kind not in ("r", "p"):
        raise InvalidInput(f"{text} is no table but a view or a foreign table", where=where, hint="Name its tables.")
    return int(oid)


def tables(session: Session, oids: Iterable[int]) -> dict[int, Table]:
    """Return these tables by their oid."""
    listed = sorted(set(oids))
    keys: dict[int, list[tuple[bool, tuple[str, ...]]]] = {}
    for oid, primary, columns in session.rows(_KEYS, (listed,)):
        keys.setdefault(oid, []).append((primary, tuple(columns)))
    found = {}
    for oid, schema, name, spread, names, types, generated, rows, rights, triggers in session.rows(_TABLES, (listed,)):
        mine = keys.get(oid, [])
        found[oid] = Table(
            oid=oid,
            schema=schema,
            name=name,
            columns=tuple(Column(*one) for one in zip(names, types, generated)),
            key=next((columns for primary, columns in mine if primary), ()),
            unique=tuple(columns for dummy, columns in mine),
            spread=spread,
            rows=float(rows or 0),
            rights=frozenset(rights),
            triggers=tuple(triggers),
        )
    return found


def references(session: Session, parents: Sequence[int]) -> list[Reference]:
    """Return every foreign key that points at one of these tables; those of partitions count for the whole table."""
    cleared = "coalesce(c.confdelsetcols, c.conkey)" if session.version >= _CLEARS_SOME else "c.conkey"
    found = session.rows(_REFERENCES.replace("%(cleared)s", cleared), (list(parents),))
    return [
        Reference(
            name, child, tuple(columns), parent, tuple(parent_columns), ON_DELETE[action], indexed, cleared=tuple(sets)
        )
        for name, child, columns, parent, parent_columns, action, indexed, sets in found
    ]
