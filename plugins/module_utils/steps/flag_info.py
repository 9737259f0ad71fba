# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read flags: what is declared and where, what every instance holds, and whether the two differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.booleans import BooleanWords
from ..core.result import Timings, result
from .common import Reading, as_instances, as_state, joined, make_platforms, read_all, take_flag_names, take_words


def read_flags(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Return the state of ``flags`` (names) in all workloads; nothing is ever changed.

    Raises InvalidInput for bad options. When a workload can't be read, its error is raised with the others' state as
    evidence.
    """
    timings = Timings()
    words = take_words(params.get("boolean_words"))
    flags = take_flag_names(params["flags"], (), "flags")
    platforms = make_platforms(params["workloads"], words)
    with timings.phase("read"):
        readings, errors = read_all(platforms, flags)
    state = as_state(readings)
    for name, reading in readings.items():
        for flag in flags:
            state[name][flag].update(_judged(reading, flag, words))
    drifting = [f"{flag} of {name}" for name in state for flag in flags if state[name][flag]["drift"]]
    found = result(
        changed=False,
        summary=_summary(readings, flags, drifting),
        timings=timings,
        workloads=state,
        instances=as_instances(readings),
        identity={name: platforms[name].identity() for name in readings},
        drift=bool(drifting),
        notes=list(dict.fromkeys(note for name in readings for note in platforms[name].notes())),
    )
    if errors:
        raise joined(errors, {name: value for name, value in found.items() if name not in ("changed", "summary")})
    return found


def _judged(reading: Reading, flag: str, words: BooleanWords) -> dict[str, Any]:
    """Return what a flag's values mean: its boolean (None is unknown), the places that lose, and whether it drifts."""
    declared = reading.declared[flag]
    value = words.read(declared.value)
    held = [words.read(reading.effective[one.id][flag]) for one in reading.instances]
    return {
        "value": value,
        "shadowed": list(declared.shadowed),
        "drift": any(one is not value or one is None for one in held),
        "running": bool(held),
    }


def _summary(readings: Mapping[str, Reading], flags: list[str], drifting: list[str]) -> str:
    instances = sum(len(reading.instances) for reading in readings.values())
    text = f"{len(flags)} flags read in {instances} instances of {', '.join(readings)}"
    return f"{text}; declared and effective differ: {', '.join(drifting)}" if drifting else text
