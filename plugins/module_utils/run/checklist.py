# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: the runbook's verification checklist, ticked by probes that have evidence, open where there is none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.evidence import PASS
from .outcome import FLAG, HostOutcome

#: item -> what the runbook asks for
ITEMS: Mapping[str, str] = {
    "flags": "Flag changes applied",
    "instances": "Instances hold the new values (restarted or reloaded)",
    "quiet": "No dual-write lines in the logs",
    "requests": "A vNext request succeeds",
    "errors": "Error rates",
    "performance": "No performance regression",
    "incident_log": "Incident log updated with the rollback's details",
    "notify": "Team notified of the rollback's completion",
}

#: the word in a probe's name that tells which item it proves, asked before its kind
_NAMES = (
    ("requests", re.compile(r"canary|create|write|vnext", re.I)),
    ("performance", re.compile(r"latenc|duration|perf|slow|p9\d", re.I)),
    ("errors", re.compile(r"error|5xx|500|fail", re.I)),
)
_KINDS = {"process_env": "flags", "settings": "flags", "log": "quiet", "metric": "errors", "http": "health"}


def item_of(evidence: Mapping[str, Any]) -> str:
    """Return which item a probe's evidence speaks for; "health" and "other" are on no checklist."""
    kind, name = str(evidence.get("kind", "")), str(evidence.get("probe", ""))
    if kind in ("process_env", "settings"):
        return _KINDS[kind]
    if kind == "log":
        # a log that is searched for failures tells nothing of dual-writes that succeed
        return "errors" if dict(_NAMES)["errors"].search(name) else _KINDS[kind]
    for item, pattern in _NAMES:
        if pattern.search(name) and kind in ("http", "sql", "metric", "canary"):
            return item
    return "requests" if kind == "canary" else _KINDS.get(kind, "other")


def checklist(
    hosts: Sequence[HostOutcome], probes: Sequence[Mapping[str, Any]], notified: str, record: str
) -> list[dict[str, Any]]:
    """Return the items in the runbook's order, each ``{key, text, done, why, items}``.

    ``probes`` are the evidence that speaks for it; ``why`` is one sentence: why it is ticked, or why it is left open.
    """
    listed = []
    for key, text in ITEMS.items():
        found = [one for one in probes if one["item"] == key]
        if key == "instances":
            done, why = _instances(hosts)
        elif key == "incident_log":
            done, why = True, record
        elif key == "notify":
            done, why = bool(notified), notified or "no notifier was asked: tell the team"
        else:
            done, why = _by_probes(key, found, hosts)
        listed.append({"key": key, "text": text, "done": done, "why": why, "probes": found})
    return listed


def _by_probes(key: str, found: Sequence[Mapping[str, Any]], hosts: Sequence[HostOutcome]) -> tuple[bool, str]:
    held = {one.host for one in hosts if one.good and one.phases.get(FLAG, {}).get("after")}
    if not found:
        if key == "flags" and hosts and len(held) == len(hosts):
            return True, "the flag module read every running instance after the roll"
        return False, "no probe asked: look at it yourself"
    bad = [one for one in found if one.get("answer") != PASS]
    if bad:
        return False, f"{len(bad)} of {len(found)} answers are no pass: {bad[0].get('detail') or bad[0].get('probe')}"
    asked = {one.get("host") for one in found}
    silent = [one.host for one in hosts if one.host not in asked]
    if key in ("flags", "quiet") and silent:
        return False, f"passed where it was asked, but not asked on: {', '.join(silent[:5])}"
    return True, f"{len(found)} of {len(found)} answers pass"


def _instances(hosts: Sequence[HostOutcome]) -> tuple[bool, str]:
    said = []
    for one in hosts:
        data = one.phases.get(FLAG, {})
        count = len(data.get("instances") or [])
        if not one.good or not count:
            return False, f"not proved on {one.host}: {one.sentence}"
        rolled = data.get("rolled") or {}
        how = ", ".join(f"{name} by {method}" for name, method in rolled.items()) or "no roll was needed"
        said.append(f"{one.host}: {count} instances, {how}")
    return bool(said), "; ".join(said[:6]) + (f"; and {len(said) - 6} more hosts" if len(said) > 6 else "")
