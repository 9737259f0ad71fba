# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: from what the inventory declares and what the catalog knows to who is removed with whom, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from ..core.errors import InvalidInput
from .catalog import Reference, Table

ROOT = "root"
LINKED = "linked"
WITH = "with"


@dataclass(frozen=True)
class Link:
    """The other side's table: its rows are reached through a mapping, and removed only if they bear a mark."""

    table: int
    key: str
    through: int
    root_column: str
    linked_column: str
    root_key: str


@dataclass(frozen=True)
class Node:
    """A table that rows are removed from; ``rows`` is the temporary table that says which, by place and ``keys``."""

    table: Table
    role: str
    rows: str
    keys: tuple[str, ...]

    def kept(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return what columns of the table are called in ``rows``."""
        return tuple(f"k{self.keys.index(name)}" for name in columns)


@dataclass(frozen=True)
class Plan:
    """Tables with rows to remove, parents before children; tables of one group reference each other in a circle.

    Rows that name a removed row are removed with it (``expanding``), lose the name (``detached``), or stop the cleanup
    (``guarded``).
    """

    root: int
    nodes: Mapping[int, Node]
    links: tuple[Link, ...]
    groups: tuple[tuple[int, ...], ...]
    expanding: tuple[Reference, ...]
    detached: tuple[Reference, ...]
    guarded: tuple[Reference, ...]

    def ordered(self) -> list[Node]:
        """Return the tables, parents before children."""
        return [self.nodes[oid] for group in self.groups for oid in group]


def make(
    root: int,
    also: Iterable[int],
    links: Sequence[Link],
    detach: Iterable[int],
    tables: Mapping[int, Table],
    references: Sequence[Reference],
) -> Plan:
    """Return the plan; raises InvalidInput for a table of two roles, or one that nothing leads to."""
    roles = {root: ROOT}
    for link in links:
        if roles.setdefault(link.table, LINKED) != LINKED:
            raise InvalidInput(f"{tables[link.table].said} is the root and linked to itself", where="linked")
    for oid in (*also, *(link.through for link in links)):
        if roles.setdefault(oid, WITH) != WITH:
            raise InvalidInput(
                f"{tables[oid].said} is the {roles[oid]} table, whose rows are chosen by match alone", where="tables"
            )
    inner = [one for one in _once([*references, *_soft(root, links, references)]) if one.parent in roles]
    loose = set(detach)
    expanding, detached, guarded = [], [], []
    for one in inner:
        if roles.get(one.child) == WITH:
            expanding.append(one)
        elif one.child in loose and one.on_delete == "set null" and not one.soft:
            detached.append(one)
        else:
            guarded.append(one)
    for oid in sorted(loose - {one.child for one in detached}):
        raise InvalidInput(
            f"{tables[oid].said} can't be detached: no foreign key of it has ON DELETE SET NULL to a table of the plan",
            where="detach",
        )
    for one in detached:
        if not tables[one.child].key:
            raise InvalidInput(f"{tables[one.child].said} has no primary key to be put back by", where="detach")
    _need_reach(roles, expanding, tables)
    kept = {oid: _columns(oid, tables[oid], inner, links, root) for oid in roles}
    nodes = {oid: Node(tables[oid], role, f"dw_rows_{n}", kept[oid]) for n, (oid, role) in enumerate(roles.items())}
    return Plan(
        root, nodes, tuple(links), groups(list(roles), inner), tuple(expanding), tuple(detached), tuple(guarded)
    )


def groups(tables: Sequence[int], references: Iterable[Reference]) -> tuple[tuple[int, ...], ...]:
    """Return the tables parents first, those that reference each other in a circle together in one group."""
    parents: dict[int, set[int]] = {oid: set() for oid in tables}
    for one in references:
        if not one.soft and one.child in parents and one.parent in parents:
            parents[one.child].add(one.parent)
    above = {oid: _reached(oid, parents) for oid in tables}
    circle = {
        oid: tuple(two for two in tables if two == oid or (two in above[oid] and oid in above[two])) for oid in tables
    }
    order: TopologicalSorter[tuple[int, ...]] = TopologicalSorter()
    for oid in tables:
        order.add(circle[oid], *({circle[two] for two in parents[oid]} - {circle[oid]}))
    return tuple(order.static_order())


def _reached(start: int, parents: Mapping[int, set[int]]) -> set[int]:
    found: set[int] = set()
    ahead = [start]
    while ahead:
        for one in parents[ahead.pop()] - found:
            found.add(one)
            ahead.append(one)
    return found


def _soft(root: int, links: Sequence[Link], references: Sequence[Reference]) -> list[Reference]:
    """Return the two sides of each mapping as references, where the catalog has no foreign key for them."""
    known = {(one.child, one.columns, one.parent) for one in references}
    sides = []
    for link in links:
        for column, parent, key in (
            (link.root_column, root, link.root_key),
            (link.linked_column, link.table, link.key),
        ):
            if (link.through, (column,), parent) not in known:
                sides.append(Reference(f"mapping by {column}", link.through, (column,), parent, (key,), soft=True))
    return sides


def _need_reach(roles: Mapping[int, str], expanding: Sequence[Reference], tables: Mapping[int, Table]) -> None:
    reached = {oid for oid, role in roles.items() if role != WITH}
    while True:
        more = {one.child for one in expanding if one.parent in reached} - reached
        if not more:
            break
        reached |= more
    for oid in roles:
        if oid not in reached:
            raise InvalidInput(
                f"nothing leads to {tables[oid].said}: it references no table of the plan",
                where="tables",
                hint="Leave it out, or say in references how its rows name those of another table.",
            )


def _columns(
    oid: int, table: Table, references: Sequence[Reference], links: Sequence[Link], root: int
) -> tuple[str, ...]:
    named = [*table.key]
    for one in references:
        named += one.parent_columns if one.parent == oid else ()
    for link in links:
        named += [link.root_key] if oid == root else []
        named += [link.key] if oid == link.table else []
        named += [link.root_column, link.linked_column] if oid == link.through else []
    return tuple(dict.fromkeys(named))


def _once(references: Iterable[Reference]) -> list[Reference]:
    return list(
        {(one.child, one.columns, one.parent, one.parent_columns, one.where): one for one in references}.values()
    )
