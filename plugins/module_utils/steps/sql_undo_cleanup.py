# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the rows of a cleanup back, and tell of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.deadline import Deadline
from ..core.errors import InvalidInput
from ..core.result import Timings, result
from ..postgres.undo import PutBack, Undo
from ..stores.local import LocalStore
from .sql_cleanup import PRIVATE


def sql_undo_cleanup(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Put the archived rows back in one transaction and return how many.

    ``params`` are the module's options. In check mode the whole transaction runs and is rolled back. Raises Refused
    with a list when something took the rows' place, VerificationFailed when the archive is not what was written.
    """
    timings = Timings()
    if float(params["timeout"]) <= 0 or float(params.get("lock_timeout") or 1) <= 0:
        raise InvalidInput("a timeout is no time to wait", where="timeout, lock_timeout")
    name = str(params["archive"]).strip("/")
    if not name or name.startswith("."):
        raise InvalidInput(f"'{params['archive']}' names no archive", where="archive")
    store = LocalStore(str(params["archives"]), **PRIVATE)
    options = {**params, "archive": name}
    done = Undo(options, store, Deadline(float(params["timeout"])), timings, rehearse=check).run()
    return result(
        changed=not done.already,
        summary=_sentence(done, check),
        timings=timings,
        diff=_diff(done),
        archive=done.archive,
        rows=done.rows,
        detached=done.detached,
        notes=done.notes,
    )


def _sentence(done: PutBack, check: bool) -> str:
    if done.already:
        return f"nothing to do: all rows of {done.archive} are there"
    listed = ", ".join(f"{table} {count}" for table, count in done.rows.items())
    return f"{done.total} rows {'would be ' if check else ''}put back from {done.archive} ({listed})"


def _diff(done: PutBack) -> list[dict[str, str]]:
    if done.already:
        return []
    lines = [f"{table}: {count} rows" for table, count in done.rows.items()]
    lines += [f"{table}: {count} references" for table, count in done.detached.items()]
    return [{"before": "", "after": "\n".join(lines) + "\n", "before_header": "rows", "after_header": "rows put back"}]
