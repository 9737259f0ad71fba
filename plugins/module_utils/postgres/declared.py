# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of a cleanup to its plan: names looked up in the catalog, nothing of the data read yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.errors import InvalidInput, Refused
from . import catalog, match
from .catalog import Reference, Table
from .plan import WITH, Link, Plan, make
from .session import NOTHING, Session


@dataclass(frozen=True)
class Declared:
    """A plan, the conditions of the tables whose rows are chosen, and every table that has been looked up."""

    plan: Plan
    conditions: Mapping[int, Any]
    tables: Mapping[int, Table]
    rules: tuple[tuple[int, str, Any], ...]
    side_effects: frozenset[int]

    def said(self, oid: int) -> str:
        """Return a table's name for a person to read."""
        return self.tables[oid].said if oid in self.tables else f"table {oid}"


def look_up(session: Session, params: Mapping[str, Any]) -> Declared:
    """Return what the options declare; raises InvalidInput for names that there are not, Refused for lacking rights."""
    root_options = params["root"]
    root = catalog.find(session, root_options["table"], "root.table")
    also = [catalog.find(session, name, "tables") for name in params.get("tables") or []]
    detach = [catalog.find(session, name, "detach") for name in params.get("detach") or []]
    effects = [catalog.find(session, name, "side_effects") for name in params.get("side_effects") or []]
    linked = params.get("linked") or []
    ends = [
        (catalog.find(session, one["table"], "linked.table"), catalog.find(session, one["through"]["table"], "through"))
        for one in linked
    ]
    named = [
        (catalog.find(session, one["table"], "references"), catalog.find(session, one["to"], "references.to"))
        for one in params.get("references") or []
    ]
    wanted = {root, *also, *detach, *effects, *(oid for pair in (*ends, *named) for oid in pair)}
    tables = catalog.tables(session, wanted)
    links = [_link(one, *pair, root, tables) for one, pair in zip(linked, ends)]
    soft = [_soft(one, *pair, tables) for one, pair in zip(params.get("references") or [], named)]
    covered = [root, *also, *(oid for pair in ends for oid in pair)]
    found = catalog.references(session, covered)
    tables.update(catalog.tables(session, {one.child for one in found} - set(tables)))
    plan = make(root, also, links, detach, tables, [*found, *soft])
    _need_rights(session, plan, tables)
    conditions = {root: match.condition(root_options.get("match") or {}, tables[root], "root.match")}
    for one, (oid, dummy) in zip(linked, ends):
        conditions[oid] = match.condition(one.get("match") or {}, tables[oid], "linked.match")
    return Declared(plan, conditions, tables, tuple(_rules(session, params, plan)), frozenset(effects))


def _link(given: Mapping[str, Any], table: int, through: int, root: int, tables: Mapping[int, Table]) -> Link:
    mapping: Mapping[str, Any] = given["through"]
    for name in ("root_column", "linked_column"):
        tables[through].column(mapping[name], f"linked.through.{name}")
    keys = []
    named: list[tuple[str, int, Any]] = [("key", table, given.get("key")), ("root_key", root, mapping.get("root_key"))]
    for option, oid, name in named:
        if not name and len(tables[oid].key) != 1:
            raise InvalidInput(
                f"{tables[oid].said} has no primary key of one column", where="linked", hint=f"Give {option}."
            )
        keys.append(tables[oid].column(name or tables[oid].key[0], f"linked.{option}").name)
    return Link(table, keys[0], through, mapping["root_column"], mapping["linked_column"], keys[1])


def _soft(given: Mapping[str, Any], child: int, parent: int, tables: Mapping[int, Table]) -> Reference:
    columns = tuple(tables[child].column(name, "references.columns").name for name in given["columns"])
    theirs = tuple(given.get("to_columns") or tables[parent].key)
    for name in theirs:
        tables[parent].column(name, "references.to_columns")
    if not columns or len(columns) != len(theirs):
        raise InvalidInput(
            f"{tables[child].said} names {tables[parent].said} by {len(columns)} columns, whose key has {len(theirs)}",
            where="references",
        )
    only = given.get("where") or {}
    for name in only:
        tables[child].column(name, "references.where")
    return Reference(
        f"declared by {', '.join(columns)}", child, columns, parent, theirs, soft=True,
        where=tuple((name, str(value)) for name, value in only.items()),
    )  # fmt: skip


def _rules(session: Session, params: Mapping[str, Any], plan: Plan) -> list[tuple[int, str, Any]]:
    """Return table, words and condition of what no row to be removed may be."""
    rules = []
    for given in (params.get("guards") or {}).get("every_row") or []:
        oid = catalog.find(session, given["table"], "guards.every_row")
        if oid not in plan.nodes:
            raise InvalidInput(f"no row is removed from {given['table']}", where="guards.every_row")
        limits = [f"{word} {given[word]}" for word in ("min", "max") if given.get(word) is not None]
        condition = match.outside(given, plan.nodes[oid].table, "guards.every_row")
        rules.append((oid, f"{given['column']} outside {', '.join(limits)}", condition))
    return rules


def _need_rights(session: Session, plan: Plan, tables: Mapping[int, Table]) -> None:
    """Raise Refused with the statements to run when the role lacks rights on tables of the plan."""
    lacking = []
    for node in plan.nodes.values():
        need = {"SELECT", "DELETE", "UPDATE"} - node.table.rights
        if need:
            # locking a row asks for the right to update some column, so one that nobody would is enough
            told = [
                f"UPDATE ({(node.table.key or node.table.stored)[0]})" if one == "UPDATE" else one
                for one in sorted(need)
            ]
            lacking.append(f"GRANT {', '.join(told)} ON {node.table.said}")
    for one in (*plan.guarded, *plan.detached):
        if "SELECT" not in tables[one.child].rights and one.child not in plan.nodes:
            lacking.append(f"GRANT SELECT ON {tables[one.child].said}")
    if lacking:
        role = session.one("SELECT quote_ident(current_user)")
        raise Refused(
            f"the role {role} lacks rights",
            where=session.where,
            hint=f"{NOTHING} Run as the owner: "
            + "; ".join(f"{one} TO {role}" for one in dict.fromkeys(lacking))
            + ".",
        )


def roles(plan: Plan) -> dict[str, str]:
    """Return table -> why rows of it are removed, for a person to read."""
    reasons: dict[str, str] = {}
    for node in plan.ordered():
        if node.role != WITH:
            reasons[node.table.said] = "match" if node.role == "root" else "mapped and bears the mark"
        else:
            names = [one.name for one in plan.expanding if one.child == node.table.oid]
            reasons[node.table.said] = "references by " + ", ".join(names)
    return reasons
