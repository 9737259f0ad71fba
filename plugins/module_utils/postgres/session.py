# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection and its transactions: limits, errors in the operator's words, and a COMMIT whose answer is read."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from ..core import libpq
from ..core.deadline import Deadline, wait_until
from ..core.errors import Conflict, DeadlinePassed, Refused, RollbackError, Unreachable, VerificationFailed
from .statements import statement

#: SQLSTATE of what may go well the next time -> what it is
TRANSIENT = {"40001": "a serialization failure", "40P01": "a deadlock", "55P03": "a lock that could not be had in time"}
#: one cleanup or undo at a time in a database; the two halves of the key of its advisory lock
ADVISORY = (0x64777262, 0x636C6E)
NOTHING = "Nothing was changed."
#: the first version with what the catalog is asked for
OLDEST = 120000
#: bytes that the server may use for one hash table or sort of a cleanup's transaction, where it is set lower
WORK_MEM = 64 * 1024 * 1024
#: a server that has gone without a word is noticed after this many seconds, also in the middle of a statement
_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
#: locks of pg_locks l that are held on tables of this database: any of the user's, or certain ones
_HELD = """
CASE WHEN %s THEN l.relation = ANY(%s::oid[]) ELSE l.relation >= 16384 END
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND l.granted AND l.mode <> 'AccessShareLock'
"""


class Transient(Conflict):
    """A lock, a deadlock or a serialization failure: the whole transaction may be tried again."""


class CommitUnknown(Unreachable):
    """The connection broke after COMMIT was sent and before its answer came."""


