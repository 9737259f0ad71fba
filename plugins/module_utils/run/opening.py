# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""May this run start, where is its record kept, and which runs before it died without an end?"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import Refused, RollbackError
from ..stores.local import LocalStore
from .controller import is_gone
from .history import records
from .outcome import NO_ANSWER, UNREACHABLE
from .record import RECORD, Entry, Record

PRIVATE = "~/.local/state/dualwrite/reports"


def guard(params: Mapping[str, Any]) -> None:
    """Raise Refused with the exact words to add when a protected environment is not confirmed."""
    environment = params["environment"]
    if not params.get("protected"):
        return
    missing = []
    if params.get("confirm") != environment:
        missing.append(f"-e dualwrite_confirm={environment}")
    if not str(params.get("reason") or "").strip():
        missing.append("-e dualwrite_reason='why this is done'")
    if not str(params.get("ticket") or "").strip():
        missing.append("-e dualwrite_ticket=TICKET-123")
    if missing:
        raise Refused(
            f"the environment '{environment}' is protected: it needs a confirmation by name, a reason and a ticket",
            hint=f"Nothing was changed. Run the same command again with {' '.join(missing)}",
        )


def place(reports: str, environment: str, run_id: str, *, required: bool) -> tuple[LocalStore, str]:
    """Return the store of a new run's folder and an empty text, or a private one and the sentence that says why.

    Tried by writing, not by asking. Raises Refused when ``required`` and the report folder can't be written, or when
    no place at all can be.
    """
    try:
        return _tried(LocalStore(os.path.join(reports, environment, run_id))), ""
    except RollbackError as error:
        if required:
            raise Refused(
                f"the report folder can't be written ({error.what}), and this scenario may not run without its record",
                where=os.path.join(reports, environment),
                hint="Nothing was changed. Fix the folder or set dualwrite_reports to another one.",
            ) from error
        why = f"The report folder can't be written ({error.where}: {error.what})."
    try:
        store = _tried(LocalStore(os.path.join(PRIVATE, environment, run_id), folder_mode=0o700, file_mode=0o600))
    except RollbackError:
        try:
            # the name can't be guessed and the folder is private: nothing in a shared /tmp can be put in its way
            store = LocalStore(os.path.join(tempfile.mkdtemp(prefix="dualwrite-"), run_id), file_mode=0o600)
        except OSError as error:
            raise Refused(f"no place for the run's record can be written: {error.strerror}", where=reports) from error
    return store, f"{why} The record of this run is kept in {store.place} instead; the run goes on and ends non-zero."


def unfinished(reports: str, environment: str) -> list[Record]:
    """Return the records of this environment's runs that are over and left something to do.

    Such a run has no end while its process is provably gone, or it ended while a host that it had locked could not be
    reached, so that the lock is still there. A run that took it over says so in its record.
    """
    found: list[Record] = []
    for record, entries in records(reports, environment):
        kinds = {entry["type"] for entry in entries}
        opened = next((entry["data"] for entry in entries if entry["type"] == "open"), None)
        if opened is None or "takeover" in kinds:
            continue
        if _left_a_lock(entries) if "close" in kinds else is_gone(opened.get("controller") or {}):
            found.insert(0, record)
    return found


def _left_a_lock(entries: Sequence[Entry]) -> bool:
    """Return whether a closed run had locked a host and could not reach it to give the lock back."""
    locked = {
        entry["host"]
        for entry in entries
        if entry["type"] == "phase" and entry["data"].get("phase") == "lock" and not _bad(entry["data"].get("result"))
    }
    ended = next(entry["data"].get("hosts") or {} for entry in entries if entry["type"] == "close")
    return any(ended.get(host) in (UNREACHABLE, NO_ANSWER) for host in locked)


def _bad(seen: Any) -> bool:
    return not isinstance(seen, Mapping) or bool(seen.get("failed") or seen.get("unreachable"))


def interrupt(record: Record, by: str) -> str:
    """Note once in a dead run's record that ``by`` found it, and return its run_id.

    A record that was closed, or that can't be written, is left as it is.
    """
    try:
        if not any(entry["type"] in ("interrupted", "close") for entry in record.read().entries):
            record.append("interrupted", {"text": "its process is gone without closing the run", "found_by": by})
    except RollbackError:
        pass
    return record.run_id


def _tried(store: LocalStore) -> LocalStore:
    store.append(RECORD, lambda content: b"")
    return store
