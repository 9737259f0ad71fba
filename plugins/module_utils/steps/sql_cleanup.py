# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove test data in one transaction that can be undone, and tell of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..core.deadline import Deadline
from ..core.errors import InvalidInput
from ..core.result import Timings, result
from ..postgres import baseline
from ..postgres.cleanup import Cleanup, Done
from ..stores.local import LocalStore

#: an archive holds rows of users: nobody but its owner reads it
PRIVATE = {"folder_mode": 0o700, "file_mode": 0o600}


def sql_cleanup(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Remove the rows that ``root`` means, and all that hangs on them, and return what was removed.

    ``params`` are the module's options. In check mode the whole transaction runs and is rolled back. Raises
    InvalidInput and Refused before anything is removed, VerificationFailed and Conflict when it was rolled back.
    """
    timings = Timings()
    if float(params["timeout"]) <= 0 or float(params.get("lock_timeout") or 1) <= 0:
        raise InvalidInput("a timeout is no time to wait", where="timeout, lock_timeout")
    deadline = Deadline(float(params["timeout"]))
    store = None if params.get("without_archive") else LocalStore(str(params["archives"]), **PRIVATE)
    options = dict(params)
    if params.get("baseline_file"):
        folder, name = os.path.split(os.path.abspath(os.path.expanduser(str(params["baseline_file"]))))
        options["baseline"] = baseline.recall(LocalStore(folder), name[:-5] if name.endswith(".json") else name)[
            "invariants"
        ]
    done = Cleanup(options, store, deadline, timings, rehearse=check).run()
    return result(
        changed=done.total > 0,
        summary=_sentence(done, check),
        diff=_diff(done),
        timings=timings,
        rows=done.rows,
        reasons=done.reasons if done.total else {},
        detached=done.detached,
        mappings=done.mappings,
        ids=done.ids,
        plan_digest=done.plan_digest,
        invariants=done.invariants,
        identity=done.server,
        archive=done.archive,
        archives=store.place if store and done.archive else "",
        archive_sha256=done.archive_sha256,
        transaction=done.transaction,
        attempts=done.attempts,
        earlier=done.earlier,
        notes=done.notes,
    )


def _sentence(done: Done, check: bool) -> str:
    if not done.total:
        return "nothing to do: no row is meant"
    listed = ", ".join(f"{table} {count}" for table, count in done.rows.items() if count)
    said = f"{done.total} rows {'would be ' if check else ''}removed ({listed})"
    if any(done.detached.values()):
        said += f", {sum(done.detached.values())} {'would ' if check else ''}lose a reference"
    kept = sum(one["only_unmapped"] for one in done.mappings)
    if kept:
        said += f"; {kept} linked rows stay, only their mapping goes"
    return said + (f"; archive {done.archive}" if done.archive else "")


def _diff(done: Done) -> list[dict[str, str]]:
    if not done.shown:
        return []
    return [
        {"before": "\n".join(done.shown) + "\n", "after": "", "before_header": "rows", "after_header": "rows removed"}
    ]
