# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: when things happened, in seconds since the command was given, from the record's entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.evidence import parse_time
from .checklist import item_of
from .outcome import FLAG, HostOutcome, is_flag_data
from .record import Entry
from .shape import number, tidy

#: a host's clock is said to differ when its times can't be true by more than this
SKEW = 1.0
PARTS = ("wait", "read", "declare", "roll", "prove", "undo")


@dataclass
class Bar:
    """One phase of one host: ``start`` and ``end`` in seconds, ``trouble`` "failed", "unreachable" or empty."""

    host: str
    phase: str
    start: float
    end: float
    trouble: str = ""
    parts: list[tuple[str, float, float]] = field(default_factory=list)


@dataclass
class Times:
    """Everything that the picture shows; all times in seconds since the command."""

    zero: float
    end: float
    bars: list[Bar] = field(default_factory=list)
    marks: list[tuple[float, str, str]] = field(default_factory=list)
    series: list[tuple[float, int]] = field(default_factory=list)
    skews: dict[str, float] = field(default_factory=dict)


def epoch(value: Any) -> float | None:
    """Return an ISO 8601 text as seconds since 1970, None when it is none."""
    try:
        return parse_time(str(value)).timestamp() if value else None
    except ValueError:
        return None


def times(entries: Sequence[Entry], hosts: Mapping[str, HostOutcome], spent: float | None) -> Times:
    """Return the bars, marks and the log series of a run; tolerant of everything that a record may lack."""
    opened = next((entry for entry in entries if entry["type"] == "open"), None)
    first = epoch(entries[0]["at"]) if entries else 0.0
    started = epoch((opened or {"data": {}})["data"].get("command_started")) or first or 0.0
    last = max([epoch(entry["at"]) or started for entry in entries] or [started])
    found = Times(zero=started, end=max(spent or 0.0, last - started, 0.1))
    if opened:
        found.bars.append(Bar("", "open", 0.0, max((first or started) - started, 0.05)))
    declared: list[float] = []
    rolls: list[tuple[float, float]] = []
    for entry in entries:
        if entry["type"] != "phase" or not entry["host"]:
            continue
        data = tidy(entry["data"].get("result"))
        span = _bar(entry, data, found)
        found.bars.append(span)
        begun, ended = epoch(data.get("roll_started")), epoch(data.get("roll_ended"))
        if begun is not None and ended is not None:
            shift = found.skews.get(span.host, 0.0) - started
            rolls.append((begun + shift, ended + shift))
            declared.append(begun + shift)
    found.series = _series(hosts, found)
    _mark(found, declared, rolls)
    return found


def _bar(entry: Entry, data: Mapping[str, Any], found: Times) -> Bar:
    at = (epoch(entry["at"]) or found.zero) - found.zero
    timings: dict[str, float] = data.get("timings") or {}
    total = timings.get("total", 0.0)
    phase = str(entry["data"].get("phase") or "")
    end = at
    seen = epoch(data.get("roll_ended"))
    if seen is not None:
        end = seen - found.zero + timings.get("prove", 0.0) + timings.get("undo", 0.0)
    elif data.get("evidence"):
        moments = [epoch(one["at"]) for one in data["evidence"]]
        known = [moment for moment in moments if moment is not None]
        end = max(known) - found.zero if known else at
    shift = at - end if end > at + SKEW else -(end - total) if end - total < -SKEW else 0.0
    if shift and entry["host"]:
        found.skews.setdefault(str(entry["host"]), shift)
    shift = found.skews.get(str(entry["host"]), 0.0) if shift or seen is not None else 0.0
    end = min(max(end + shift, 0.0), at)
    span = Bar(str(entry["host"]), FLAG if is_flag_data(data) else phase, max(end - total, 0.0), end)
    span.trouble = "unreachable" if data.get("unreachable") else "failed" if data.get("failed") else ""
    place = span.start
    for part in PARTS:
        if timings.get(part):
            span.parts.append((part, place, min(place + timings[part], span.end)))
            place = min(place + timings[part], span.end)
    return span


def _series(hosts: Mapping[str, HostOutcome], found: Times) -> list[tuple[float, int]]:
    total: dict[float, int] = {}
    for host in hosts.values():
        shift = found.skews.get(host.host, 0.0)
        for evidence in evidence_of(host):
            series = evidence["extra"].get("series") or []
            if item_of(evidence) != "quiet":
                continue
            for one in series.values() if isinstance(series, Mapping) else [series]:
                for point in one if isinstance(one, list) else []:
                    if isinstance(point, (list, tuple)) and len(point) == 2:
                        second = round(number(point[0]) + shift) - found.zero
                        total[second] = total.get(second, 0) + int(number(point[1]))
    return sorted(total.items())


def evidence_of(host: HostOutcome) -> list[dict[str, Any]]:
    """Return every piece of evidence that a host's phases hold, in order."""
    return [one for data in host.phases.values() for one in data.get("evidence") or []]


def _mark(found: Times, declared: Sequence[float], rolls: Sequence[tuple[float, float]]) -> None:
    if declared:
        many = len(declared) > 1
        found.marks.append(
            (min(declared), "declared", "first flag declared, roll starts" if many else "flag declared, roll starts")
        )
        found.marks.append((max(end for begun, end in rolls), "rolled", "last roll ended" if many else "roll ended"))
    lines = [second for second, count in found.series if count]
    if lines:
        found.marks.append((max(lines) + 0.5, "last", "last dual-write line"))
