# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exchange two databases by their names, in one transaction: at every moment there is one, the old or the new."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from typing import Any

from ..core.deadline import Deadline
from ..core.errors import Conflict, RollbackError
from ..core.libpq import connect, reconnect, words

NAME = "dualwrite.rollback swap"
#: how often the exchange is tried when sessions that can be ended come between
ATTEMPTS = 2
_SESSIONS = """
SELECT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, '') FROM pg_stat_activity a
JOIN pg_database d ON d.oid = a.datid
WHERE d.datname = ANY(%s) AND a.pid <> pg_backend_pid()
  AND coalesce(a.backend_type, 'client backend') = 'client backend'
"""


def exchange(
    given: Mapping[str, Any], renames: list[tuple[str, str]], comments: Mapping[str, str | None], deadline: Deadline
) -> dict[str, Any]:
    """Rename databases in order, end their sessions meanwhile, and comment on the new names; all of it or nothing.

    A rename locks the database: who connects meanwhile waits, and is let in or told that the name has moved on when
    the transaction ends. If this process, or the server, dies before the commit, nothing was renamed.

    Returns ``seconds`` from the first ended session to the commit, ``sessions`` that were ended. Raises Conflict with
    the sessions that could not be ended, RollbackError in the server's words; nothing was changed then.
    """
    import psycopg2

    names = [old for old, dummy in renames]
    with contextlib.ExitStack() as undo:
        link = undo.enter_context(contextlib.closing(connect(given, deadline, name=NAME, needed_for="a restore")))
        helper = undo.enter_context(contextlib.closing(connect(given, deadline, name=NAME, needed_for="a restore")))
        helper.autocommit = True
        for attempt in range(1, ATTEMPTS + 1):
            began = time.monotonic()
            done = threading.Event()
            ended: set[int] = set()
            ender = threading.Thread(target=_end_sessions, args=(helper, names, done, ended), daemon=True)
            try:
                ender.start()
                _rename(link, renames, comments)
                return {"seconds": round(time.monotonic() - began, 3), "sessions": len(ended), "attempts": attempt}
            except psycopg2.Error as error:
                problem = error
                if _gone(link):
                    _require_renamed(given, renames, error)
                    return {"seconds": round(time.monotonic() - began, 3), "sessions": len(ended), "attempts": attempt}
            finally:
                done.set()
                ender.join(10)
            busy = problem.pgcode in ("55006", "55P03")  # in use, or a lock that was not had in time
            if not busy:
                raise RollbackError(
                    f"the databases could not be exchanged: {words(problem, given)}; nothing was changed"
                ) from problem
        left = _sessions(helper, names)
        told = ", ".join(f"{user} ({application or 'no name'}, pid {pid})" for pid, user, application in left[:5])
        raise Conflict(
            f"sessions hold the database and could not be ended: {told or 'they come and go'}; nothing was changed",
            where=names[0],
            hint="End them, or GRANT pg_signal_backend to the user that restores.",
        )


def _rename(link: Any, renames: list[tuple[str, str]], comments: Mapping[str, str | None]) -> None:
    from psycopg2 import sql

    with link.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '3s'")
        for old, new in renames:
            names = map(sql.Identifier, (old, new))
            cursor.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*names))
        for name, comment in comments.items():
            cursor.execute(sql.SQL("COMMENT ON DATABASE {} IS %s").format(sql.Identifier(name)), [comment])
    link.commit()


def _gone(link: Any) -> bool:
    """Roll back, and return whether there is no connection left to do it on."""
    import psycopg2

    try:
        link.rollback()
    except psycopg2.Error:
        return True
    return False


def _require_renamed(given: Mapping[str, Any], renames: list[tuple[str, str]], problem: Exception) -> None:
    """Find out what became of an exchange whose answer was lost; raises RollbackError unless it was committed."""
    import psycopg2

    lost = f"the connection was lost during the exchange: {words(problem, given)}"
    try:
        link = reconnect(given, name=NAME, needed_for="a restore")
        with contextlib.closing(link), link.cursor() as cursor:
            # the first is renamed to a name that nobody had
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [renames[0][1]])
            renamed = cursor.fetchone() is not None
    except (psycopg2.Error, RollbackError) as silent:
        raise RollbackError(
            f"{lost}; whether the databases were exchanged before is not known, the server can't be asked",
            where=renames[0][0],
            hint=f"If there is a database {renames[0][1]} they were, and undo_restore.yml takes it back.",
        ) from silent
    if not renamed:
        raise RollbackError(f"{lost}; nothing was changed", where=renames[0][0]) from problem


def _end_sessions(link: Any, names: list[str], done: threading.Event, ended: set[int]) -> None:
    """End the sessions of these databases as long as any comes; one that we may not end is left."""
    import psycopg2

    while True:
        with contextlib.suppress(psycopg2.Error):
            for pid, dummy, dummy in _sessions(link, names):
                with contextlib.suppress(psycopg2.Error), link.cursor() as cursor:
                    cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
                    ended.add(pid)
        if done.wait(0.02):
            return


def _sessions(link: Any, names: list[str]) -> list[tuple[int, str, str]]:
    with link.cursor() as cursor:
        cursor.execute(_SESSIONS, [names])
        return [(int(pid), str(user), str(application)) for pid, user, application in cursor.fetchall()]
