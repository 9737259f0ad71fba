# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take or give back the lock of one host."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from ..core.errors import InvalidInput
from ..core.evidence import utc_now
from ..core.redact import redact_text
from ..core.result import result
from ..run import lock


def run_lock(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Make the lock present or absent for one run, and return what was done and who held it.

    ``params`` are the options of the module ``run_lock``. With ``check`` the file is only read. Raises Refused when
    another run holds the lock, InvalidInput when the file is damaged or no environment and no path is given.
    """
    path = params.get("path") or _default_path(params.get("environment"))
    if params.get("state") == "absent":
        return _give_back(path, params["run_id"], check)
    takeover_of = [*(params.get("takeover_of") or [])]
    if params.get("takeover"):
        takeover_of.append(params["takeover"])
    wanted = {
        "run_id": params["run_id"],
        "owner": params.get("owner") or "",
        "controller": params.get("controller") or "",
        "environment": params.get("environment") or "",
        "reason": redact_text(params.get("reason") or ""),
        "since": utc_now(),
    }
    if check:
        held = lock.read(path)
        written = lock.decide(held, wanted, takeover_of, path)
    else:
        written, held = lock.acquire(path, wanted, takeover_of)
    return _taken(path, wanted, written, held)


def _taken(path: str, wanted: dict[str, Any], written: bool, held: dict[str, Any] | None) -> dict[str, Any]:
    summary = f"locked for {wanted['run_id']}" if written else f"lock already held by {wanted['run_id']}"
    if written and held:
        summary += f", taken over from {held['run_id']} of {held.get('owner') or 'somebody'}{lock.age(held)}"
    return result(
        changed=written,
        summary=summary,
        phase="lock",
        lock_file=path,
        taken_over=held if written else None,
        diff=[{"before_header": path, "after_header": path, "before": _shown(held), "after": _shown(wanted)}]
        if written
        else None,
    )


def _give_back(path: str, run_id: str, check: bool) -> dict[str, Any]:
    if check:
        held = lock.read(path)
        removed = bool(held and held["run_id"] == run_id)
    else:
        removed, held = lock.release(path, run_id)
    if removed:
        summary = "lock given back"
    elif held:
        summary = f"lock left alone: run {held['run_id']} of {held.get('owner') or 'somebody'} holds it"
    else:
        summary = "no lock to give back"
    return result(changed=removed, summary=summary, phase="unlock", lock_file=path, held_by=None if removed else held)


def _default_path(environment: Any) -> str:
    name = str(environment or "")
    if not name or "/" in name or name.startswith("."):
        raise InvalidInput(
            "the lock needs the environment's name, which may hold no slash",
            where="environment",
            hint=f"Give environment or path for the lock of host {platform.node()}.",
        )
    return f"/var/lib/dualwrite/{name}.lock"


def _shown(held: Mapping[str, Any] | None) -> str:
    return f"{held['run_id']} of {held.get('owner')}\n" if held else ""
