# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: what became of each host and of the whole run, from the record's entries alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .record import Entry
from .shape import tidy

DONE = "done"
UNCHANGED = "unchanged"
FAILED = "failed"
UNDONE = "undone"
UNREACHABLE = "unreachable"
NO_ANSWER = "no_answer"

WORDS: Mapping[str, str] = {
    DONE: "done and proved",
    UNCHANGED: "was so already, proved",
    FAILED: "failed",
    UNDONE: "failed, change taken back",
    UNREACHABLE: "unreachable",
    NO_ANSWER: "no answer",
}
GOOD = (DONE, UNCHANGED)

#: how the whole run ended
PROVED = "proved"
PARTLY = "partly"
NOT_PROVED = "failed"

FLAG = "flag"
#: phases of scenarios that change data: what they did is the host's sentence
ACTED = ("cleanup", "undo_cleanup")
VERIFY = "verify"


@dataclass(frozen=True)
class HostOutcome:
    """One host: how it ended, in a word and a sentence, and its phases' data by name (the last of each name)."""

    host: str
    outcome: str
    sentence: str
    phases: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Return whether the promise was proved on this host."""
        return self.outcome in GOOD


def of_hosts(entries: Sequence[Entry], needed: Sequence[str] = (VERIFY,)) -> dict[str, HostOutcome]:
    """Return the outcome of every host that the run named or heard of, in the run's order.

    A host counts as proved only when every phase in ``needed`` was recorded for it and none of its phases failed.
    """
    named = [str(host) for entry in entries if entry["type"] == "open" for host in entry["data"].get("hosts") or []]
    heard = [entry["host"] for entry in entries if entry["host"] and entry["type"] in ("phase", "failure")]
    return {
        host: _of_host(host, [one for one in entries if one["host"] == host], needed) for host in _once(named, heard)
    }


def overall(hosts: Iterable[HostOutcome]) -> str:
    """Return how the run ended: proved on all hosts, partly, or on none (a run without hosts is no success)."""
    good = [one.good for one in hosts]
    if good and all(good):
        return PROVED
    return PARTLY if any(good) else NOT_PROVED


def is_flag_data(data: Mapping[str, Any]) -> bool:
    """Return whether a phase's data is that of the flag module, whatever the phase was called."""
    return "rolled" in data or ("before" in data and "instances" in data)


def _of_host(host: str, entries: Sequence[Entry], needed: Sequence[str]) -> HostOutcome:
    phases: dict[str, dict[str, Any]] = {}
    troubles: list[tuple[str, dict[str, Any]]] = []
    for entry in entries:
        data = entry["data"]
        name = str(data.get("phase") or ("failure" if entry["type"] == "failure" else ""))
        if entry["type"] == "phase":
            seen = tidy(data.get("result"))
            phases[FLAG if is_flag_data(seen) else name] = seen
            if _failed(seen):
                troubles.append((name, seen))
        elif entry["type"] == "failure":
            troubles.append((name, {"msg": data.get("message"), **tidy(data.get("result"))}))
    for name, seen in troubles:
        sentence = f"{_message(seen)} (in: {name})" if name else _message(seen)
        if seen.get("unreachable"):
            return HostOutcome(host, UNREACHABLE, sentence, phases)
        if seen.get("undone"):
            return HostOutcome(host, UNDONE, sentence, phases)
    if troubles:
        name, seen = troubles[0]
        return HostOutcome(host, FAILED, f"{_message(seen)} (in: {name})", phases)
    missing = [name for name in needed if name not in phases]
    if missing:
        reached = f"its last recorded phase is '{list(phases)[-1]}'" if phases else "nothing was recorded for it"
        said = f"not proved: {reached}, '{missing[0]}' is missing; it became unreachable or dropped out"
        return HostOutcome(host, NO_ANSWER, said, phases)
    acting = _acting(phases, needed)
    changed = any(seen.get("changed") for name, seen in phases.items() if name in (FLAG, *acting))
    outcome = DONE if changed else UNCHANGED
    # what a scenario that leaves the flags alone did last tells how the host is now
    told = [phases[name].get("summary") for name in (FLAG, *ACTED, *reversed(acting)) if name in phases]
    return HostOutcome(host, outcome, str(next(filter(None, told), None) or WORDS[outcome]), phases)


def _acting(phases: Mapping[str, Any], needed: Sequence[str]) -> list[str]:
    return [name for name in phases if name not in needed and name not in ("lock", "unlock", "open", "close")]


def _failed(seen: Mapping[str, Any]) -> bool:
    answers = seen.get("answers")
    bad = isinstance(answers, Mapping) and any(answers.get(word) for word in ("fail", "unknown", "error"))
    return bool(seen.get("failed") or seen.get("unreachable") or bad)


def _message(seen: Mapping[str, Any]) -> str:
    text = " ".join(str(seen.get("msg") or seen.get("summary") or "failed without a message").split())
    text = text.removeprefix("Task failed: ")  # ansible-core 2.19 and later put it before their own sentences
    return text if len(text) <= 600 else text[:599] + "…"


def _once(*lists: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(str(item) for one in lists for item in one))
