# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which drills there are: the runbook's four, one per quarter, and those that an inventory adds or changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from ..core.errors import InvalidInput
from .calendar import QUARTERS, quarter_of

SCENARIO, AWAIT = "scenario", "await"
#: name -> what is rehearsed, and which flags the rehearsal starts from
SHIPPED: Mapping[str, Mapping[str, Any]] = {
    "disable_dual_write": {"quarter": 1, "flags": {"dual_write": True}},
    "disable_strict_mode": {"quarter": 2, "flags": {"dual_write": True, "strict_mode": True}},
    "cleanup_test_data": {"quarter": 3, "flags": {"dual_write": False}},
    "restore_backup": {"quarter": 4, "flags": {"dual_write": False}},
}
DEFAULTS: Mapping[str, Any] = {
    "quarter": 0,
    "response": SCENARIO,
    "flags": {},
    "set_up": [],
    "put_back": [],
    "steady": [],
    "healed": [],
    "timeout": 300,
    "hold": 3,
    "budgets": {},
    "interval": 0,
    "afterwards": [],
    "unusable": "",
}


def complete(given: Mapping[str, Mapping[str, Any] | None]) -> dict[str, dict[str, Any]]:
    """Return every exercise by name, whole: the shipped ones, with what the inventory says of each laid over it.

    Raises InvalidInput for what can't be an exercise.
    """
    found = {}
    for name in [*SHIPPED, *(one for one in given if one not in SHIPPED)]:
        one = {**DEFAULTS, **SHIPPED.get(name, {}), **(given.get(name) or {})}
        for key in one:
            if key not in DEFAULTS and key != "scenario":
                raise InvalidInput(
                    f"an exercise has no '{key}'", where=f"exercise {name}", hint=f"It has {', '.join(DEFAULTS)}."
                )
        if one["response"] not in (SCENARIO, AWAIT):
            raise InvalidInput(
                f"the response is '{one['response']}'", where=f"exercise {name}", hint="It is scenario or await."
            )
        if one["response"] == AWAIT and not one["healed"]:
            raise InvalidInput(
                "a drill that waits for somebody else needs probes that tell when all is well again",
                where=f"exercise {name}",
                hint="Give healed.",
            )
        if int(one["quarter"] or 0) not in (0, *QUARTERS):
            raise InvalidInput(f"there is no quarter {one['quarter']}", where=f"exercise {name}")
        one["quarter"] = int(one["quarter"] or 0)
        one["scenario"] = one.get("scenario") or ("" if one["response"] == AWAIT else name)
        found[name] = {**one, "name": name}
    return found


def choose(given: str, exercises: Mapping[str, Mapping[str, Any]], today: date) -> dict[str, Any]:
    """Return the exercise that ``given`` names (its name, its scenario, or a quarter as ``q3``), else the quarter's.

    Raises InvalidInput when there is none, or more than one.
    """
    word = given.strip().lower()
    if word in exercises:
        return dict(exercises[word])
    asked = word or f"q{quarter_of(today)}"
    if len(asked) == 2 and asked[0] == "q" and asked[1].isdigit():
        found = [one for one in exercises.values() if one["quarter"] == int(asked[1])]
    else:
        found = [one for one in exercises.values() if one["scenario"] == asked]
    if len(found) != 1:
        names = ", ".join(
            f"{one['name']} (q{one['quarter']})" if one["quarter"] else one["name"] for one in exercises.values()
        )
        several = " and ".join(one["name"] for one in found)
        raise InvalidInput(
            f"'{asked}' names more than one drill: {several}" if found else f"there is no drill '{asked[:60]}'",
            where="dualwrite_drill",
            hint=f"Drills are: {names}.",
        )
    return dict(found[0])


def named_flags(wanted: Mapping[str, bool], names: Mapping[str, str]) -> dict[str, bool]:
    """Return the wanted flags by the application's own names, of short ones such as ``strict_mode`` or of those.

    Raises InvalidInput for a flag that the inventory does not name.
    """
    found = {}
    for flag, value in wanted.items():
        name = names.get(flag, flag)
        if name not in names.values():
            raise InvalidInput(
                f"the drill sets the flag '{flag}', which the inventory does not name",
                where="dualwrite_flags",
                hint="Name it there, or give the exercise other flags.",
            )
        if not isinstance(value, bool):
            raise InvalidInput(f"the flag '{flag}' is to be '{value}'", where="flags", hint="Give true or false.")
        found[name] = value
    return found
