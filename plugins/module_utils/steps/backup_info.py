# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List the backups of a store, and tell which one a restore would take; read it to its end when asked to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..backups import fetch
from ..backups.choose import backups
from ..backups.formats import PLAIN
from ..backups.names import Pattern
from ..core.deadline import Deadline
from ..core.errors import NotFound
from ..core.result import Timings, result
from ..stores.registry import open_store
from .backup_source import examine, find_clients, offered


def backup_info(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Return the backups of a store and the one that a restore would take; nothing is changed.

    ``params`` are the options of the module ``backup_info``. A store without a backup that fits is no failure, the
    result's ``chosen`` is null then. With ``verify`` the chosen one is read to its end; raises VerificationFailed when
    it is damaged, and what the store raises.
    """
    timings = Timings()
    deadline = Deadline(params["timeout"])
    with timings.phase("list"):
        try:
            choice = offered(params)
        except NotFound as error:
            store = open_store(params.get("store"))
            pattern = Pattern(params["pattern"], params["time_zone"]) if params.get("pattern") else None
            known = backups(store.list(), pattern)
            if params.get("backup") or params.get("verify"):
                raise
            return result(
                changed=False, summary=str(error), chosen=None, backups=[one.as_dict() for one in known],
                place=store.place, timings=timings,
            )  # fmt: skip
    taken = choice.candidates[0]
    told: dict[str, Any] = taken.as_dict()
    notes: list[str] = []
    if params.get("verify"):
        with timings.phase("verify"):
            clients, warning = find_clients(params, 0, deadline)
            needed = max(one.size for one in choice.candidates if one.format.kind != PLAIN or one == taken)
            remote = not choice.store.place.startswith("/") and taken.format.kind != PLAIN
            with fetch.work_folder(params.get("work_dir"), needed if remote else 0) as folder:
                told = examine(choice, params, clients, folder, deadline).as_dict()
            notes += [warning] if warning else []
    listed = {one.name: one for one in (*choice.candidates, *choice.others)}
    said = f"{len(listed)} backups; a restore would take {told['name']} of {told['time']}, {_size(int(told['size']))}"
    return result(
        changed=False,
        summary=said + (", verified to its end" if params.get("verify") else ""),
        chosen=told,
        backups=[one.as_dict() for one in listed.values()],
        place=choice.store.place,
        notes=notes,
        timings=timings,
    )


def _size(number: int) -> str:
    return f"{number / 1e6:.1f} MB" if number >= 100_000 else f"{number} bytes"
