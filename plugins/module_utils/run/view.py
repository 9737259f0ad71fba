# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: from a record's entries to the plain values that the report's templates show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..core.evidence import PASS
from .budget import DEFAULT, SHARES, Budget, share
from .checklist import Told, checklist, item_of, of_incident_log, of_notices
from .history import notices as notices_of
from .outcome import FLAG, NOT_PROVED, PARTLY, PROVED, VERIFY, WORDS, HostOutcome, of_hosts, overall
from .record import Chain, Entry
from .shape import mapping
from .times import PARTS, Times, epoch, evidence_of, times

HEADLINES = {
    PROVED: "Done and proved on every host",
    PARTLY: "Only partly done: some hosts are not proved",
    NOT_PROVED: "Not done: no host is proved",
}


def view(chain: Chain) -> dict[str, Any]:
    """Return everything the templates need, as plain data plus ``times``; missing keys become empty values."""
    entries = chain.entries
    opened = _data(entries, "open")
    closed = _data(entries, "close")
    hosts = of_hosts(entries, opened.get("required_phases") or (VERIFY,))
    outcome = overall(hosts.values())
    spent = closed.get("spent")
    when = times(entries, hosts, float(spent) if spent is not None else None)
    budget = Budget(float(opened.get("budget") or DEFAULT), float(spent) if spent is not None else when.end)
    probes = [
        {**one, "host": host.host, "item": item_of(one), "shown": show(one.get("value"))}
        for host in hosts.values()
        for one in evidence_of(host)
    ]
    notices = notices_of(entries)
    items = checklist(list(hosts.values()), probes, _told(opened, closed, chain, notices), opened)
    return {
        "run": {
            **opened,
            "run_id": entries[0]["run_id"] if entries else "",
            "opened": entries[0]["at"] if entries else "",
        },
        "closed": next((entry["at"] for entry in entries if entry["type"] == "close"), ""),
        "outcome": outcome,
        "headline": HEADLINES[outcome] + (", but over budget" if budget.overrun else "")
        if closed
        else "Not finished: this run was never closed",
        "action": _action(hosts.values()) or str(opened.get("scenario") or "run").replace("_", " "),
        "budget": budget,
        "shares": {phase: share(budget.seconds, phase) for phase in SHARES},
        "hosts": [_host(one) for one in hosts.values()],
        "failures": [_host(one) for one in hosts.values() if not one.good],
        "flags": _flags(hosts.values()),
        "probes": probes,
        "answers": {
            word: sum(one.get("answer") == word for one in probes) for word in ("pass", "fail", "unknown", "error")
        },
        "checklist": items,
        "impact": _impact(probes, when),
        "divergence": next((one.phases["divergence"] for one in hosts.values() if "divergence" in one.phases), {}),
        "windows": closed.get("windows") or [],
        "notices": notices,
        "notes": [
            *(entry["data"].get("text", "") for entry in entries if entry["type"] == "note"),
            *(
                f"{one.host}: {text}"
                for one in hosts.values()
                for phase in one.phases.values()
                for text in phase.get("notes") or []
            ),
        ],
        "chain": {"head": chain.head, "entries": len(entries), "problem": _problem(chain), "torn": chain.torn},
        "times": when,
    }


