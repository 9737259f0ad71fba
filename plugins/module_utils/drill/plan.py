# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a drill under way, written before anything is changed: what a killed drill has to have put back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ..core.errors import Conflict, InvalidInput, NotFound, Refused, RollbackError
from ..core.files import fsync_folder
from ..stores.local import LocalStore

PLAN = "drill-under-way.json"

Plan = dict[str, Any]


def _store(reports: str, environment: str) -> LocalStore:
    return LocalStore(os.path.join(reports, environment))


def place_of(reports: str, environment: str) -> str:
    """Return the file that holds the plan."""
    return os.path.join(_store(reports, environment).place, PLAN)


def read(reports: str, environment: str) -> Plan | None:
    """Return the plan of the drill that is under way or was killed, None without any; raises Refused."""
    try:
        plan = json.loads(_store(reports, environment).read(PLAN))
    except NotFound:
        return None
    except (ValueError, InvalidInput) as error:
        raise Refused(
            f"the plan of an earlier drill can't be read ({error}), and nobody knows what it has left",
            where=place_of(reports, environment),
            hint="Nothing was changed. Look at the flags and the data yourself, then remove that file.",
        ) from error
    if not isinstance(plan, dict) or not plan.get("drill_id"):
        raise Refused("this is no plan of a drill", where=place_of(reports, environment), hint="Remove that file.")
    return plan


def begin(reports: str, environment: str, plan: Mapping[str, Any]) -> str:
    """Write the plan durably and return its file; raises Refused when there is one, or it can't be written."""
    try:
        with _store(reports, environment).write(PLAN) as stream:
            stream.write(_text(plan))
    except Conflict as error:
        raise Refused(
            "another drill of this environment has begun meanwhile", where=error.where, hint="Nothing was changed."
        ) from error
    except RollbackError as error:
        raise Refused(
            f"the plan of the drill can't be written ({error.what}), and without it a killed drill is not put back",
            where=error.where,
            hint="Nothing was changed. Fix the folder or set dualwrite_reports to another one.",
        ) from error
    return place_of(reports, environment)


def update(reports: str, environment: str, plan: Mapping[str, Any]) -> None:
    """Replace the plan in one step, durably."""
    _store(reports, environment).put(PLAN, _text(plan))


def end(reports: str, environment: str, drill_id: str) -> bool:
    """Remove the plan of this drill, and no other one's; return whether it was there."""
    plan = read(reports, environment)
    if plan is None or plan["drill_id"] != drill_id:
        return False
    path = place_of(reports, environment)
    try:
        os.unlink(path)
        fsync_folder(os.path.dirname(path))
    except OSError as error:
        raise RollbackError(f"the plan of the drill can't be removed: {error.strerror}", where=path) from error
    return True


def _text(plan: Mapping[str, Any]) -> bytes:
    return json.dumps(plan, indent=2, sort_keys=True, default=str).encode() + b"\n"
