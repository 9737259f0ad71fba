# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a server will take a restore, asked before anything is changed: rights, versions, extensions, space."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

from ..core.errors import Refused
from .databases import Database, Databases

#: whether text of one encoding can be had in another one; SQL_ASCII takes and gives bytes as they are
_TURNED = """
SELECT 'SQL_ASCII' IN (%(of)s, %(into)s) OR pg_char_to_encoding(%(of)s) = pg_char_to_encoding(%(into)s) OR EXISTS (
  SELECT FROM pg_conversion WHERE condefault AND conforencoding = pg_char_to_encoding(%(of)s)
  AND contoencoding = pg_char_to_encoding(%(into)s))
"""
_ME = """
SELECT r.rolsuper, r.rolsuper OR r.rolcreatedb, current_user, pg_is_in_recovery() FROM pg_roles r
WHERE r.rolname = current_user
"""
#: bytes that a database takes for each byte of a compressed backup, and of one that is not
GROWTH = {True: 8.0, False: 1.5}


def require_rights(databases: Databases, name: str, live: Database, *, side: bool) -> None:
    """Raise Refused when this user can't restore the database here: a standby, no CREATEDB, not the owner's."""
    superuser, creates, me, standby = databases.ask(_ME)[0]
    if standby:
        raise Refused(
            "the server is a standby that can only be read", where=name, hint="Give login_host of the primary."
        )
    if side and not creates:
        raise Refused(
            f"the role '{me}' may not create databases",
            where=name,
            hint="GRANT it once as an administrator (ALTER ROLE ... CREATEDB), or use mode in_place.",
        )
    if not superuser and not databases.ask("SELECT pg_has_role(%s, 'MEMBER')", [live.owner])[0][0]:
        raise Refused(
            f"the database belongs to '{live.owner}', of which '{me}' is no member",
            where=name,
            hint="Restore as its owner.",
        )


def require_movable(databases: Databases, name: str) -> None:
    """Raise Refused when something holds the database by its identity.

    That are prepared transactions, slots of logical replication and subscriptions, whose workers can't be ended either.
    """
    prepared = databases.ask("SELECT gid FROM pg_prepared_xacts WHERE database = %s", [name])
    if prepared:
        raise Refused(
            f"{len(prepared)} prepared transactions are open, for instance '{prepared[0][0]}'",
            where=name,
            hint="Commit them or roll them back first.",
        )
    slots = databases.ask("SELECT slot_name FROM pg_replication_slots WHERE database = %s", [name])
    if slots:
        raise Refused(
            f"logical replication reads it by the slot '{slots[0][0]}', which would stay with the old data",
            where=name,
            hint="Drop the slot and make it again after the restore.",
        )
    subscribed = databases.ask(
        "SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = %s", [name]
    )
    if subscribed:
        raise Refused(
            f"it receives the subscription '{subscribed[0][0]}', which would stay with the old data",
            where=name,
            hint="Drop the subscription and make it again after the restore.",
        )


def require_loadable(
    databases: Databases,
    where: str,
    *,
    server: str,
    extensions: Collection[str],
    owners: Collection[str],
    settings: Collection[str],
    encoding: str,
    into: str,
) -> None:
    """Raise Refused when the backup asks for what this server lacks; the arguments are what the backup holds.

    ``into`` is the encoding of the database. Its collation needs no look: both databases are made alike.
    """
    mine = int(databases.link.server_version) // 10000
    theirs = int(server.partition(".")[0]) if server[:1].isdigit() else 0
    if theirs > mine:
        raise Refused(
            f"the backup is of PostgreSQL {server}, this server is {mine}",
            where=where,
            hint="Restore it into a server of that version or a later one.",
        )
    if encoding and not databases.ask(_TURNED, {"of": encoding, "into": into})[0][0]:
        raise Refused(
            f"the backup is written in {encoding}, which the server can't turn into the {into} of the database",
            where=where,
            hint="Make the backup with pg_dump --encoding, or restore it into a database of its encoding.",
        )
    there = dict(
        databases.ask(
            "SELECT name, bool_or(coalesce(NOT superuser OR (to_jsonb(v) ->> 'trusted')::bool, true)) "
            "FROM pg_available_extension_versions v WHERE name = ANY(%s) GROUP BY 1",
            [list(extensions)],
        )
    )
    missing = sorted(set(extensions) - set(there))
    if missing:
        raise Refused(
            f"the server lacks the extension '{missing[0]}' of the backup",
            where=where,
            hint="Install it on the server.",
        )
    superuser = databases.ask(_ME)[0][0]
    untrusted = sorted(name for name, allowed in there.items() if not allowed and not superuser)
    if untrusted:
        raise Refused(
            f"only a superuser may create the extension '{untrusted[0]}' of the backup",
            where=where,
            hint="Restore as a superuser, or create the extension in template1 ... of a trusted version.",
        )
    members = dict(
        databases.ask(
            "SELECT rolname, pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = ANY(%s)", [list(owners)]
        )
    )
    for owner in sorted(owners):
        if owner not in members:
            raise Refused(
                f"the backup's objects belong to the role '{owner}', which the server does not have",
                where=where,
                hint=f'Create it first: CREATE ROLE "{owner}".',
            )
        if not members[owner]:
            raise Refused(
                f"the backup's objects belong to the role '{owner}', of which this user is no member",
                where=where,
                hint=f'GRANT "{owner}" to the user that restores.',
            )
    known = {name for (name,) in databases.ask("SELECT name FROM pg_settings WHERE name = ANY(%s)", [list(settings)])}
    strange = sorted(set(settings) - known)
    if strange:
        raise Refused(
            f"the backup sets '{strange[0]}', which this server does not know: a newer pg_dump made it",
            where=where,
            hint="Restore it into a server of that version or a later one.",
        )


def space(databases: Databases, name: str, live: Database, size: int, *, compressed: bool) -> dict[str, Any]:
    """Return the bytes that a second database will need and those that are free, None where this host can't see it.

    Needed is what the live one takes or what the backup is likely to grow to, whichever is more.
    """
    needed = max(databases.size(name), int(size * GROWTH[compressed]))
    folder = _folder(databases, live.tablespace)
    free = None
    if folder and os.path.isdir(folder):
        seen = os.statvfs(folder)
        free = seen.f_bavail * seen.f_frsize
    return {"needed": needed, "free": free, "folder": folder}


def require_space(found: dict[str, Any], where: str) -> None:
    """Raise Refused when it is known that the space does not do."""
    if found["free"] is not None and found["free"] < found["needed"]:
        raise Refused(
            f"a second database needs about {found['needed'] / 1e6:.0f} MB, {found['free'] / 1e6:.0f} MB are free in "
            f"{found['folder']}",
            where=where,
            hint="Free the disk of the server, or set check_space to false when you know that it does.",
        )


def _folder(databases: Databases, tablespace: str) -> str:
    """Return where the server keeps a tablespace when it runs on this host and tells us, else empty."""
    host = str(databases.link.get_dsn_parameters().get("host") or "")
    if host and not host.startswith("/") and host not in ("localhost", "127.0.0.1", "::1"):
        return ""
    place = databases.ask("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = %s", [tablespace])[0][
        0
    ]
    if place:
        return str(place)
    rows = databases.ask("SELECT setting FROM pg_settings WHERE name = 'data_directory'")
    return str(rows[0][0]) if rows else ""
