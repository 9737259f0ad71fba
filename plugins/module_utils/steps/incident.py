# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run owes to people: its line in the incident log, contacts that reach somebody, a verification's verdict."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import InvalidInput, NotFound, Refused, RollbackError
from ..core.evidence import FAIL, UNKNOWN
from ..notices import contacts
from ..run import history, incident_log
from ..run.checklist import ITEMS
from ..run.record import Chain
from ..run.view import view
from ..stores.local import LocalStore


def owners(params: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Return who does which item of the checklist by hand, and what is wrong with the inventory's contacts.

    A wrong contact stops no emergency; a run that may be refused (``required``) is refused in a protected environment.
    """
    given = params.get("contacts") or {}
    try:
        contacts.check_contacts(given)
    except InvalidInput as error:
        problems = [str(error)]
        given = {}
    else:
        problems = contacts.placeholders(given) if params.get("protected") else []
    if problems and params.get("protected") and params.get("required"):
        raise Refused(
            problems[0],
            where="dualwrite_contacts",
            hint="Nothing was changed. Put in who is really to be called, and run the same command again.",
        )
    return {item: contacts.owner(item, given) for item in ITEMS}, problems


def verified(params: Mapping[str, Any], reports: str) -> dict[str, Any]:
    """Return what the run that is to be verified did, with what the incident log says of it; {} for any other run.

    Raises NotFound when there is no such run.
    """
    wanted = params.get("verifies") or ""
    if not wanted:
        return {}
    last = history.last_run(reports, str(params["environment"]), "" if wanted == "last" else wanted)
    path = _log(params, reports, str(params["environment"]))
    try:
        known = incident_log.find(LocalStore(os.path.dirname(path)).read(os.path.basename(path)), last["run_id"])
    except (NotFound, InvalidInput):
        known = None
    why = "" if known else f"no line of the run {last['run_id']} stands in {path}"
    return {**last, "incident_log": {"path": path, "why": why}}


def written(opened: Mapping[str, Any], chain: Chain, spent: float, report: str) -> dict[str, str]:
    """Write the run's line into the incident log and return where, or why it could not be written; never raises."""
    path = _log(opened, opened.get("reports") or "", str(opened.get("environment") or ""))
    try:
        return {"path": incident_log.append(path, incident_log.entry_of(view(chain), report, spent)), "why": ""}
    except (RollbackError, OSError) as error:
        return {"path": path, "why": str(error)}


def open_items(opened: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> str:
    """Return which items of a verification's checklist don't pass, in a sentence; empty for any other run."""
    if not opened.get("verifies"):
        return ""
    bad = [one for one in items if one["state"] in (FAIL, UNKNOWN)]
    return "; ".join(f"{one['text']}: {one['state']}, {one['why']}" for one in bad)


def _log(given: Mapping[str, Any], reports: str, environment: str) -> str:
    path = given.get("incident_log") or os.path.join(reports, environment, incident_log.NAME)
    path = os.path.abspath(os.path.expanduser(path))
    return os.path.join(path, incident_log.NAME) if os.path.isdir(path) else path
