# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a transaction whose COMMIT nobody heard the answer to: asked of the server, else seen in the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.deadline import Deadline, wait_until
from ..core.errors import DeadlinePassed, RollbackError
from ..stores.base import Store
from . import archive, staging
from .archive import COMMITTED, ROLLED_BACK, UNKNOWN, Manifest
from .identity import identify
from .session import Session

_ANSWERS = {"committed": COMMITTED, "aborted": ROLLED_BACK}
_IN_PROGRESS = "in progress"


def resolve(session: Session, store: Store, manifest: Manifest, deadline: Deadline) -> tuple[str, str]:
    """Return what became of the transaction, and how that is known.

    The server remembers a transaction for as long as its age allows, and a server that was promoted since may have
    given the number to another one: then the rows themselves tell.
    """
    told = identify(session)
    if told["system_identifier"] != manifest.server.get("system_identifier"):
        return UNKNOWN, "it is the archive of another server"
    if told["database"] != manifest.server.get("database"):
        return UNKNOWN, "it is the archive of another database"
    known, how = by_number(session, manifest, deadline)
    return (known, how) if known != UNKNOWN or _IN_PROGRESS in how else _by_rows(session, store, manifest)


def by_number(session: Session, manifest: Manifest, deadline: Deadline) -> tuple[str, str]:
    """Return what the server remembers of a transaction that has no archive."""
    timeline = identify(session)["timeline"]
    if timeline is None or timeline != manifest.server.get("timeline"):
        return UNKNOWN, "the server may have been promoted since"
    try:
        status = wait_until(
            lambda: _ended(_status(session, manifest.transaction)), deadline, what="the end of the transaction"
        )
    except DeadlinePassed:
        return UNKNOWN, f"transaction {manifest.transaction} is still {_IN_PROGRESS}"
    return _ANSWERS.get(status, UNKNOWN), f"the server says {status} of transaction {manifest.transaction}"


def earlier(session: Session, store: Store, deadline: Deadline, note: bool) -> list[dict[str, Any]]:
    """Find out what became of every archive whose end nobody has written down; with ``note`` write it down."""
    told = []
    for name in archive.unresolved(store):
        try:
            manifest = archive.read(store, name)
            outcome, how = resolve(session, store, manifest, deadline)
            if note and outcome != UNKNOWN:
                archive.tell_outcome(store, name, outcome, how)
        except RollbackError as error:
            outcome, how = UNKNOWN, str(error)
        told.append({"archive": name, "outcome": outcome, "how": how})
    return told


def said(one: Mapping[str, Any]) -> str:
    """Return one earlier outcome as a sentence."""
    return f"An earlier cleanup ended without saying how, archive {one['archive']}: {one['outcome']} ({one['how']})."


def _ended(status: str) -> str:
    return "" if status == _IN_PROGRESS else status


def _status(session: Session, transaction: str) -> str:
    query = "SELECT pg_xact_status(%s::xid8)" if session.version >= 130000 else "SELECT txid_status(%s::bigint)"
    try:
        return str(session.one(query, (transaction,)) or "forgotten")
    except RollbackError:
        # a number that this server has not given out yet
        return "forgotten"


def _by_rows(session: Session, store: Store, manifest: Manifest) -> tuple[str, str]:
    removed = [one for one in manifest.parts if one.kind == archive.REMOVED and one.rows]
    if not removed:
        return UNKNOWN, "the archive holds no rows"
    archive.verify(store, manifest)
    session.begin()
    try:
        states = {staging.state_of(session, one) for one in staging.load(session, store, manifest)
                  if one.part.kind == archive.REMOVED and one.part.rows}  # fmt: skip
    finally:
        session.rollback()
    if states == {staging.MISSING}:
        return COMMITTED, "none of its rows is in the database"
    if states == {staging.PRESENT}:
        return ROLLED_BACK, "all of its rows are in the database"
    return UNKNOWN, "some of its rows are in the database and some are not"
