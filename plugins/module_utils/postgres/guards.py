# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: may these rows be removed? Every guard that says no, in sentences of one list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import InvalidInput, Refused
from .catalog import Reference
from .declared import Declared
from .rows import Chosen
from .session import NOTHING

MAX_ROWS = 10_000
MAX_SHARE = 0.5
MAX_UNINDEXED = 10_000_000


def take(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the guards with what is not given filled in; raises InvalidInput for limits that are none.

    Raises Refused where a protected environment gives a pattern alone.
    """
    # an empty text is no plan that somebody has looked at
    guards = {name: value for name, value in (params.get("guards") or {}).items() if value not in (None, "")}
    guards.setdefault("max_rows", MAX_ROWS)
    guards.setdefault("max_share", MAX_SHARE)
    guards.setdefault("max_unindexed", MAX_UNINDEXED)
    for name in ("max_rows", "max_share", "max_unindexed", "expected_count"):
        if float(guards.get(name, 0)) < 0:
            raise InvalidInput(f"{name} is {guards[name]}, and fewer than no rows can't be", where="guards")
    named = {"expected_count", "expected_ids", "expected_plan"} & set(guards)
    if params.get("protected") and not named and not (params["root"].get("match") or {}).get("ids"):
        raise Refused(
            "the environment is protected, and a pattern alone chooses no rows there",
            where="root.match",
            hint=f"{NOTHING} Run in check mode, look at the rows, then give their ids or guards.expected_count.",
        )
    return guards


def need_key(guards: Mapping[str, Any], declared: Declared) -> None:
    """Raise InvalidInput when ids are expected of a root table whose rows have none."""
    root = declared.plan.nodes[declared.plan.root].table
    if "expected_ids" in guards and not root.key:
        raise InvalidInput(
            f"the table {root.said} has no primary key, so no row has an id",
            where="guards.expected_ids",
            hint=f"{NOTHING} Run in check mode, look at the rows, then give guards.expected_count.",
        )


def root_rows(guards: Mapping[str, Any], declared: Declared, count: int, whole: int) -> None:
    """Raise Refused for too many rows of the root, too great a share of its table, or not the number expected.

    It is asked before a row is locked, so that none is for what is refused anyway, and again of those that are locked.
    """
    said = declared.said(declared.plan.root)
    if count > guards["max_rows"]:
        raise _refused([f"{count} rows of {said} are meant, at most {guards['max_rows']} may be (guards.max_rows)"])
    if whole and count / whole > guards["max_share"]:
        raise _refused(
            [
                f"{count} of {whole} rows of {said} are meant, at most {guards['max_share']:.0%} may be"
                " (guards.max_share)"
            ]
        )
    if "expected_count" in guards and count and count != guards["expected_count"]:
        raise _refused([f"{count} rows of {said} are meant, {guards['expected_count']} were expected"])


def too_many(guards: Mapping[str, Any], total: int) -> None:
    """Raise Refused when more rows than allowed were found in all tables together."""
    if total > guards["max_rows"]:
        raise _refused(
            [f"{total} rows and more would be removed in all, at most {guards['max_rows']} may be (guards.max_rows)"]
        )


def other_rows(expected: Sequence[Any], found: Sequence[Any]) -> str:
    """Return in what the root rows differ from those expected, empty when they don't."""
    wanted = {_key(one) for one in expected}
    seen = {_key(one) for one in found}
    parts = []
    if seen - wanted:
        parts.append(f"not expected: {_few(seen - wanted)}")
    if wanted - seen:
        parts.append(f"expected and not found: {_few(wanted - seen)}")
    return "; ".join(parts)


def judge(
    guards: Mapping[str, Any],
    declared: Declared,
    chosen: Chosen,
    *,
    left: Sequence[tuple[Reference, int]],
    broken: Sequence[tuple[str, str, int, Sequence[str]]],
    keys: Sequence[Any],
    plan_digest: str,
) -> None:
    """Raise Refused with everything that speaks against removing these rows.

    ``left`` are references from rows that stay, ``broken`` rules with table, words, number and a few keys, ``keys``
    the root rows found, ``plan_digest`` what stands for exactly these rows of all tables.
    """
    said = []
    for one, count in left:
        said.append(
            f"{count} rows of {declared.said(one.child)}, which the plan does not cover, reference rows of "
            f"{declared.said(one.parent)} ({one.name}, on delete {'nothing' if one.soft else one.on_delete})"
        )
    for table, words, count, few in broken:
        said.append(f"{count} rows of {table} have {words}: {', '.join(few)}")
    if "expected_ids" in guards:
        different = other_rows(guards["expected_ids"], keys)
        if different:
            said.append(f"other rows of {declared.said(declared.plan.root)} than expected are meant ({different})")
    if guards.get("expected_plan") and guards["expected_plan"] != plan_digest:
        said.append(
            f"the data has changed since the plan was made: it is {plan_digest} now, not {guards['expected_plan']}"
        )
    said += _slow(guards, declared, chosen)
    if said:
        raise _refused(said)


def unindexed(declared: Declared, chosen: Chosen) -> list[tuple[Reference, float, str]]:
    """Return foreign keys without an index that the server has to follow for removed rows, with cost and remedy."""
    found = []
    plan = declared.plan
    for one in (*plan.expanding, *plan.detached, *plan.guarded):
        if one.indexed or one.soft or not chosen.counts.get(one.parent):
            continue
        table = declared.tables[one.child]
        columns = ", ".join(f'"{name}"' for name in one.columns)
        remedy = f'CREATE INDEX CONCURRENTLY ON "{table.schema}"."{table.name}" ({columns})'
        found.append((one, chosen.counts[one.parent] * max(table.rows, 1.0), remedy))
    return found


def _slow(guards: Mapping[str, Any], declared: Declared, chosen: Chosen) -> list[str]:
    return [
        f"{declared.said(one.child)} has no index on ({', '.join(one.columns)}), so that the server would read about "
        f"{cost:.0f} rows, at most {guards['max_unindexed']} may be (guards.max_unindexed): {remedy}"
        for one, cost, remedy in unindexed(declared, chosen)
        if cost > guards["max_unindexed"]
    ]


def _refused(said: Sequence[str]) -> Refused:
    return Refused("; ".join(said), where="cleanup", hint=NOTHING, evidence={"refused": list(said)})


def _key(one: Any) -> str:
    return ", ".join(str(part) for part in one) if isinstance(one, (list, tuple)) else str(one)


def _few(keys: set[str]) -> str:
    listed = sorted(keys)
    return ", ".join(listed[:10]) + (f" and {len(listed) - 10} more" if len(listed) > 10 else "")
