# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What setting flags takes, decided from values alone: nothing here looks or acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.booleans import BooleanWords, read_input
from ..core.errors import InvalidInput, Refused
from ..platforms.base import Change
from .common import Reading, take_flag_names


@dataclass(frozen=True)
class Decision:
    """What one workload needs: raw values to declare, whether to roll, and why, in words for a person."""

    declare: Mapping[str, str]
    roll: bool
    reasons: tuple[str, ...]
    stopped: bool


def take_flags(given: Mapping[str, Any], known: Sequence[str]) -> dict[str, bool]:
    """Return the flags to set; raises InvalidInput for none, an unknown name, or a value that is no boolean."""
    if not given:
        raise InvalidInput("no flag is given", where="flags", hint="Give for instance flags: {MY_FLAG: false}.")
    if not known:
        raise InvalidInput("no known flag is given", where="known_flags", hint="List the flags the application has.")
    take_flag_names(known, (), "known_flags")
    names = take_flag_names(given, known, "flags")
    return {name: read_input(value, f"flags.{name}") for name, value in zip(names, given.values())}


def take_combinations(given: Sequence[Mapping[str, Any]], known: Sequence[str]) -> list[dict[str, bool]]:
    """Return the allowed combinations as booleans; raises InvalidInput as take_flags."""
    return [
        {
            name: read_input(value, "allowed_combinations")
            for name, value in zip(take_flag_names(one, known, "allowed_combinations"), one.values())
        }
        for one in given
    ]


def require_allowed(
    readings: Mapping[str, Reading],
    wanted: Mapping[str, bool],
    allowed: Sequence[Mapping[str, bool]],
    words: BooleanWords,
) -> None:
    """Raise Refused when, after the change, a workload's declared flags match none of the ``allowed`` combinations.

    A combination speaks of the flags it names only; a flag whose declared value is missing or unknown matches none.
    """
    for name, reading in readings.items():
        after = {flag: wanted.get(flag, words.read(one.value)) for flag, one in reading.declared.items()}
        if allowed and not any(all(after.get(flag) is value for flag, value in one.items()) for one in allowed):
            raise Refused(
                f"the combination {_told(after)} is not allowed; nothing was changed",
                where=f"workload '{name}'",
                hint=f"Allowed: {'; '.join(map(_told, allowed))}.",
            )


def _told(flags: Mapping[str, bool | None]) -> str:
    return ", ".join(f"{name}={_word(value)}" for name, value in sorted(flags.items()))


def _word(value: bool | None) -> str:
    return "unknown" if value is None else str(value).lower()


def decide(reading: Reading, wanted: Mapping[str, bool], words: BooleanWords) -> Decision:
    """Return what a workload needs so that every instance, and every later start, holds the wanted values.

    Declare what is declared otherwise, missing or no known word. Roll if and only if an instance holds another value,
    none or no known word, or if an earlier roll was killed halfway. A workload that does not run is declared only.
    """
    declare = {
        flag: words.write(value)
        for flag, value in wanted.items()
        if words.read(reading.declared[flag].value) is not value
    }
    reasons = [f"{flag} is declared {_raw(reading.declared[flag].value)}" for flag in declare]
    others = reading.others(wanted, words)
    reasons += [f"{instance.name} holds {flag}={_raw(raw)}" for instance, flag, raw in others]
    if reading.interrupted and not reading.instances:
        reasons.append("an earlier run had stopped it and was killed")
    stopped = not reading.instances and not reading.interrupted
    roll = bool(others) or (reading.interrupted and not reading.instances)
    return Decision(declare, roll, tuple(reasons), stopped)


def _raw(raw: str | None) -> str:
    return "(missing)" if raw is None else raw


def to_take_back(failed: Sequence[str], plans: Mapping[str, Sequence[Change]]) -> tuple[set[str], set[str]]:
    """Return (files, workloads) that go back when the ``failed`` ones do: all that share a changed file with them."""
    names, places = set(failed), set[str]()
    while True:
        more = {change.where for name in names for change in plans.get(name, ())}
        sharing = {name for name, changes in plans.items() if any(change.where in more for change in changes)}
        if more == places and sharing <= names:
            return places, names
        places, names = more, names | sharing


def diff_of(changes: Sequence[Change]) -> list[dict[str, str]]:
    """Return Ansible diff entries, one per place, the changed lines only; the same change twice is shown once."""
    shown: list[dict[str, str]] = []
    for change in changes:
        entry = {
            "before_header": change.where,
            "after_header": change.where,
            "before": change.before,
            "after": change.after,
        }
        if entry not in shown:
            shown.append(entry)
    return shown


def summary(
    wanted: Mapping[str, bool], readings: Mapping[str, Reading], words: BooleanWords, how: str, *, changed: bool
) -> str:
    """Return the one line of what holds now: "X=false held by 5 of 5 instances of web, worker; reload 0.8 s"."""
    total = sum(len(reading.instances) for reading in readings.values())
    other = sum(len({one.id for one, *dummy in reading.others(wanted, words)}) for reading in readings.values())
    flags = _told(wanted)
    already = "" if changed else "already "
    text = f"{flags} {already}held by {total - other} of {total} instances of {', '.join(readings)}"
    return f"{text}; {how}" if how else text
