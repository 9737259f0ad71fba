# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases as things: what they are set to, made anew alike, named, marked and dropped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from ..core.errors import Conflict, InvalidInput, NotFound, RollbackError
from ..core.evidence import format_time
from ..core.libpq import words

#: key of the mark that we leave in the comment of a database of ours
MARK = "dualwrite"
LIMIT = 63
#: what a connection that reads a backup is called, before the bytes; and the seconds between two changes of that
_READING, _OFTEN = "dualwrite.rollback reads", 0.5
_FACTS = """
SELECT d.oid, pg_get_userbyid(d.datdba) AS owner, pg_encoding_to_char(d.encoding) AS encoding,
  d.datcollate AS lc_collate, d.datctype AS lc_ctype, to_jsonb(d) ->> 'datlocprovider' AS locale_source,
  coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS icu_locale,
  d.datconnlimit AS connection_limit, d.datallowconn AS allows_connections, t.spcname AS tablespace,
  shobj_description(d.oid, 'pg_database') AS comment
FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = %s
"""
_GRANTS = """
SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable
FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a WHERE d.datname = %s ORDER BY 1, 2
"""
_SETTINGS = """
SELECT coalesce(r.rolname, ''), unnest(s.setconfig) FROM pg_db_role_setting s
LEFT JOIN pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = %s ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Database:
    """What a database is set to, apart from what is in it; grants and settings as sorted tuples."""

    owner: str
    encoding: str
    lc_collate: str
    lc_ctype: str
    locale_source: str | None
    icu_locale: str | None
    connection_limit: int
    tablespace: str
    grants: tuple[tuple[str, str, bool], ...]
    settings: tuple[tuple[str, str], ...]

    def differences(self, other: Database) -> list[str]:
        """Return the names of what is not the same in both."""
        mine, theirs = asdict(self), asdict(other)
        return [name for name, value in mine.items() if value != theirs[name]]


class Databases:
    """The databases of one server, seen and changed over an autocommit connection to another one of it."""

    def __init__(self, link: Any, given: Mapping[str, Any]) -> None:
        self.link = link
        self._given = given

    def ask(self, query: Any, values: Any = None) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows; raises RollbackError in the server's words."""
        import psycopg2

        try:
            with self.link.cursor() as cursor:
                cursor.execute(query, values)
                return list(cursor.fetchall()) if cursor.description else []
        except psycopg2.Error as error:
            raise RollbackError(f"PostgreSQL says: {words(error, self._given)}") from error

    def run(self, statement: str, *names: str, values: Any = None) -> None:
        """Run one statement; each ``{}`` in it becomes one of the ``names``, quoted."""
        from psycopg2 import sql

        self.ask(sql.SQL(statement).format(*map(sql.Identifier, names)), values)

    def claim(self, name: str) -> bool:
        """Return whether this connection alone may restore the database of this name, until it is closed."""
        return bool(self.ask("SELECT pg_try_advisory_lock(%s)", [_key(name)])[0][0])

    def restoring(self, name: str) -> bool:
        """Return whether another connection restores the database of this name."""
        high, low = divmod(_key(name) % 2**64, 2**32)
        rows = self.ask(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
            "AND classid::bigint = %s AND objid::bigint = %s",
            [high, low],
        )
        return bool(rows)

    def reading(self, size: int) -> Callable[[int], None]:
        """Return what counts the bytes of a backup of ``size`` as they are read, for whoever asks ``has_read``.

        They stand in the name of this connection's application: no table and no file is needed.
        """
        done, told = 0, 0.0

        def count(number: int) -> None:
            nonlocal done, told
            done += number
            if time.monotonic() - told > _OFTEN:
                told = time.monotonic()
                self.ask("SELECT set_config('application_name', %s, false)", [f"{_READING} {done} {max(size, done)}"])

        return count

    def has_read(self, name: str) -> tuple[int, int, float] | None:
        """Return bytes read, the backup's size and the seconds since a restore of this database began.

        None while no restore reads, or this user may not see what other sessions are.
        """
        rows = self.ask(
            "SELECT a.application_name, extract(epoch FROM clock_timestamp() - a.backend_start) FROM pg_locks l "
            "JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
            "AND l.classid::bigint = %s AND l.objid::bigint = %s",
            list(divmod(_key(name) % 2**64, 2**32)),
        )
        said, seconds = rows[0] if rows else ("", 0)
        if not str(said).startswith(_READING):
            return None
        done, size = str(said).split()[-2:]
        return int(done), int(size), float(seconds)

    def exists(self, name: str) -> bool:
        """Return whether there is a database of this name."""
        return bool(self.ask("SELECT 1 FROM pg_database WHERE datname = %s", [name]))

    def look(self, name: str) -> Database:
        """Return what a database is set to; raises NotFound."""
        rows = self.ask(_FACTS, [name])
        if not rows:
            raise NotFound(f"there is no database '{name}'", hint="Correct login_db.")
        (oid, owner, encoding, collate, ctype, source, icu, limit, dummy, tablespace, dummy) = rows[0]
        grants = tuple((str(who), str(what), bool(more)) for who, what, more in self.ask(_GRANTS, [name]))
        settings = tuple((str(role), str(text)) for role, text in self.ask(_SETTINGS, [oid]))
        return Database(owner, encoding, collate, ctype, source, icu, limit, tablespace, grants, settings)

    def size(self, name: str) -> int:
        """Return the bytes of a database."""
        return int(self.ask("SELECT pg_database_size(%s)", [name])[0][0])

    def comment(self, name: str) -> str:
        """Return the comment of a database, empty without one."""
        rows = self.ask(_FACTS, [name])
        return str(rows[0][-1] or "") if rows else ""

    def mark(self, name: str) -> dict[str, Any]:
        """Return what we have written down about a database of ours, empty for any other."""
        try:
            found = json.loads(self.comment(name) or "null")
        except ValueError:
            return {}
        return dict(found[MARK]) if isinstance(found, dict) and isinstance(found.get(MARK), dict) else {}

    def write_mark(self, name: str, mark: Mapping[str, Any]) -> None:
        """Write down about a database what another run has to know."""
        self.run("COMMENT ON DATABASE {} IS %s", name, values=[as_comment(mark)])

    def marked(self) -> dict[str, dict[str, Any]]:
        """Return the databases of ours with their marks."""
        like = f'{{"{MARK}":%'
        rows = self.ask(
            "SELECT datname FROM pg_database WHERE shobj_description(oid, 'pg_database') LIKE %s ORDER BY 1", [like]
        )
        return {str(name): self.mark(str(name)) for (name,) in rows}

    def make_like(self, name: str, model: Database) -> None:
        """Make an empty database that is owned, encoded, sorted and stored as ``model``.

        The owner is its own from the beginning: from PostgreSQL 15 on nobody else may own a table in schema public.
        """
        from psycopg2 import sql

        version = int(self.link.server_version) // 10000
        options = {"ENCODING": model.encoding, "LC_COLLATE": model.lc_collate, "LC_CTYPE": model.lc_ctype}
        source = {"i": "icu", "c": "libc", "b": "builtin"}.get(model.locale_source or "c", "libc")
        if version >= 15:
            options["LOCALE_PROVIDER"] = source
            if source == "icu" and model.icu_locale:
                options["ICU_LOCALE"] = model.icu_locale
            if source == "builtin" and model.icu_locale:
                options["BUILTIN_LOCALE"] = model.icu_locale
        said = sql.SQL(" ").join(
            sql.SQL("{} {}").format(sql.SQL(option), sql.Literal(value)) for option, value in options.items()
        )
        statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 {}").format(
            *map(sql.Identifier, (name, model.owner)), said
        )
        if self.look("template0").tablespace != model.tablespace:  # who names the default one needs a right to it
            statement += sql.SQL(" TABLESPACE {}").format(sql.Identifier(model.tablespace))
        self.ask(statement)

    def set_like(self, name: str, model: Database) -> list[str]:
        """Give a database the owner, settings, grants and connection limit of ``model``; return what still differs."""
        from psycopg2 import sql

        if self.look(name).owner != model.owner:
            self.run("ALTER DATABASE {} OWNER TO {}", name, model.owner)
        self._settings(name, model, keep=True)
        for privilege in ("CONNECT", "TEMPORARY", "CREATE"):
            self.run(f"REVOKE {privilege} ON DATABASE {{}} FROM PUBLIC", name)
        for who, privilege, grantable in model.grants:
            more = sql.SQL(" WITH GRANT OPTION" if grantable and who != model.owner else "")
            whom = sql.SQL("PUBLIC") if who == "PUBLIC" else sql.Identifier(who)
            self.ask(
                sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(sql.SQL(privilege), sql.Identifier(name), whom, more)
            )
        self.run(f"ALTER DATABASE {{}} CONNECTION LIMIT {int(model.connection_limit)}", name)
        return self.look(name).differences(model)

    def try_settings(self, name: str, model: Database) -> None:
        """Give a database each setting of ``model`` and take it away again.

        Raises RollbackError in the server's words for one that this user may not give.
        """
        self._settings(name, model, keep=False)

    def _settings(self, name: str, model: Database, *, keep: bool) -> None:
        from psycopg2 import sql

        for role, text in model.settings:
            setting, dummy, value = text.partition("=")
            head = sql.SQL("ALTER ROLE {} IN DATABASE {}" if role else "ALTER DATABASE {}").format(
                *map(sql.Identifier, [role, name] if role else [name])
            )
            named = sql.SQL(".").join(map(sql.Identifier, setting.split(".")))
            # FROM CURRENT takes lists (search_path) as lists; local to the transaction, so that ours is not changed
            statement = sql.SQL("BEGIN; SELECT set_config({}, {}, true); {} SET {} FROM CURRENT")
            try:
                self.ask(statement.format(sql.Literal(setting), sql.Literal(value), head, named))
            except RollbackError:
                self.ask("ROLLBACK")
                raise
            self.ask("COMMIT" if keep else "ROLLBACK")

    def drop(self, name: str) -> None:
        """Drop a database, its sessions ended; only one of ours."""
        if not self.mark(name):
            raise Conflict(f"the database '{name}' was not made by a restore", hint="It is left alone.")
        version = int(self.link.server_version) // 10000
        if version >= 13:
            self.run("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        else:
            self.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            self.run("DROP DATABASE IF EXISTS {}", name)


def as_comment(mark: Mapping[str, Any]) -> str:
    """Return a mark as the comment that bears it."""
    return json.dumps({MARK: dict(mark)}, separators=(",", ":"), sort_keys=True)


def side_name(database: str) -> str:
    """Return the name of the database into which a restore loads."""
    return _named(database, "_restoring")


def replaced_name(database: str, moment: datetime) -> str:
    """Return the dated name of the database that a swap puts aside."""
    stamp = moment.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%S%f")
    return _named(database, f"_replaced_{stamp[:-3]}Z")


def expiry(moment: datetime, days: int) -> str:
    """Return when a replaced database may go, as ISO 8601 in UTC."""
    return format_time(moment + timedelta(days=days))


def valid_name(name: str) -> str:
    """Return a database's name; raises InvalidInput for one that PostgreSQL would cut or can't hold."""
    if not name or len(name.encode()) > LIMIT or "\0" in name:
        raise InvalidInput(f"{name!r} is no name of a database", where="login_db")
    return name


def _key(database: str) -> int:
    digest = hashlib.sha256(f"dualwrite.rollback {database}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _named(database: str, ending: str) -> str:
    if len((database + ending).encode()) <= LIMIT:
        return database + ending
    # cut where PostgreSQL would, but never to the name of another database
    digest = "_" + hashlib.sha256(database.encode()).hexdigest()[:8]
    kept = database.encode()[: LIMIT - len(digest) - len(ending)].decode("utf-8", "ignore")
    return kept + digest + ending
