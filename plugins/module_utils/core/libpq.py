# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One way to PostgreSQL for all who need it: the options of community.postgresql, and the server's words as errors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .deadline import Deadline, wait_until
from .errors import Unreachable
from .redact import redact_text
from .translate import require

#: seconds within which a server has to tell what became of a commit whose answer was lost
PATIENCE = 30
#: option of community.postgresql -> keyword of libpq
KEYWORDS = {
    "login_host": "host",
    "login_port": "port",
    "login_user": "user",
    "login_password": "password",
    "login_db": "dbname",
    "ssl_mode": "sslmode",
    "ca_cert": "sslrootcert",
    "service": "service",
    "passfile": "passfile",
}


def keywords(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return libpq's keywords for the options that are given; what is not given stays libpq's own default."""
    found = {key: given[option] for option, key in KEYWORDS.items() if given.get(option)}
    if given.get("login_unix_socket"):
        found["host"] = given["login_unix_socket"]
    return found


def place(given: Mapping[str, Any]) -> str:
    """Return user, host, port and database for a person to read, never a password."""
    if given.get("service"):
        return f"PostgreSQL service {given['service']}"
    host = given.get("login_unix_socket") or given.get("login_host") or "local socket"
    user = f"{given['login_user']}@" if given.get("login_user") else ""
    port = f":{given['login_port']}" if given.get("login_port") else ""
    database = f"/{given['login_db']}" if given.get("login_db") else ""
    return f"PostgreSQL {user}{host}{port}{database}"


def connect(
    given: Mapping[str, Any],
    deadline: Deadline,
    *,
    name: str,
    needed_for: str,
    more: Mapping[str, Any] | None = None,
) -> Any:
    """Open a connection that shows itself to the server as ``name`` and return it.

    ``given`` are the options of the fragment ``postgres``, ``more`` further keywords of libpq. Raises RollbackError
    when psycopg2 is not installed, and Unreachable in the server's words when no connection can be had before the
    deadline.
    """
    require("psycopg2", "psycopg2-binary", needed_for=needed_for)
    import psycopg2

    try:
        limits: dict[str, Any] = {"application_name": name, "connect_timeout": max(2, int(deadline.left()))}
        return psycopg2.connect(**limits, **(more or {}), **keywords(given))
    except psycopg2.Error as error:
        raise Unreachable(f"no connection: {words(error, given)}", where=place(given)) from error


def reconnect(given: Mapping[str, Any], *, name: str, needed_for: str) -> Any:
    """Open a connection to ask what became of a commit whose answer was lost.

    A server that recovers lets nobody in for a while, so that it is tried for ``PATIENCE`` seconds. Raises
    DeadlinePassed behind that.
    """

    def again() -> Any:
        try:
            return connect(given, Deadline(5), name=name, needed_for=needed_for)
        except Unreachable:
            return None

    return wait_until(again, Deadline(PATIENCE), what="a server that answers again", where=place(given))


#: keyword of libpq -> environment variable of its programs
VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "service": "PGSERVICE",
    "passfile": "PGPASSFILE",
}


def environment(given: Mapping[str, Any], *, name: str) -> dict[str, str]:
    """Return the environment with which psql, pg_dump and pg_restore go the same way; no argument holds a secret.

    ``LC_ALL`` is C, so that what the programs say can be read.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_", "LANG"))}
    found = {VARIABLES[key]: str(value) for key, value in keywords(given).items()}
    # where one is not given, the variables of the host that libpq reads count for its programs as well
    own = {key: value for key, value in os.environ.items() if key in VARIABLES.values() and key not in found}
    return {**kept, **own, **found, "PGAPPNAME": name, "PGCONNECT_TIMEOUT": "10", "LC_ALL": "C"}


def words(error: Exception, given: Mapping[str, Any]) -> str:
    """Return the server's own words on one line, without the context lines and without the password."""
    diagnosed = getattr(getattr(error, "diag", None), "message_primary", None)
    text = str(diagnosed or str(error).strip().partition("\n")[0] or type(error).__name__)
    for level in ("FATAL:", "ERROR:"):
        text = text.rpartition(level)[2]
    return redact_text(" ".join(text.split()), [str(given.get("login_password") or "")])
