# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who the database says it is, and whether it is the one that the inventory means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import Refused, RollbackError
from .session import NOTHING, Session

#: what the inventory may say of a database, besides a sentinel's query
FACTS = ("system_identifier", "database", "server_version", "timeline", "user")


def identify(session: Session) -> dict[str, Any]:
    """Return system identifier, database, version, timeline, user, and whether the server is a standby.

    Identifier and timeline are None where the role may not ask for them.
    """
    # a server that was promoted just now still has the old timeline in its control file: its WAL tells the new one
    own = "('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int"
    timeline = f"CASE WHEN pg_is_in_recovery() THEN timeline_id ELSE {own} END"
    asked = f"system_identifier::text, {timeline} FROM pg_control_system(), pg_control_checkpoint()"
    control: tuple[Any, ...] = (None, None)
    if session.one(
        "SELECT bool_and(has_function_privilege(name || '()', 'EXECUTE'))"
        " FROM unnest(ARRAY['pg_control_system', 'pg_control_checkpoint']) AS name"
    ):
        control = session.rows(f"SELECT {asked}")[0]
    database, version, user, in_recovery = session.rows(
        "SELECT current_database(), current_setting('server_version'), current_user::text, pg_is_in_recovery()"
    )[0]
    return dict(zip((*FACTS, "in_recovery"), (control[0], database, version, control[1], user, in_recovery)))


def confirm(session: Session, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return who the database is; raises Refused when it is another one than ``wanted``.

    ``wanted`` holds facts by name, and perhaps ``sentinel``: ``query`` and the value that it ``equals``.
    """
    told = identify(session)
    for name, value in wanted.items():
        if name == "sentinel":
            continue
        if name not in told:
            raise Refused(
                f"identity knows no '{name}'", where="identity", hint=f"Known are: {', '.join(FACTS)}, sentinel."
            )
        if str(told[name]) != str(value):
            raise _stranger(session, f"its {name} is {told[name]}, not {value}")
    sentinel = wanted.get("sentinel") or {}
    if sentinel:
        try:
            answer = session.asked(str(sentinel.get("query") or ""), "identity.sentinel")
        except RollbackError as error:
            raise Refused(f"the sentinel can't be asked: {error.what}", where=session.where, hint=NOTHING) from error
        if answer is None or str(answer) != str(sentinel.get("equals")):
            raise _stranger(session, f"its sentinel says {answer}, not {sentinel.get('equals')}")
    return told


def _stranger(session: Session, said: str) -> Refused:
    return Refused(
        f"this is not the database that the inventory means: {said}",
        where=session.where,
        hint=f"{NOTHING} Correct the connection or the identity.",
    )
