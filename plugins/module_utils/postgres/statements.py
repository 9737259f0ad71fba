# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statements put together from quoted names and quoted values, both by psycopg2."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..core.errors import InvalidInput

_NAME = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^".\s][^".]*))\s*')


def statement(template: str, **parts: Any) -> Any:
    """Return a statement for psycopg2: ``{name}`` stands for an identifier, a dotted one or a list of them.

    A text becomes a quoted identifier, a tuple a dotted one, a list identifiers or pieces with commas between them;
    what ``statement`` has returned is put in as it is.
    """
    from psycopg2 import sql

    return sql.SQL(template).format(**{name: _piece(part) for name, part in parts.items()})


def value(given: Any) -> Any:
    """Return a value as psycopg2 quotes it, so that a statement needs no parameters and a % in a name is just a %."""
    from psycopg2 import sql

    return sql.Literal(given)


def joined(pieces: Sequence[Any], between: str) -> Any:
    """Return pieces of statements with ``between`` between them; an empty piece is the word true."""
    from psycopg2 import sql

    return sql.SQL(between).join(pieces) if pieces else sql.SQL("true")


def keyword(text: str) -> Any:
    """Return a word of ours (a type as the catalog writes it, a number of ours) that is put in unquoted."""
    from psycopg2 import sql

    return sql.SQL(text)


def at_once(statements: Sequence[Any]) -> Any:
    """Return statements that change rows as one: the server looks at foreign keys when all of it is done."""
    named = [statement("{name} AS ({part})", name=f"part_{n}", part=part) for n, part in enumerate(statements[:-1])]
    return statement("WITH {named} {last}", named=named, last=statements[-1]) if named else statements[-1]


def equal(one: str, its: Sequence[str], other: str, others: Sequence[str]) -> Any:
    """Return that the columns of one alias equal those of another, pairwise."""
    pairs = [statement("{a} = {b}", a=(one, a), b=(other, b)) for a, b in zip(its, others)]
    return joined(pairs, " AND ")


def table_name(text: str, where: str) -> tuple[str, str]:
    """Return schema (empty when not given) and name of a table as the inventory writes it: ``public."Odd Name"``.

    Names are taken as they stand in the catalog, no letter is folded. Raises InvalidInput for anything else.
    """
    parts, position = [], 0
    while True:
        found = _NAME.match(text, position)
        if found is None:
            raise InvalidInput(f"'{text}' is no name of a table", where=where, hint="Write it as schema.table.")
        parts.append(found[1].replace('""', '"') if found[1] else found[2].rstrip())
        position = found.end()
        if position == len(text) and len(parts) <= 2:
            return ("", parts[0]) if len(parts) == 1 else (parts[0], parts[1])
        if text[position : position + 1] != "." or len(parts) == 2:
            raise InvalidInput(f"'{text}' is no name of a table", where=where, hint="Write it as schema.table.")
        position += 1


def _piece(part: Any) -> Any:
    from psycopg2 import sql

    if isinstance(part, str):
        return sql.Identifier(part)
    if isinstance(part, tuple):
        return sql.Identifier(*part)
    if isinstance(part, list):
        return sql.SQL(", ").join([_piece(one) for one in part])
    return part
