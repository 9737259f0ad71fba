# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What earlier runs say about now: since when a flag had the value that this run has changed, and what the last did."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..core.errors import NotFound, RollbackError
from ..stores.local import LocalStore
from .outcome import is_flag_data
from .record import RECORD, Entry, Record
from .shape import tidy

NEWEST = 200
#: runs that only look
LOOKS = ("verify",)


def records(reports: str, environment: str) -> Iterator[tuple[Record, list[Entry]]]:
    """Walk through the records of an environment's last runs with their entries, the newest first.

    Those that can't be read are left out: they must not stop a run.
    """
    store = LocalStore(os.path.join(reports, environment))
    names = [one.name for one in store.list() if one.name.count("/") == 1 and one.name.endswith("/" + RECORD)]
    for name in reversed(names[-NEWEST:]):
        run_id = os.path.dirname(name)
        record = Record(LocalStore(os.path.join(store.place, run_id)), run_id)
        try:
            entries = record.read().entries
        except RollbackError:
            continue
        yield record, entries


def windows(entries: Sequence[Entry], earlier: Iterable[Sequence[Entry]]) -> list[dict[str, Any]]:
    """Return, for each flag that this run has changed, the time for which it had its other value.

    ``entries`` are this run's, ``earlier`` those of former runs, the newest first. Each window is ``{flag, value,
    start, end, run_id}``: the flag had ``value`` from the end of that run's roll to the end of this one's. A flag that
    no former run has set to that value is left out: nobody recorded since when.
    """
    now = dict(_set_by(entries))
    found: dict[str, dict[str, Any]] = {}
    for former in earlier:
        for flag, (value, moment) in _set_by(former):
            if flag not in now or flag in found or now[flag][0] is value:
                continue
            window = {"flag": flag, "value": value, "start": moment, "end": now[flag][1]}
            found[flag] = {**window, "run_id": former[0]["run_id"]}
        if len(found) == len(now):
            break
    return list(found.values())


def _set_by(entries: Sequence[Entry]) -> Iterator[tuple[str, tuple[bool, str]]]:
    """Walk through the flags that a run's last roll has changed: name, value and when the roll had ended."""
    ended: dict[str, tuple[bool, str]] = {}
    for entry in entries:
        result = entry["data"].get("result") if entry["type"] == "phase" else None
        if not isinstance(result, Mapping) or not is_flag_data(result) or not result.get("roll_ended"):
            continue
        if result.get("failed") or not isinstance(result.get("flags"), Mapping):
            continue
        for flag, value in result["flags"].items():
            if isinstance(value, bool):
                moment = str(result["roll_ended"])
                ended[flag] = (value, max(moment, ended[flag][1]) if flag in ended else moment)
    yield from ended.items()


def last_run(reports: str, environment: str, run_id: str = "") -> dict[str, Any]:
    """Return what a verification compares with: an environment's last run that did something, or the one that is named.

    It is ``{run_id, scenario, started, ended, flags, hosts, incident_log, notices}``: ``flags`` are those that this and
    earlier runs have set and their values, ``hosts`` says per host when its last roll began (empty without a roll) and
    which instances were seen behind it. Raises NotFound.
    """
    found: dict[str, Any] = {}
    flags: dict[str, bool] = {}
    for record, entries in records(reports, environment):
        opened: dict[str, Any] = next((entry["data"] for entry in entries if entry["type"] == "open"), {})
        if not found and opened and opened.get("scenario") not in LOOKS and run_id in ("", record.run_id):
            found = _told(record, opened, entries)
        if found:
            for flag, value in _asked(entries):
                flags.setdefault(flag, value)
    if not found:
        named = f"'{run_id}'" if run_id else "that did something"
        raise NotFound(
            f"no run {named} of the environment '{environment}' is recorded",
            where=os.path.join(reports, environment),
            hint="Set dualwrite_reports to the folder that holds its records.",
        )
    return {**found, "flags": flags}


def _told(record: Record, opened: Mapping[str, Any], entries: Sequence[Entry]) -> dict[str, Any]:
    closed: dict[str, Any] = next((entry["data"] for entry in entries if entry["type"] == "close"), {})
    hosts: dict[str, dict[str, Any]] = {}
    for entry in entries:
        result = tidy(entry["data"].get("result")) if entry["type"] == "phase" and entry["host"] else {}
        if is_flag_data(result):
            hosts[str(entry["host"])] = {
                "rolled": result.get("roll_started") or "",
                "instances": [one["id"] for one in result.get("instances") or []],
            }
    return {
        "run_id": record.run_id,
        "scenario": opened.get("scenario") or "",
        "started": opened.get("command_started") or entries[0]["at"],
        "ended": next((entry["at"] for entry in entries if entry["type"] == "close"), ""),
        "outcome": closed.get("outcome") or "never closed",
        "ticket": opened.get("ticket") or "",
        "hosts": hosts,
        "incident_log": closed.get("incident_log") or {},
        "notices": notices(entries),
    }


def notices(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return what was told of a run to whom: {event, at, channel, kind, where, sent, why}, in the record's order."""
    found = []
    for entry in entries:
        data = entry["data"]
        if entry["type"] != "phase" or data.get("phase") != "notify" or not isinstance(data.get("result"), Mapping):
            continue
        result = data["result"]
        for one in result.get("notices") or []:
            if isinstance(one, Mapping):
                found.append({"event": str(result.get("event") or ""), "at": entry["at"], **one})
    return found


def _asked(entries: Sequence[Entry]) -> Iterator[tuple[str, bool]]:
    """Walk through the flags that a run was to set and found to be so already."""
    for entry in entries:
        result = entry["data"].get("result") if entry["type"] == "phase" else None
        if isinstance(result, Mapping) and is_flag_data(result) and not result.get("failed"):
            flags = result.get("flags")
            yield from ((str(name), value) for name, value in dict(flags or {}).items() if isinstance(value, bool))
