# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rows of a table are meant: patterns, ids, a window of time, and what is never meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import InvalidInput
from .catalog import Table
from .statements import joined, keyword, statement, value

_KINDS = ("like", "starts_with", "equals")


def condition(match: Mapping[str, Any], table: Table, where: str) -> Any:
    """Return the condition on alias t of what a ``match`` means; all that it gives must hold, any pattern will do.

    Raises InvalidInput when it means everything, or columns that there are not.
    """
    patterns = match.get("patterns") or []
    ids = match.get("ids")
    if not patterns and ids is None:
        raise InvalidInput("neither patterns nor ids are given, so every row would be meant", where=where)
    parts = []
    if patterns:
        parts.append(_any(patterns, table, where))
    if ids is not None:
        parts.append(among(ids, table, f"{where}.ids"))
    window = match.get("created") or {}
    if window:
        column = table.column(str(window.get("column") or ""), f"{where}.created")
        if window.get("after") is None and window.get("before") is None:
            raise InvalidInput("neither after nor before is given", where=f"{where}.created")
        for bound, sign in (("after", ">="), ("before", "<")):
            if window.get(bound) is not None:
                parts.append(_compared(column.name, sign, window[bound], column.type))
    spared = match.get("exclude") or {}
    if spared.get("patterns"):
        none_of = _any(spared["patterns"], table, f"{where}.exclude", everything=True)
        parts.append(statement("({patterns}) IS NOT TRUE", patterns=none_of))
    if spared.get("ids"):
        parts.append(statement("NOT ({ids})", ids=among(spared["ids"], table, f"{where}.exclude.ids")))
    return joined([statement("({part})", part=part) for part in parts], " AND ")


def among(ids: Sequence[Any], table: Table, where: str) -> Any:
    """Return the condition that a row's primary key is one of these; a composite key is a list of its values."""
    if not table.key:
        raise InvalidInput(f"the table {table.said} has no primary key, so no row has an id", where=where)
    rows = [[str(part) for part in (one if isinstance(one, (list, tuple)) else [one])] for one in ids]
    for row in rows:
        if len(row) != len(table.key):
            raise InvalidInput(
                f"the id {', '.join(row)} is none of {table.said}, whose key is ({', '.join(table.key)})", where=where
            )
    names = [f"g{number}" for number in range(len(table.key))]
    columns = [value([row[number] for row in rows]) for number in range(len(table.key))]
    return statement(
        "({keys}) IN (SELECT {cast} FROM unnest({arrays}) AS given({names}))",
        keys=[("t", name) for name in table.key],
        cast=[
            statement("{name}::{type}", name=name, type=keyword(table.column(column, where).type))
            for name, column in zip(names, table.key)
        ],
        arrays=[statement("{array}::text[]", array=array) for array in columns],
        names=names,
    )


def outside(rule: Mapping[str, Any], table: Table, where: str) -> Any:
    """Return the condition on alias t that a row is not within min and max of a rule, or has no value at all."""
    column = table.column(str(rule.get("column") or ""), where)
    if rule.get("min") is None and rule.get("max") is None:
        raise InvalidInput("neither min nor max is given", where=where)
    parts = [
        _compared(column.name, sign, rule[bound], column.type)
        for bound, sign in (("min", ">="), ("max", "<="))
        if rule.get(bound) is not None
    ]
    return statement("({within}) IS NOT TRUE", within=joined(parts, " AND "))


def _compared(column: str, sign: str, bound: Any, type_name: str) -> Any:
    return statement(
        "{column} {sign} {bound}::{type}",
        column=("t", column),
        sign=keyword(sign),
        bound=value(str(bound)),
        type=keyword(type_name),
    )


def _any(patterns: Sequence[Mapping[str, Any]], table: Table, where: str, everything: bool = False) -> Any:
    return joined([_pattern(one, table, where, everything) for one in patterns], " OR ")


def _pattern(given: Mapping[str, Any], table: Table, where: str, everything: bool) -> Any:
    place = f"{where}.patterns"
    kinds = [kind for kind in _KINDS if given.get(kind) is not None]
    if len(kinds) != 1:
        raise InvalidInput(f"a pattern needs one of: {', '.join(_KINDS)}", where=place)
    kind, text = kinds[0], str(given[kinds[0]])
    column = table.column(str(given.get("column") or ""), place).name
    if not text or (kind == "like" and not everything and not text.strip("%_ ")):
        raise InvalidInput(f"the pattern '{text}' of column {column} is met by every row", where=place)
    fold = bool(given.get("ignore_case"))
    templates = {
        "like": "{column}::text ILIKE {text}" if fold else "{column}::text LIKE {text}",
        "starts_with": "starts_with(lower({column}::text), lower({text}))"
        if fold
        else "starts_with({column}::text, {text})",
        "equals": "lower({column}::text) = lower({text})" if fold else "{column}::text = {text}",
    }
    return statement(templates[kind], column=("t", column), text=value(text))
