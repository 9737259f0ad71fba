# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a restore is, as the server itself sees it: from any machine, while another call does the work."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from ..core.deadline import Deadline, wait_until
from ..core.errors import DeadlinePassed, RollbackError
from ..core.evidence import format_time, parse_time, utc_now
from ..core.libpq import connect
from ..core.result import result
from ..postgres import databases as names
from ..postgres.contents import counted
from ..postgres.databases import Databases

NAME = "dualwrite.rollback progress"


def watch(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether a restore runs (``running``), the bytes and objects that are there, and how quickly they come.

    A restore that was just begun gets a moment to appear. Raises Unreachable when the server does not answer.
    """
    live = str(params["login_db"])
    side = names.side_name(live)
    deadline = Deadline(params["timeout"])
    given = {**params, "login_db": params.get("maintenance_db") or "postgres"}
    with contextlib.closing(connect(given, deadline.within(15), name=NAME, needed_for="a restore")) as link:
        link.autocommit = True
        server = Databases(link, given)
        with contextlib.suppress(DeadlinePassed):
            wait_until(lambda: server.restoring(live) or bool(server.mark(side)), deadline.within(2), what="a restore")
        running = server.restoring(live)
        mark = server.mark(side)
        size = server.size(side) if mark else 0
        read = server.has_read(live) if running and not mark else None
    told: dict[str, Any] = {"running": running, "phase": "progress", "bytes": size, "objects": None, "rate": 0.0}
    if not mark:
        said = f"a restore of {live} is reading its backup" if running else f"no restore of {live} runs"
        if read:
            done, total, seconds = read
            told.update(bytes=done, rate=round(done / 1e6 / max(seconds, 0.1), 1))
            said += f": {done / 1e6:.0f} of {total / 1e6:.0f} MB, {told['rate']} MB/s"
        return result(changed=False, summary=said, **told)
    spent = max((parse_time(utc_now()) - parse_time(str(mark["at"]))).total_seconds(), 0.1)
    told["rate"] = round(size / 1e6 / spent, 1) if mark.get("state") == "loading" else 0.0
    with contextlib.suppress(RollbackError):
        told["objects"] = _objects({**params, "login_db": side}, deadline)
    objects = "" if told["objects"] is None else f", {told['objects']['tables']} tables"
    objects += "" if told["objects"] is None else f", {told['objects']['constraints']} constraints"
    said = f"{side}: {size / 1e6:.0f} MB{objects} of {mark.get('backup')}"
    said += f", {told['rate']} MB/s" if told["rate"] else f", {mark.get('state')} since {mark.get('at')}"
    return result(
        changed=False,
        summary=said,
        database=side,
        state=mark.get("state"),
        at=format_time(parse_time(utc_now())),
        **told,
    )


def _objects(given: Mapping[str, Any], deadline: Deadline) -> dict[str, int]:
    with contextlib.closing(connect(given, deadline.within(5), name=NAME, needed_for="a restore")) as link:
        link.autocommit = True
        return counted(Databases(link, given))