def show(value: Any, longest: int = 120) -> str:
    """Return a value as a person reads it: booleans in lower case, None as "not set", dicts as ``key value`` pairs."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "not set"
    if isinstance(value, Mapping):
        text = ", ".join(f"{key} {show(item)}" for key, item in value.items() if item is not None)
    elif isinstance(value, (list, tuple)):
        text = ", ".join(show(item) for item in value)
    else:
        text = " ".join(str(value).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _data(entries: Sequence[Entry], kind: str) -> dict[str, Any]:
    return next((entry["data"] for entry in entries if entry["type"] == kind), {})


def _problem(chain: Chain) -> str:
    return f"line {chain.bad_line}: {chain.problem}" if chain.problem else ""


def _told(
    opened: Mapping[str, Any], closed: Mapping[str, Any], chain: Chain, notices: Sequence[Mapping[str, Any]]
) -> Told:
    """Return what became of the incident log and the notices; a verification asks for those of the run it verifies."""
    last = opened.get("verifies")
    if last:
        written = last.get("incident_log") or {"why": f"no line of the run {last['run_id']} is there"}
        return Told(of_incident_log(written, ""), of_notices(last.get("notices") or []))
    head = f"this report and its record ({len(chain.entries)} entries, head {chain.head[:16]}…)"
    return Told(of_incident_log(closed.get("incident_log") or {}, head), of_notices(notices))


def _host(one: HostOutcome) -> dict[str, Any]:
    data = one.phases.get(FLAG, {})
    return {
        "name": one.host,
        "outcome": one.outcome,
        "good": one.good,
        "word": WORDS[one.outcome],
        "sentence": one.sentence,
        "rows": _rows(data),
        "instances": [
            {**item, "flags": {name: show(value) for name, value in item["flags"].items()}}
            for item in data.get("instances") or []
        ],
        "rolled": data.get("rolled") or {},
        "timings": {name: _timings(data["timings"]) for name, data in one.phases.items() if data.get("timings")},
        "undone": show(data["undone"]) if data.get("undone") else "",
    }


def _rows(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    before, after = data.get("before") or {}, data.get("after") or {}
    rows = []
    for workload in dict.fromkeys([*before, *after]):
        old, new = mapping(before.get(workload)), mapping(after.get(workload))
        for flag in dict.fromkeys([*old, *new]):
            was, now = mapping(old.get(flag)), mapping(new.get(flag))
            rows.append(
                {
                    "workload": workload,
                    "flag": flag,
                    "source": now.get("source") or was.get("source") or "",
                    "declared": (_declared(was), _declared(now)),
                    "effective": (_effective(was), _effective(now)),
                }
            )
    return rows


def _timings(timings: Mapping[str, Any]) -> dict[str, Any]:
    order = {name: number for number, name in enumerate(PARTS)}
    return dict(sorted(timings.items(), key=lambda item: order.get(item[0], len(order))))


def _declared(side: Mapping[str, Any]) -> str:
    return show(side["declared"]) if "declared" in side else "–"


def _effective(side: Mapping[str, Any]) -> str:
    values: dict[str, int] = {}
    for value in mapping(side.get("effective")).values():
        values[show(value)] = values.get(show(value), 0) + 1
    return ", ".join(f"{value} × {count}" for value, count in values.items()) or "–"


def _flags(hosts: Iterable[HostOutcome]) -> list[dict[str, Any]]:
    """Return per flag the values that running instances were last seen to hold, with counts and hosts not read."""
    seen: dict[str, dict[str, int]] = {}
    unread = []
    for host in hosts:
        data = host.phases.get(FLAG, {})
        held = [item["flags"] for item in data.get("instances") or []]
        for side in [] if any(held) else mapping(data.get("after")).values():
            for flag, one in side.items():
                held += [{flag: value} for value in mapping(one.get("effective")).values()]
        if not any(held):
            unread.append(host.host)
        for flag, value in [pair for flags in held for pair in flags.items()]:
            values = seen.setdefault(flag, {})
            values[show(value)] = values.get(show(value), 0) + 1
    return [
        {
            "name": flag,
            "value": next(iter(values)) if len(values) == 1 else "MIXED",
            "held": ", ".join(f"{value} in {count} instances" for value, count in values.items()),
            "unseen": unread,
        }
        for flag, values in sorted(seen.items())
    ]


def _action(hosts: Iterable[HostOutcome]) -> str:
    changes: dict[str, int] = {}
    for host in hosts:
        data = host.phases.get(FLAG, {})
        for row in _rows(data) if host.good else []:
            if row["flag"] not in (data.get("flags") or [row["flag"]]):
                continue
            old, new = row["effective"][0].split(" × ")[0], row["effective"][1].split(" × ")[0]
            text = f"{row['flag']}: {old} → {new}" if old != new else f"{row['flag']}: {new} (was so already)"
            changes[text] = changes.get(text, 0) + 1
    return "; ".join(changes)


def _impact(probes: Sequence[Mapping[str, Any]], when: Times) -> list[dict[str, str]]:
    """Return the template's three lines of impact, each said by probes or left to a person."""
    last = next((moment for moment, kind, text in when.marks if kind == "last"), None)
    since = f" since {abs(last):.1f} s {'after' if last >= 0 else 'before'} the command" if last is not None else ""
    told = (
        ("vNext operations", ("requests",), "Unaffected", "Degraded"),
        ("Legacy operations", ("quiet",), f"Not syncing{since}", "Perhaps still being written"),
        ("User-facing impact", ("health", "requests"), "None seen", "Seen"),
    )
    lines = []
    for name, items, good, bad in told:
        found = [one for one in probes if one["item"] in items]
        no = [one for one in found if one.get("answer") != PASS]
        shown = (no or found)[:1]
        said = (
            f"{shown[0]['probe']} on {shown[0]['host']}: {shown[0].get('detail') or shown[0]['shown']}" if shown else ""
        )
        state = (bad if no else good) if found else "not probed, a person must judge"
        lines.append({"name": name, "state": state, "why": said, "known": "yes" if found else ""})
    return lines


def total_seconds(entries: Sequence[Entry], now: float) -> float:
    """Return the seconds from the command to ``now`` (epoch), by the record's own times."""
    data = _data(entries, "open")
    started = epoch(data.get("command_started")) or (epoch(entries[0]["at"]) if entries else None)
    return max(0.0, now - started) if started is not None else 0.0
