# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find and lock the rows: which they are stands in temporary tables of the transaction, never in our memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .catalog import Reference, Table
from .declared import Declared
from .plan import Link, Node
from .session import NOTHING, Session, Transient
from .statements import equal, joined, keyword, statement, value

#: up to here a table is counted; above, the server's estimate will do
COUNTED = 100_000


@dataclass
class Chosen:
    """How many rows of each table were found and locked, and what was seen of mappings on the way."""

    counts: dict[int, int] = field(default_factory=dict)
    mappings: list[dict[str, Any]] = field(default_factory=list)
    detached: dict[Reference, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Return how many rows would be removed."""
        return sum(self.counts.values())


def count_root(session: Session, declared: Declared) -> int:
    """Return how many rows the root's match means, without locking any."""
    plan = declared.plan
    return int(
        session.one(
            statement(
                "SELECT count(*) FROM {table} t WHERE {condition}",
                table=plan.nodes[plan.root].table.path,
                condition=declared.conditions[plan.root],
            )
        )
    )


def count_table(session: Session, table: Table) -> int:
    """Return how many rows a table has: exactly when it is small, else the server's estimate."""
    if table.rows > COUNTED:
        return int(table.rows)
    return int(session.one(statement("SELECT count(*) FROM {table}", table=table.path)))


def collect(session: Session, declared: Declared, limit: Callable[[int], None]) -> Chosen:
    """Find and lock every row of the plan: the root's, the linked ones with the mark, and all that reference them.

    ``limit`` is called with the number of rows so far and raises when they are too many.
    """
    plan, chosen = declared.plan, Chosen()
    for node in plan.nodes.values():
        session.run(
            statement(
                "CREATE TEMPORARY TABLE {rows} ON COMMIT DROP AS SELECT t.tableoid AS tab, t.ctid AS tid, 0 AS round"
                "{keys} FROM {table} t WHERE false",
                rows=_temporary(node),
                keys=_named_keys(node, "t"),
                table=node.table.path,
            )
        )
        chosen.counts[node.table.oid] = 0
    root = plan.nodes[plan.root]
    _choose(session, chosen, root, declared.conditions[plan.root], limit)
    for link in plan.links:
        condition = joined(
            [declared.conditions[link.table], _mapped(declared, link), _not_shared(declared, link)], " AND "
        )
        _choose(session, chosen, plan.nodes[link.table], condition, limit)
    _expand(session, declared, chosen, limit)
    for link in plan.links:
        _need_own_mappings(session, declared, link)
        chosen.mappings.append(_told(session, declared, link, chosen))
    for number, one in enumerate(plan.detached):
        chosen.detached[one] = _choose_detached(session, declared, one, number)
    return chosen


def references_left(session: Session, declared: Declared) -> list[tuple[Reference, int]]:
    """Return the references from rows that stay to rows that go, with their number; none is as it should be."""
    plan, found = declared.plan, []
    for one in plan.guarded:
        parent = plan.nodes[one.parent]
        child = plan.nodes.get(one.child)
        stays = joined([*_only(one, "c"), *_stays(child, "c")], " AND ")
        count = session.one(
            statement(
                "SELECT count(*) FROM {child} c WHERE EXISTS (SELECT FROM {rows} k WHERE {same}) AND {stays}",
                child=declared.tables[one.child].path,
                rows=_temporary(parent),
                same=equal("c", one.columns, "k", parent.kept(one.parent_columns)),
                stays=stays,
            )
        )
        if count:
            found.append((one, int(count)))
    return found


def soft_references_left(session: Session, declared: Declared) -> int:
    """Return how many rows still name removed ones where no foreign key of the server's watches over it."""
    left = 0
    for one in declared.plan.expanding:
        if one.soft:
            parent = declared.plan.nodes[one.parent]
            left += session.one(
                statement(
                    "SELECT count(*) FROM {child} c WHERE EXISTS (SELECT FROM {rows} k WHERE {same}) AND {only}",
                    child=declared.tables[one.child].path,
                    rows=_temporary(parent),
                    same=equal("c", one.columns, "k", parent.kept(one.parent_columns)),
                    only=joined(_only(one, "c"), " AND "),
                )
            )
    return left


def count_outside(session: Session, node: Node, condition: Any) -> tuple[int, list[str]]:
    """Return how many of the rows to be removed a rule is broken by, and the keys of a few."""
    of_rows = statement(
        "FROM {table} t JOIN {rows} k ON {same} WHERE {condition}",
        table=node.table.path, rows=_temporary(node), same=same_row(node), condition=condition,
    )  # fmt: skip
    count = int(session.one(statement("SELECT count(*) {of_rows}", of_rows=of_rows)))
    keys = [("t", name) for name in node.table.key] or [statement("t.ctid")]
    few = (
        session.rows(statement("SELECT ROW({keys})::text {of_rows} LIMIT 5", keys=list(keys), of_rows=of_rows))
        if count
        else []
    )
    return count, [text.strip("()") for (text,) in few]


def digest(session: Session, declared: Declared) -> list[str]:
    """Return for every table its name, the number of its rows and a sum over their keys, whatever their order."""
    told = []
    for node in declared.plan.ordered():
        keys = [("k", name) for name in node.kept(node.table.key)]
        hashed = statement("hashtextextended(ROW({keys})::text, 0)", keys=list(keys)) if keys else keyword("0")
        count, total = session.rows(
            statement(
                "SELECT count(*), coalesce(sum({hashed}), 0)::text FROM {rows} k", hashed=hashed, rows=_temporary(node)
            )
        )[0]
        told.append(f"{node.table.said} {count} {total}")
    return told


def root_keys(session: Session, declared: Declared, most: int) -> list[Any]:
    """Return the root rows' keys as text, a list for a composite key, at most so many."""
    node = declared.plan.nodes[declared.plan.root]
    if not node.table.key:
        return []
    keys = [statement("{key}::text", key=("k", name)) for name in node.kept(node.table.key)]
    found = session.rows(
        statement("SELECT {keys} FROM {rows} k ORDER BY {order} LIMIT {most}", keys=keys, rows=_temporary(node),
                  order=[("k", name) for name in node.kept(node.table.key)], most=value(most))
    )  # fmt: skip
    return [row[0] if len(row) == 1 else list(row) for row in found]


def preview(session: Session, node: Node, columns: list[str], most: int) -> list[tuple[Any, ...]]:
    """Return a few of the rows to be removed as texts."""
    return session.rows(
        statement("SELECT {columns} FROM {table} t JOIN {rows} k ON {same} LIMIT {most}",
                  columns=[statement("left({column}::text, 200)", column=("t", name)) for name in columns],
                  table=node.table.path, rows=_temporary(node), same=same_row(node), most=value(most))
    )  # fmt: skip


def same_row(node: Node) -> Any:
    """Return the condition that alias t is the very row that alias k names."""
    return same_place(node.table)


def same_place(table: Table) -> Any:
    """Return the condition that alias t lies where alias k says; partitions have places of their own."""
    return statement("t.ctid = k.tid AND t.tableoid = k.tab" if table.spread else "t.ctid = k.tid")


def detached_rows(number: int) -> tuple[str, str]:
    """Return the temporary table of rows that lose a reference."""
    return ("pg_temp", f"dw_detached_{number}")


# -- inside ----------------------------------------------------------------------------------------------------------


def _temporary(node: Node) -> tuple[str, str]:
    return ("pg_temp", node.rows)


def _named_keys(node: Node, alias: str) -> Any:
    return joined(
        [statement(", {column} AS {name}", column=(alias, column), name=f"k{number}")
         for number, column in enumerate(node.keys)], "",
    ) if node.keys else statement("")  # fmt: skip


def _choose(session: Session, chosen: Chosen, node: Node, condition: Any, limit: Callable[[int], None]) -> None:
    chosen.counts[node.table.oid] += session.run(
        statement(
            "INSERT INTO {rows} SELECT t.tableoid, t.ctid, 0{keys} FROM {table} t WHERE {condition} FOR UPDATE OF t",
            rows=_temporary(node), keys=_named_keys(node, "t"), table=node.table.path, condition=condition,
        )
    )  # fmt: skip
    limit(chosen.total)
    session.run(statement("ANALYZE {rows}", rows=_temporary(node)))


def _expand(session: Session, declared: Declared, chosen: Chosen, limit: Callable[[int], None]) -> None:
    """Add what references rows that were found, until nothing more is; each reference looks at new rows only."""
    plan = declared.plan
    place = {oid: number for number, group in enumerate(plan.groups) for oid in group}
    ordered = sorted(plan.expanding, key=lambda one: (place[one.parent], place[one.child]))
    newest = {oid: 0 if count else -1 for oid, count in chosen.counts.items()}
    seen = dict.fromkeys(range(len(ordered)), -1)
    current = 0
    while any(newest[one.parent] > seen[number] for number, one in enumerate(ordered)):
        for number, one in enumerate(ordered):
            if newest[one.parent] <= seen[number]:
                continue
            current += 1
            since, seen[number] = seen[number], newest[one.parent]
            found = _add(session, declared, chosen, one, since, current)
            if found:
                chosen.counts[one.child] += found
                newest[one.child] = current
                limit(chosen.total)
                session.run(statement("ANALYZE {rows}", rows=_temporary(plan.nodes[one.child])))


def _add(session: Session, declared: Declared, chosen: Chosen, one: Reference, since: int, current: int) -> int:
    parent, child = declared.plan.nodes[one.parent], declared.plan.nodes[one.child]
    conditions = [
        statement(
            "EXISTS (SELECT FROM {rows} k WHERE {same} AND k.round > {since})",
            rows=_temporary(parent),
            same=equal("c", one.columns, "k", parent.kept(one.parent_columns)),
            since=value(since),
        ),
        *_only(one, "c"),
    ]
    if chosen.counts[one.child]:
        conditions += _stays(child, "c")
    return session.run(
        statement(
            "INSERT INTO {rows} SELECT c.tableoid, c.ctid, {current}{keys} FROM {child} c WHERE {conditions}"
            " FOR UPDATE OF c",
            rows=_temporary(child), current=value(current), keys=_named_keys(child, "c"), child=child.table.path,
            conditions=joined(conditions, " AND "),
        )
    )  # fmt: skip


def _only(one: Reference, alias: str) -> list[Any]:
    return [statement("{column}::text = {value}", column=(alias, name), value=value(text)) for name, text in one.where]


def _stays(node: Node | None, alias: str) -> list[Any]:
    """Return the condition that a row is none of those found so far, none where none of its table is removed."""
    if node is None:
        return []
    return [
        statement(
            "NOT EXISTS (SELECT FROM {rows} h WHERE h.tid = {tid} AND h.tab = {tab})",
            rows=_temporary(node),
            tid=(alias, "ctid"),
            tab=(alias, "tableoid"),
        )
    ]


def _of_mapping(declared: Declared, link: Link) -> Mapping[str, Any]:
    root = declared.plan.nodes[declared.plan.root]
    return {
        "mapping": declared.tables[link.through].path,
        "root_rows": _temporary(root),
        "root_key": ("r", *root.kept((link.root_key,))),
        "by_root": ("m", link.root_column),
        "by_linked": ("m", link.linked_column),
        "key": ("t", link.key),
    }


def _mapped(declared: Declared, link: Link) -> Any:
    return statement(
        "EXISTS (SELECT FROM {mapping} m JOIN {root_rows} r ON {by_root} = {root_key} WHERE {by_linked} = {key})",
        **_of_mapping(declared, link),
    )


def _not_shared(declared: Declared, link: Link) -> Any:
    return statement(
        "NOT EXISTS (SELECT FROM {mapping} m WHERE {by_linked} = {key}"
        " AND NOT EXISTS (SELECT FROM {root_rows} r WHERE {root_key} = {by_root}))",
        **_of_mapping(declared, link),
    )


def _need_own_mappings(session: Session, declared: Declared, link: Link) -> None:
    """Raise Transient when a mapping of somebody else's root row came in between: that row must not be unmapped."""
    mapping = declared.plan.nodes[link.through]
    parts = dict(_of_mapping(declared, link))
    parts["by_root"] = ("m", *mapping.kept((link.root_column,)))
    strangers = session.one(
        statement(
            "SELECT count(*) FROM {rows} m LEFT JOIN {root_rows} r ON {root_key} = {by_root} WHERE {root_key} IS NULL",
            rows=_temporary(mapping), **parts,
        )
    )  # fmt: skip
    if strangers:
        raise Transient(
            f"{strangers} new mappings of other rows have come in between", where=mapping.table.said, hint=NOTHING
        )


def _told(session: Session, declared: Declared, link: Link, chosen: Chosen) -> dict[str, Any]:
    """Return what is to know of a mapping: rows, NULLs, how many are mapped twice, and what of the other side stays."""
    mapping = declared.plan.nodes[link.through]
    by_root, by_linked = mapping.kept((link.root_column,)) + mapping.kept((link.linked_column,))
    total, nulls, linked, roots = session.rows(
        statement(
            "SELECT count(*), count(*) FILTER (WHERE {by_linked} IS NULL), count(DISTINCT {by_linked}),"
            " count(DISTINCT {by_root}) FROM {rows}",
            by_linked=by_linked, by_root=by_root, rows=_temporary(mapping),
        )
    )[0]  # fmt: skip
    removed = chosen.counts[link.table]
    return {
        "mapping": mapping.table.said,
        "linked": declared.said(link.table),
        "rows": total,
        "null": nulls,
        "mapped_twice": max(total - nulls - linked, 0) + max(total - roots, 0),
        "not_mapped": chosen.counts[declared.plan.root] - roots,
        "removed": removed,
        "only_unmapped": linked - removed,
    }


def _choose_detached(session: Session, declared: Declared, one: Reference, number: int) -> int:
    """Find and lock the rows that lose a reference; those that are removed themselves are none of them."""
    parent, table = declared.plan.nodes[one.parent], declared.tables[one.child]
    rows = detached_rows(number)
    stays = joined(_stays(declared.plan.nodes.get(one.child), "t"), " AND ")
    session.run(
        statement("CREATE TEMPORARY TABLE {rows} ON COMMIT DROP AS SELECT t.tableoid AS tab, t.ctid AS tid"
                  " FROM {table} t WHERE false", rows=rows, table=table.path)
    )  # fmt: skip
    return session.run(
        statement("INSERT INTO {rows} SELECT t.tableoid, t.ctid FROM {table} t"
                  " WHERE EXISTS (SELECT FROM {parent_rows} k WHERE {same}) AND {stays} FOR UPDATE OF t",
                  rows=rows, table=table.path, parent_rows=_temporary(parent), stays=stays,
                  same=equal("t", one.columns, "k", parent.kept(one.parent_columns)))
    )  # fmt: skip