class Session:
    """A connection in autocommit, so that every BEGIN and COMMIT is a message of its own that we send."""

    def __init__(self, given: Mapping[str, Any], deadline: Deadline, *, name: str, application: str = "") -> None:
        self.given = given
        self.deadline = deadline
        self.connection = libpq.connect(
            given, deadline, name=application or f"dualwrite.rollback {name}", needed_for=name, more=_KEEPALIVE
        )
        self.connection.autocommit = True
        self.where = libpq.place(given)
        self._limit = 0.0

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back by the server."""
        with contextlib.suppress(Exception):
            self.connection.close()

    @property
    def version(self) -> int:
        """Return the server's version as a number, 150004 for 15.4."""
        return int(self.connection.server_version)

    def begin(self, *, lock_timeout: float = 2.0, read_only: bool = False) -> None:
        """Begin a transaction whose limits end with it: a pooler's next client finds none of them.

        Raises Refused when it is to write and the server is a standby, or counts no rows.
        """
        if self.version < OLDEST:
            raise Refused(f"the server has version {self.version // 10000}, at least 12 is needed", where=self.where)
        standby, counting, memory = self.rows(
            "SELECT pg_is_in_recovery(), current_setting('track_counts'), pg_size_bytes(current_setting('work_mem'))"
        )[0]
        if not read_only and standby:
            said = "the server is a standby and takes no writes"
            raise Refused(said, where=self.where, hint=f"{NOTHING} Connect to the primary.")
        if not read_only and counting != "on":
            said = "track_counts is off, so that what triggers and cascades touch can't be seen"
            raise Refused(said, where=self.where, hint=f"{NOTHING} Switch it on for this role or database.")
        self.run("BEGIN ISOLATION LEVEL " + ("REPEATABLE READ READ ONLY" if read_only else "READ COMMITTED READ WRITE"))
        left = max(0.1, self.deadline.left())
        limits = {
            "lock_timeout": _milliseconds(min(lock_timeout, left)),
            "idle_in_transaction_session_timeout": _milliseconds(left + 10),
            "row_security": "off",
            "datestyle": "ISO, YMD",
            "intervalstyle": "postgres",
            "timezone": "UTC",
            "extra_float_digits": "1",
        }
        if memory < WORK_MEM:
            limits["work_mem"] = f"{WORK_MEM // 1024}kB"
        if self.version >= 140000:
            limits["client_connection_check_interval"] = "1s"
        self._limit = 0.0
        self._bound()
        self._execute(
            "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS given(name, value)",
            (list(limits), list(limits.values())),
        )

    def rows(self, query: Any, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        with self._execute(query, values) as cursor:
            return list(cursor.fetchall())

    def one(self, query: Any, values: Sequence[Any] | None = None) -> Any:
        """Run a statement and return the first column of its first row, None without one."""
        found = self.rows(query, values)
        return found[0][0] if found else None

    def run(self, query: Any, values: Sequence[Any] | None = None) -> int:
        """Run a statement and return how many rows it touched."""
        with self._execute(query, values) as cursor:
            return int(cursor.rowcount)

    def asked(self, query: str, where: str) -> Any:
        """Return the value of a query that the inventory gives: one reading statement, in a subquery of ours."""
        text = query.strip().rstrip(";")
        try:
            # a % of the query is just a %, since no parameters are given
            return self.one("SELECT * FROM (\n" + text + "\n) AS asked")
        except (Transient, DeadlinePassed, Unreachable):
            raise
        except RollbackError as error:
            raise RollbackError(f"the query fails: {error.what}", where=where, hint=NOTHING) from error

    def copy_out(self, query: Any, stream: Any) -> None:
        """Write what a COPY … TO STDOUT sends to a stream."""
        self._guarded(lambda cursor: cursor.copy_expert(query, stream, 1 << 16))

    def copy_in(self, query: Any, stream: Any) -> None:
        """Send a stream as a COPY … FROM STDIN wants it."""
        self._guarded(lambda cursor: cursor.copy_expert(query, stream, 1 << 16))

    def take_turn(self) -> None:
        """Take the advisory lock for this transaction; raises Refused, naming the session that has it."""
        if self._has_turn():
            return
        holder = self.rows(
            "SELECT a.pid, a.usename, a.application_name, a.xact_start"
            " FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %s AND l.objid = %s"
            " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            ADVISORY,
        )
        said = "; ".join(f"pid {pid} ({user}, {name}) since {start}" for pid, user, name, start in holder)
        raise Refused(
            f"another cleanup or undo is at work in this database: {said or 'it ends just now'}",
            where=self.where,
            hint=f"{NOTHING} Wait for its end and run the same command again.",
        )

    def wait_for_turn(self) -> None:
        """Take the advisory lock for this transaction once whoever has it is done; raises DeadlinePassed."""
        wait_until(self._has_turn, self.deadline, what="the end of the transaction")

    def holders(self, tables: Sequence[int]) -> str:
        """Return who else has locks on these tables (on any when none is given) now.

        Prepared transactions come first, since no wait ends them, then sessions; of each the oldest first.
        """
        given = (bool(tables), list(tables))
        prepared = self.rows(
            # no session holds these locks; a transaction is known by the lock that it holds on its own number
            "SELECT DISTINCT p.prepared, p.gid, p.owner FROM pg_locks l JOIN pg_locks x USING (virtualtransaction)"
            f" JOIN pg_prepared_xacts p ON p.transaction = x.transactionid WHERE {_HELD}"
            " AND l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid' AND x.granted"
            " ORDER BY p.prepared LIMIT 3",
            given,
        )
        found = self.rows(
            "SELECT DISTINCT a.xact_start, a.pid, a.usename, a.application_name, a.state, left(a.query, 80)"
            f" FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE {_HELD}"
            " AND a.pid <> pg_backend_pid() ORDER BY a.xact_start LIMIT 3",
            given,
        )
        told = [
            f"the prepared transaction '{gid}' ({owner}, prepared {since}),"
            " which only COMMIT PREPARED or ROLLBACK PREPARED ends"
            for since, gid, owner in prepared
        ]
        told += [
            f"pid {pid} ({user}, {name or 'no name'}, {state}, transaction since {start}): {' '.join(query.split())}"
            for start, pid, user, name, state, query in found
        ]
        return "; ".join(told)

    def commit(self) -> None:
        """Send COMMIT alone and read its answer.

        Raises VerificationFailed when the server answers ROLLBACK, which it says of a failed transaction without any
        error, and CommitUnknown when the connection breaks before the answer.
        """
        try:
            with self._execute("COMMIT") as cursor:
                tag = cursor.statusmessage
        except Unreachable as error:
            raise CommitUnknown(error.what, where=error.where) from error
        if tag != "COMMIT":
            raise VerificationFailed(f"the server answered {tag} to COMMIT", where=self.where, hint=NOTHING)

    def rollback(self) -> None:
        """Roll back what is open; a connection that is gone has done so itself."""
        with contextlib.suppress(Exception), self.connection.cursor() as cursor:
            cursor.execute("ROLLBACK")

    # -- inside

    def _has_turn(self) -> bool:
        return bool(self.one("SELECT pg_try_advisory_xact_lock(%s, %s)", ADVISORY))

    def _bound(self) -> None:
        """Let no statement run far beyond the deadline, without a message of its own before each."""
        left = self.deadline.left()
        if left <= 0.0:
            raise DeadlinePassed(
                f"the {self.deadline.seconds:.0f} s of timeout are over", where=self.where, hint=NOTHING
            )
        if not self._limit or left < self._limit / 2:
            self._limit = left
            with self.connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", (_milliseconds(left),))

    def _execute(self, query: Any, values: Sequence[Any] | None = None) -> Any:
        return self._guarded(lambda cursor: cursor.execute(query, values), keep=True)

    def _guarded(self, act: Any, keep: bool = False) -> Any:
        import psycopg2

        try:
            if self._limit:
                self._bound()
            cursor = self.connection.cursor()
            act(cursor)
            if keep:
                return cursor
            cursor.close()
        except psycopg2.Error as error:
            raise self._translated(error) from error
        return None

    def _translated(self, error: Exception) -> RollbackError:
        said = libpq.words(error, self.given)
        code = getattr(error, "pgcode", None) or ""
        if code in TRANSIENT:
            return Transient(f"{TRANSIENT[code]}: {said}", where=self.where, hint=NOTHING)
        if self.connection.closed or code.startswith(("57P", "08")) or code in ("25P03",):
            return Unreachable(
                f"the connection broke: {said}",
                where=self.where,
                hint="The server rolls back what was not committed. Run the same command again.",
            )
        if code == "57014":
            return DeadlinePassed(
                f"the server ended the statement: {said}", where=self.where, hint=f"{NOTHING} Give a longer timeout."
            )
        if code == "42501":
            return Refused(
                said,
                where=self.where,
                hint=f"{NOTHING} Grant the role what docs/sql_grants.md lists, or use another role.",
            )
        if code == "25006":
            return Refused(
                f"the database takes no writes: {said}", where=self.where, hint=f"{NOTHING} Connect to the primary."
            )
        detail = getattr(getattr(error, "diag", None), "message_detail", None)
        return RollbackError(
            said + (f" ({' '.join(detail.split())})" if detail else ""), where=self.where, hint=NOTHING
        )


def set_constraints(session: Session, mode: str) -> None:
    """Have the server look at deferred constraints now (IMMEDIATE) or at the end (DEFERRED)."""
    session.run(statement("SET CONSTRAINTS ALL IMMEDIATE" if mode == "immediate" else "SET CONSTRAINTS ALL DEFERRED"))


def _milliseconds(seconds: float) -> str:
    return f"{max(1, int(seconds * 1000))}ms"
