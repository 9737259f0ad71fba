# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the flags of many workloads at once, and tell of them: what the steps of flags share."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.booleans import FALSE_WORDS, TRUE_WORDS, BooleanWords
from ..core.errors import InvalidInput, NotFound, Refused, RollbackError
from ..core.parallel import for_each
from ..platforms.base import Carrier, Declared, Instance, Platform
from ..platforms.registry import make

_FLAG_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Reading:
    """What one workload holds: per flag what is declared, and per instance (by its id) the raw value of each flag."""

    declared: Mapping[str, Declared]
    instances: tuple[Instance, ...]
    effective: Mapping[str, Mapping[str, str | None]]
    interrupted: bool = False

    def others(self, wanted: Mapping[str, bool], words: BooleanWords) -> list[tuple[Instance, str, str | None]]:
        """Return every (instance, flag, raw value) that is not the value wanted; missing and unknown words included."""
        return [
            (instance, flag, self.effective[instance.id][flag])
            for instance in self.instances
            for flag, value in wanted.items()
            if words.read(self.effective[instance.id][flag]) is not value
        ]


def take_words(given: Mapping[str, Any] | None) -> BooleanWords:
    """Return the application's words for true and false, those of the option ``boolean_words`` where given."""
    given = given or {}
    return BooleanWords(given.get("true") or TRUE_WORDS, given.get("false") or FALSE_WORDS)


def take_flag_names(names: Iterable[str], known: Sequence[str], where: str) -> list[str]:
    """Return the names; raises InvalidInput for one that is no variable's name or not among ``known`` (if given)."""
    listed = [str(name) for name in names]
    for name in listed:
        if not _FLAG_NAME.fullmatch(name):
            raise InvalidInput(
                f"'{name}' is no name of a flag",
                where=where,
                hint="Name it as the application's environment does; an inventory does so in dualwrite_flags.",
            )
        if known and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"Known are: {', '.join(known)}."
            raise InvalidInput(f"the flag '{name}' is not known", where=where, hint=hint)
    return listed


def make_platforms(workloads: Sequence[Mapping[str, Any]], words: BooleanWords) -> dict[str, Platform]:
    """Return the platform of each workload by its name.

    Raises InvalidInput when there is none, when a name comes twice, and as platforms.registry.make.
    """
    if not workloads:
        raise InvalidInput("no workload is given, so nothing could be read or changed", where="workloads")
    made: dict[str, Platform] = {}
    for workload in workloads:
        platform = make(workload, words)
        if platform.name in made:
            raise InvalidInput(f"the name '{platform.name}' comes twice", where="workloads")
        made[platform.name] = platform
    for platform in made.values():
        platform.meet([one for one in made.values() if one is not platform])
    return made


def require_identity(platforms: Mapping[str, Platform], expected: Mapping[str, Any]) -> None:
    """Raise Refused when the target is not who the inventory says, InvalidInput for a fact no platform tells."""
    for name, platform in platforms.items():
        facts = platform.identity()
        for fact, value in expected.items():
            if fact not in facts:
                raise InvalidInput(
                    f"'{fact}' is no fact of the target",
                    where="identity",
                    hint=f"Facts are: {', '.join(sorted(facts))}.",
                )
            if str(facts[fact]) != str(value):
                raise Refused(
                    f"this is not the target that was meant: its {fact} is '{facts[fact]}', expected '{value}'; "
                    "nothing was changed",
                    where=f"workload '{name}'",
                )


def read(platform: Platform, flags: Sequence[str]) -> Reading:
    """Return what one workload declares and holds; an instance that vanishes while it is read is left out."""
    declared = platform.declared(flags)
    instances: list[Instance] = []
    effective: dict[str, Mapping[str, str | None]] = {}
    for instance in platform.instances():
        with contextlib.suppress(NotFound):
            effective[instance.id] = platform.effective(instance, flags)
            instances.append(instance)
    return Reading(declared, tuple(instances), effective, platform.interrupted())


def read_all(
    platforms: Mapping[str, Platform], flags: Sequence[str]
) -> tuple[dict[str, Reading], dict[str, RollbackError]]:
    """Return (readings, errors) of all platforms, read in parallel, both by the workload's name."""
    return for_each(list(platforms), lambda name: read(platforms[name], flags))


def unlisted(platforms: Mapping[str, Platform], flags: Sequence[str]) -> list[Carrier]:
    """Return what holds one of the flags within the platforms' reach and is part of none of these workloads.

    Looking must never stop a change: what can't be looked through is left out.
    """
    by_reach = {platform.reach(): platform for platform in platforms.values() if platform.reach()}
    listed = _members(platforms)
    found: list[Carrier] = []
    for platform in by_reach.values():
        with contextlib.suppress(RollbackError):
            found += platform.carriers(flags)
    if any(one.id not in listed for one in found):
        listed |= _members(platforms)  # what was started while we looked
    return [one for one in found if one.id not in listed]


def _members(platforms: Mapping[str, Platform]) -> set[str]:
    members, dummy = for_each(list(platforms), lambda name: platforms[name].members())
    return set().union(*members.values())


def as_state(readings: Mapping[str, Reading]) -> dict[str, Any]:
    """Return readings as plain data: workload, flag, then declared, source and effective (by instance name)."""
    return {
        name: {
            flag: {
                "declared": declared.value,
                "source": declared.source,
                "effective": {one.name: reading.effective[one.id][flag] for one in reading.instances},
            }
            for flag, declared in reading.declared.items()
        }
        for name, reading in readings.items()
    }


def as_instances(readings: Mapping[str, Reading]) -> list[dict[str, Any]]:
    """Return every instance as plain data, with the raw values of the flags it holds."""
    return [
        {
            "workload": name,
            "id": one.id,
            "name": one.name,
            "role": one.role,
            "started": one.started,
            "flags": dict(reading.effective[one.id]),
        }
        for name, reading in readings.items()
        for one in reading.instances
    ]


def joined(errors: Mapping[str, RollbackError], evidence: Mapping[str, Any] | None = None) -> RollbackError:
    """Return one error that names every workload's; ``evidence`` is added to it.

    It is of the first one's class, and has its place and hint when it is the only one.
    """
    first = next(iter(errors.values()))
    told = {name: str(error) for name, error in errors.items()}
    more = {**first.evidence, **(evidence or {}), "errors": told}
    if len(errors) == 1:
        name = next(iter(errors))
        where = (
            first.where if name in first.where else f"workload '{name}'" + (f", {first.where}" if first.where else "")
        )
        return type(first)(first.what, where=where, hint=first.hint, evidence=more)
    sentences = " ".join(text if name in text else f"{name}: {text}" for name, text in told.items())
    return type(first)(f"{len(errors)} workloads failed. {sentences}", evidence=more)
