# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision matrix as one table: symptom -> ordered steps, urgency, reason. Pure data and its rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.errors import InvalidInput

#: the most urgent first
URGENCIES = ("immediate", "high", "medium", "low")
#: what a scenario is typed as: the playbook of the collection that runs it
PLAYBOOKS: Mapping[str, str] = {
    "disable_dual_write": "rollback_dual_write",
    "disable_strict_mode": "disable_strict_mode",
    "block_legacy_writes": "block_legacy_writes",
    "cleanup_test_data": "cleanup_test_data",
    "enable_dual_write": "enable_dual_write",
    "enable_strict_mode": "enable_strict_mode",
    "unblock_legacy_writes": "unblock_legacy_writes",
}
#: the scenarios that only take risk away and can be undone: what triage may run by itself
SAFE = ("disable_strict_mode", "disable_dual_write", "block_legacy_writes")
#: what the names of the scenarios begin with that raise the risk again
WAY_BACK = ("enable_", "unblock_")
#: a scenario -> those that say nothing more once it is done (legacy writes are blocked with dual-write off)
COVERS: Mapping[str, tuple[str, ...]] = {
    "disable_dual_write": ("disable_strict_mode",),
    "block_legacy_writes": ("disable_dual_write", "disable_strict_mode"),
}
_SYMPTOM = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Move:
    """One step of a row: a scenario, or what a person does; with ``if_still`` the symptom is looked at again first."""

    scenario: str = ""
    person: str = ""
    if_still: bool = False


@dataclass(frozen=True)
class Row:
    """One row of the matrix."""

    symptom: str
    label: str
    urgency: str
    reason: str
    moves: tuple[Move, ...]


MATRIX: tuple[Row, ...] = (
    Row(
        "requests_failing",
        "Requests fail (500 errors)",
        "immediate",
        "In strict mode a failure of the legacy side fails its request",
        (Move("disable_strict_mode"), Move("disable_dual_write", if_still=True)),
    ),
    Row(
        "latency_degraded",
        "Performance is degraded (more than twice the latency)",
        "high",
        "Each request pays for the second write",
        (Move("disable_dual_write"),),
    ),
    Row(
        "data_inconsistent",
        "The two models hold different data",
        "high",
        "Each further dual-write spreads the difference",
        (Move("disable_dual_write"), Move(person="Find out which model is right, and why they differ")),
    ),
    Row(
        "duplicate_mappings",
        "One row is mapped more than once",
        "medium",
        "Dual-write makes more of them as long as it is on",
        (
            Move("disable_dual_write"),
            Move(person="Clean up the duplicate mappings"),
            Move("enable_dual_write"),
        ),
    ),
    Row(
        "orphans_increasing",
        "Mappings to rows that do not exist become more",
        "medium",
        "Something deletes on one side only",
        (Move(person="Find the root cause, then clean up the orphan mappings"),),
    ),
    Row(
        "dual_write_failing",
        "Dual-writes fail and are logged, requests succeed",
        "low",
        "Without strict mode that is expected, and the two models drift apart",
        (Move(person="Watch the number of failures, and find out why the legacy side fails"),),
    ),
    Row(
        "test_data_left",
        "Test data is left",
        "low",
        "It harms nobody at once",
        (Move("cleanup_test_data"),),
    ),
)


def complete(own: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Return the shipped rows with an inventory's ``own`` added; one of a shipped symptom takes its place.

    A row is ``{symptom, label, urgency, reason, steps: [{scenario or person, if_still}]}``. Raises InvalidInput, naming
    the row, for anything else.
    """
    rows = {row.symptom: row for row in MATRIX}
    named: set[str] = set()
    for number, given in enumerate(own):
        row = _row(given, f"matrix, row {number + 1}")
        if row.symptom in named:
            raise InvalidInput(
                f"the symptom '{row.symptom}' has two rows", where="matrix", hint="Put all its steps into one."
            )
        named.add(row.symptom)
        rows[row.symptom] = row
    return list(rows.values())


def _row(given: Mapping[str, Any], where: str) -> Row:
    symptom = str(given.get("symptom") or "")
    if not _SYMPTOM.fullmatch(symptom):
        raise InvalidInput(
            f"'{symptom}' is no name of a symptom", where=where, hint="Use small letters, digits and underscores."
        )
    where = f"{where} ({symptom})"
    urgency = str(given.get("urgency") or "")
    if urgency not in URGENCIES:
        raise InvalidInput(f"there is no urgency '{urgency}'", where=where, hint=f"Give one of {', '.join(URGENCIES)}.")
    moves = tuple(_move(one, where) for one in given.get("steps") or ())
    if not moves:
        raise InvalidInput("it says of no step what to do", where=where, hint="Give steps.")
    return Row(symptom, str(given.get("label") or symptom), urgency, str(given.get("reason") or ""), moves)


def _move(given: Mapping[str, Any], where: str) -> Move:
    scenario, person = str(given.get("scenario") or ""), str(given.get("person") or "")
    if bool(scenario) == bool(person):
        raise InvalidInput("a step is either a scenario or what a person does", where=where)
    if scenario and scenario not in PLAYBOOKS:
        raise InvalidInput(
            f"there is no scenario '{scenario}'", where=where, hint=f"Scenarios are: {', '.join(PLAYBOOKS)}."
        )
    return Move(scenario, person, bool(given.get("if_still")))
