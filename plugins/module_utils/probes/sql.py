# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask PostgreSQL for one value, read-only: against limits, or against what it was before."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ..core import libpq
from ..core.deadline import Deadline
from ..core.errors import RollbackError, Unreachable
from ..core.evidence import UNKNOWN
from .base import Context, Probe, Seen
from .judge import Answer, between, changed, equal, worst

_READS = ("select", "with", "values", "table", "show")
# quoted texts, quoted names, dollar quotes and comments: what may hold a semicolon that ends no statement
_QUOTED = re.compile(
    r"[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/", re.S
)


class SqlProbe(Probe):
    """One query in a READ ONLY transaction per answer; the connection is kept between answers."""

    KIND = "sql"
    OPTIONS = {
        "query": "one reading statement; the first column of its first row is the value",
        "parameters": "values for %(name)s in the query",
        "equals": "the right value",
        "min": "the lowest right value",
        "max": "the highest right value",
        "change": "none, increase, or {min, max} of the difference to the baseline",
        "baseline": "what change compares with, the value at the start of the call when not given",
    }
    REQUIRED = ("query",)

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        super().__init__(options, context)
        self.query = one_statement(str(self.options["query"]))
        if not self.query:
            raise self.bad("query must be one reading statement", hint=f"It begins with one of: {', '.join(_READS)}.")
        if not {"equals", "min", "max", "change"} & set(self.options):
            raise self.bad("nothing is expected of the value", hint="Give equals, min, max or change.")
        self.change = self._change()
        if "baseline" in self.options and self.change is None:
            raise self.bad("baseline belongs to change", hint="Give change as well.")
        self.baseline: Any = self.options.get("baseline")
        self.taken: float | None = None
        self.connection: Any = None

    @property
    def compares_with_itself(self) -> bool:
        """Return whether the value is compared with an earlier one that nobody gave."""
        return self.change is not None and "baseline" not in self.options

    @property
    def place(self) -> str:
        """Return user, host, port and database, never a password."""
        return libpq.place(self.context.postgres)

    def secrets(self) -> Sequence[str]:
        """Return the password."""
        return [str(self.context.postgres.get("login_password") or "")]

    def prepare(self, deadline: Deadline) -> None:
        """Take the value that ``change`` compares with; when it can't be had now, the first answer gives it."""
        if self.change is not None and self.baseline is None:
            try:
                rows = self._rows(deadline)
            except RollbackError:
                return
            self._take(plain(rows[0][0]) if rows else None)

    def look(self, deadline: Deadline) -> Seen:
        """Query and judge; no row and NULL are unknown."""
        rows = self._rows(deadline)
        value = plain(rows[0][0]) if rows else None
        if value is None:
            words = "the query's value is NULL" if rows else "the query finds no row"
            return Seen(Answer(UNKNOWN, words), None, self.place)
        answers = []
        if "equals" in self.options:
            answers.append(equal("the value", self.options["equals"], value))
        if "min" in self.options or "max" in self.options:
            answers.append(between("the value", value, self.options.get("min"), self.options.get("max")))
        extra: dict[str, Any] = {}
        if self.change is not None:
            answers.append(changed("the value", value, self.baseline, self.change))
            if self.baseline is None:
                self._take(value)
            extra["baseline"] = self.baseline
            if self.taken is not None:
                extra["over"] = round(time.monotonic() - self.taken, 1)
        return Seen(worst(answers), value, self.place, extra)

    def close(self) -> None:
        """Close the connection."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def _take(self, value: Any) -> None:
        """Keep the value that later ones are compared with, and when it was seen."""
        self.baseline, self.taken = value, time.monotonic()

    def _change(self) -> Any:
        given = self.options.get("change")
        if given is None or given in ("none", "increase"):
            return given
        if isinstance(given, str):
            raise self.bad(f"change has no use for '{given}'", hint="Give none, increase or a dict with min and max.")
        return self.limits("change", given)

    def _rows(self, deadline: Deadline) -> list[tuple[Any, ...]]:
        """Return at most one row; a connection that broke since the last answer is opened once more."""
        if self.connection is not None:
            try:
                return self._execute(deadline)
            except Unreachable:
                self.close()
        self.connection = self._connect(deadline)
        return self._execute(deadline)

    def _connect(self, deadline: Deadline) -> Any:
        connection = libpq.connect(
            self.context.postgres, deadline, name="dualwrite.rollback health_probe", needed_for="probes of kind sql"
        )
        connection.set_session(readonly=True)
        return connection

    def _execute(self, deadline: Deadline) -> list[tuple[Any, ...]]:
        import psycopg2

        limit = max(100, int(deadline.left() * 1000))
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config(name, %(limit)s, true) FROM unnest(%(names)s) AS name",
                    {"limit": f"{limit}ms", "names": ["statement_timeout", "lock_timeout"]},
                )
                # without parameters a % in the query (LIKE '%x%') is just a %
                cursor.execute(self.query, self.options.get("parameters") or None)
                rows = [] if cursor.description is None else list(cursor.fetchmany(1))
            self.connection.rollback()
            return rows
        except psycopg2.Error as error:
            if self.connection.closed:
                raise Unreachable(f"the connection broke: {self._words(error)}", where=self.place) from error
            self.connection.rollback()
            raise RollbackError(f"the query fails: {self._words(error)}", where=self.place) from error
        except (KeyError, TypeError, ValueError) as error:
            self.connection.rollback()
            raise RollbackError(f"the query and its parameters don't fit: {error}", where=self.place) from error

    def _words(self, error: Exception) -> str:
        return libpq.words(error, self.context.postgres)


def one_statement(query: str) -> str:
    """Return the query without its last semicolon; empty when it holds several statements or begins as no read."""
    bare = _QUOTED.sub(lambda match: (" " if match[0].startswith(("--", "/*")) else "x") * len(match[0]), query)
    end = len(bare.rstrip().rstrip("; \n\t"))
    first = bare.split(None, 1)[0].lower().lstrip("(") if bare.strip() else ""
    return query[:end].strip() if ";" not in bare[:end] and first in _READS else ""


def plain(value: Any) -> Any:
    """Return a database value as JSON can hold it: whole decimals as int, others as float, times as ISO text."""
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
