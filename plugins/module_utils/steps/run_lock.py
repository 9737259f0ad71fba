# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take or give back the lock of one host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.evidence import utc_now
from ..core.redact import redact_text
from ..core.result import result
from ..run import lock
from . import lock_place


def run_lock(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Make the lock present or absent for one run, and return what was done and who held it.

    ``params`` are the options of the module ``run_lock``. With ``check`` the lock is only read. Raises Refused when
    another run holds the lock or a right is missing, InvalidInput when what is there is no lock, or when no
    environment and no path is given.
    """
    lease = lock_place.lease_of(params)
    place = lock_place.of_lease(lease) if lease else lock_place.of_file(lock_place.path_of(params))
    told = {"lock_file": None if lease else place.where, "lock_lease": lease}
    if params.get("state") == "absent":
        return _give_back(place, told, params["run_id"], check)
    if lease and not check:
        lock_place.require_rights(lease)
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
        held = place.read()
        written = lock.decide(held, wanted, takeover_of, place.where)
    else:
        written, held = place.acquire(wanted, takeover_of)
    return _taken(place, told, wanted, written, held)


def _taken(
    place: lock.LockPlace,
    told: Mapping[str, Any],
    wanted: dict[str, Any],
    written: bool,
    held: dict[str, Any] | None,
) -> dict[str, Any]:
    summary = f"locked for {wanted['run_id']}" if written else f"lock already held by {wanted['run_id']}"
    if written and held:
        summary += f", taken over from {held['run_id']} of {held.get('owner') or 'somebody'}{lock.age(held)}"
    at = place.where
    return result(
        changed=written,
        summary=summary,
        phase="lock",
        **told,
        taken_over=held if written else None,
        diff=[{"before_header": at, "after_header": at, "before": _shown(held), "after": _shown(wanted)}]
        if written
        else None,
    )


def _give_back(place: lock.LockPlace, told: Mapping[str, Any], run_id: str, check: bool) -> dict[str, Any]:
    if check:
        held = place.read()
        removed = bool(held and held["run_id"] == run_id)
    else:
        removed, held = place.release(run_id)
    if removed:
        summary = "lock given back"
    elif held:
        summary = f"lock left alone: run {held['run_id']} of {held.get('owner') or 'somebody'} holds it"
    else:
        summary = "no lock to give back"
    return result(changed=removed, summary=summary, phase="unlock", **told, held_by=None if removed else held)


def _shown(held: Mapping[str, Any] | None) -> str:
    return f"{held['run_id']} of {held.get('owner')}\n" if held else ""
