# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: the runbook's verification checklist, ticked by probes that have evidence, open where there is none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.evidence import FAIL, PASS, UNKNOWN, parse_time
from .outcome import FLAG, HostOutcome

#: nothing was asked: a person does it
HUMAN = "human"
#: the phase of a verification that reads flags and instances
READ = "read"
#: an answer and one sentence why
State = tuple[str, str]

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


@dataclass(frozen=True)
class Told:
    """What became of the two items that no probe can look at: the incident log and the notices."""

    incident_log: State
    notices: State


def of_incident_log(written: Mapping[str, Any], otherwise: str) -> State:
    """Judge the incident log by what a run's end says of it; a record of before there was one says ``otherwise``."""
    if not written:
        return PASS, otherwise
    if written.get("why"):
        return FAIL, f"it could not be written: {written['why']}"
    return PASS, f"a line of this run stands in {written.get('path')}"


def of_notices(notices: Sequence[Mapping[str, Any]]) -> State:
    """Judge whether the team was told that the run is over: the last try of each channel counts."""
    last = {one.get("channel"): one for one in notices if one.get("event") != "start"}
    failed = [one for one in last.values() if not one.get("sent")]
    # a file tells nobody
    sent = [one for one in last.values() if one.get("sent") and one.get("kind") != "file"]
    if failed:
        told = f"; told: {', '.join(str(one['channel']) for one in sent)}" if sent else ""
        return FAIL, f"{failed[0].get('channel')} ({failed[0].get('where')}): {failed[0].get('why')}{told}"
    if sent:
        return PASS, "told by " + ", ".join(f"{one['channel']} ({one['where']})" for one in sent)
    return HUMAN, "written to a file only: tell the team" if last else "no notifier was asked: tell the team"


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
    hosts: Sequence[HostOutcome], probes: Sequence[Mapping[str, Any]], told: Told, opened: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the items in the runbook's order, each ``{key, text, state, done, why, owner, probes}``.

    ``probes`` are the evidence that speaks for it; ``why`` is one sentence: why it is ticked, or why it is left open.
    ``state`` is pass, fail, unknown or human: nothing was asked, and ``owner`` does it by hand. ``opened`` is the data
    of the entry that opened the run: ``owners`` by item, and for a verification what it ``verifies``.
    """
    last = opened.get("verifies") or {}
    listed = []
    for key, text in ITEMS.items():
        found = [one for one in probes if one["item"] == key]
        if key == "instances":
            state, why = _instances_since(hosts, last.get("hosts") or {}) if last else _instances(hosts)
        elif key in ("incident_log", "notify"):
            state, why = told.incident_log if key == "incident_log" else told.notices
        else:
            state, why = _by_probes(key, found, hosts)
            if key == "flags" and state == PASS:
                state, why = _declared(hosts) or (state, why)
        owner = str((opened.get("owners") or {}).get(key) or "") if state != PASS else ""
        done = state == PASS
        listed.append(
            {"key": key, "text": text, "state": state, "done": done, "why": why, "owner": owner, "probes": found}
        )
    return listed


def lines(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the checklist as a table of lines: answer, item, why with its evidence, and who does it by hand."""
    width = max(len(str(one["text"])) for one in items)
    return [
        f"{str(one['state']).upper():<8} {one['text']:<{width}}  {one['why']}{_evidence(one)}"
        + (f". Owner: {one['owner']}" if one["owner"] else "")
        for one in items
    ]


def _evidence(item: Mapping[str, Any]) -> str:
    if item["state"] != PASS or not item["probes"]:
        return ""
    told = [f"{one.get('probe')}: {one.get('detail') or one.get('value')}" for one in item["probes"]]
    more = f"; and {len(told) - 2} more" if len(told) > 2 else ""
    return f" ({'; '.join(text[:160] for text in told[:2])}{more})"


def _by_probes(key: str, found: Sequence[Mapping[str, Any]], hosts: Sequence[HostOutcome]) -> State:
    held = {one.host for one in hosts if one.good and one.phases.get(FLAG, {}).get("after")}
    if not found:
        if key == "flags" and hosts and len(held) == len(hosts):
            return PASS, "the flag module read every running instance after the roll"
        return HUMAN, "no probe asked: look at it yourself"
    bad = [one for one in found if one.get("answer") != PASS]
    if bad:
        failing = [one for one in bad if one.get("answer") == FAIL]
        told = (failing or bad)[0]
        said = f"{len(bad)} of {len(found)} answers don't pass, {told.get('detail') or told.get('probe')}"
        return FAIL if failing else UNKNOWN, said
    asked = {one.get("host") for one in found}
    silent = [one.host for one in hosts if one.host not in asked]
    if key in ("flags", "quiet") and silent:
        return UNKNOWN, f"passed where it was asked, but not asked on: {', '.join(silent[:5])}"
    return PASS, f"{len(found)} of {len(found)} answers pass"


def _instances(hosts: Sequence[HostOutcome]) -> State:
    said = []
    for one in hosts:
        data = one.phases.get(FLAG, {})
        count = len(data.get("instances") or [])
        if not one.good or not count:
            return UNKNOWN, f"not proved on {one.host}: {one.sentence}"
        rolled = data.get("rolled") or {}
        how = ", ".join(f"{name} by {method}" for name, method in rolled.items()) or "no roll was needed"
        said.append(f"{one.host}: {count} instances, {how}")
    return (PASS if said else UNKNOWN), _some(said)


def _instances_since(hosts: Sequence[HostOutcome], last: Mapping[str, Mapping[str, Any]]) -> State:
    """Judge that no instance is left from before a run's roll: each began after it, or was seen behind it."""
    said = []
    for one in hosts:
        found = one.phases.get(READ, {}).get("instances") or []
        if not found:
            return UNKNOWN, f"no instance was read on {one.host}"
        then = last.get(one.host)
        if then is None:
            said.append(f"{one.host}: {len(found)} instances, and that run rolled nothing there")
            continue
        rolled, seen = str(then.get("rolled") or ""), then.get("instances") or []
        old = [item for item in found if rolled and item["id"] not in seen and not _after(item["started"], rolled)]
        if old:
            names = ", ".join(f"{item['workload']} {item['name']} of {item['started'] or '?'}" for item in old[:5])
            return (
                FAIL,
                f"{one.host}: {len(old)} of {len(found)} instances are older than the roll of {rolled}: {names}",
            )
        how = f"none older than the roll of {rolled}" if rolled else "that run needed no roll"
        said.append(f"{one.host}: {len(found)} instances, {how}")
    return (PASS if said else UNKNOWN), _some(said)


def _after(started: str, rolled: str) -> bool:
    try:
        # the start of a process is known to a clock tick only
        return parse_time(started).timestamp() >= parse_time(rolled).timestamp() - 0.1
    except ValueError:
        return False


def _declared(hosts: Sequence[HostOutcome]) -> State | None:
    """Judge that the source of truth says what the instances hold; None where nothing was read of it."""
    drift = [one for one in hosts if one.phases.get(READ, {}).get("drift")]
    if not drift:
        return None
    said = drift[0].phases[READ].get("summary") or "declared and effective differ"
    return FAIL, f"{drift[0].host}: {said}; the next restart may bring another value"


def _some(said: Sequence[str]) -> str:
    return "; ".join(said[:6]) + (f"; and {len(said) - 6} more hosts" if len(said) > 6 else "")
