# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many rows tables have and what invariants count, of one moment; taken, kept, compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import InvalidInput
from ..core.evidence import utc_now
from ..stores.base import Store
from . import catalog, identity
from .invariants import measure
from .session import Session
from .statements import statement

FORMAT = 1


def take(session: Session, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of one moment: rows per table, invariants, and a checksum per table where asked for."""
    session.begin(read_only=True)
    try:
        server = identity.confirm(session, params.get("identity") or {})
        oids = {name: catalog.find(session, name, "tables") for name in params.get("tables") or []}
        known = catalog.tables(session, oids.values())
        counts, checksums = {}, {}
        for name, oid in oids.items():
            table = known[oid]
            checksum = "coalesce(sum(hashtextextended(t::text, 0)), 0)::text" if params.get("checksums") else "''"
            query = statement("SELECT count(*), " + checksum + " FROM {table} t", table=table.path)
            counts[name], checksums[name] = session.rows(query)[0]
        return {
            "format": FORMAT,
            "taken": utc_now(),
            "server": server,
            "tables": counts,
            "checksums": checksums if params.get("checksums") else {},
            "invariants": measure(session, params.get("invariants") or []),
        }
    finally:
        session.rollback()


def keep(store: Store, name: str, baseline: Mapping[str, Any]) -> str:
    """Write a baseline and return where it lies."""
    return store.put(object_name(name), (json.dumps(baseline, indent=1, sort_keys=True) + "\n").encode())


def recall(store: Store, name: str) -> dict[str, Any]:
    """Return a baseline that was kept; raises NotFound when there is none, InvalidInput when it is none of ours."""
    try:
        found = json.loads(store.read(object_name(name)))
        if (
            found["format"] != FORMAT
            or not isinstance(found["invariants"], dict)
            or not isinstance(found["tables"], dict)
        ):
            raise ValueError("it has another shape")
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"the baseline can't be read: {error}", where=f"{store.place}, {object_name(name)}"
        ) from error
    return dict(found)


def object_name(name: str) -> str:
    """Return what a baseline is called in its store."""
    return f"{name}.json"


def differences(
    then: Mapping[str, Any], now: Mapping[str, Any], expect: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Return what differs, and what of that is worse than allowed: more of an invariant, another number of rows.

    ``expect`` says per table what its number of rows may do: any, none, decrease, increase, or the difference itself;
    none when it does not name the table.
    """
    changed, wrong = [], []
    for name, before in then["invariants"].items():
        after = now["invariants"].get(name)
        if after is None:
            wrong.append(f"invariant '{name}' is not asked any more")
        elif after != before:
            changed.append(f"{name}: {before} → {after}")
            if after > before:
                wrong.append(f"{name} went from {before} to {after}")
    for name, before in then["tables"].items():
        after = now["tables"].get(name)
        if after is None:
            wrong.append(f"table {name} is not counted any more")
            continue
        if after != before:
            changed.append(f"{name}: {before} → {after} rows")
        if not _allowed(expect.get(name, "none"), after - before):
            wrong.append(f"{name} went from {before} to {after} rows, expected was {expect.get(name, 'no change')}")
        sums = (then.get("checksums") or {}).get(name), (now.get("checksums") or {}).get(name)
        if all(sums) and sums[0] != sums[1]:
            changed.append(f"{name}: other content")
            if expect.get(name, "none") == "none" and after == before:
                wrong.append(f"{name} has other content in as many rows")
    return changed, wrong


def take_expected(given: Mapping[str, Any], tables: Sequence[str]) -> dict[str, Any]:
    """Return what is expected of tables; raises InvalidInput for what means nothing, or is not counted."""
    for name, word in given.items():
        if name not in tables:
            raise InvalidInput(f"{name} is not among the tables that are counted", where="expect")
        if word not in ("any", "none", "decrease", "increase") and _number(word) is None:
            raise InvalidInput(
                f"'{word}' is nothing to expect of {name}", where="expect",
                hint="Give any, none, decrease, increase or the difference.",
            )  # fmt: skip
    return dict(given)


def _allowed(word: Any, change: int) -> bool:
    number = _number(word)
    if number is not None:
        return change == number
    return {"any": True, "none": change == 0, "decrease": change <= 0, "increase": change >= 0}[str(word)]


def _number(word: Any) -> int | None:
    try:
        return int(word)
    except (TypeError, ValueError):
        return None
