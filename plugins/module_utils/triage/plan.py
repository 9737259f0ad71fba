# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make one ordered plan of all symptoms that are there: no step twice, the most urgent first, never back by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from .matrix import COVERS, SAFE, URGENCIES, WAY_BACK, Move, Row


@dataclass
class Step:
    """One step of the plan, and for which symptoms it is done.

    ``look_again`` names the symptoms of which at least one must still be there when its turn comes (empty: it is done
    in any case), ``runs`` says whether triage may run it by itself.
    """

    scenario: str
    person: str
    urgency: str
    symptoms: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    look_again: list[str] = field(default_factory=list)
    runs: bool = False


def make_plan(rows: Sequence[Row], present: Collection[str]) -> list[Step]:
    """Return the steps for the symptoms ``present``.

    The most urgent symptom's steps come first, equally urgent ones in the order of the matrix. A scenario stands once,
    for all symptoms that want it, unconditional when one of them wants it in any case; a scenario that another,
    unconditional one covers is left out. What comes after a person's work, and what raises the risk again (the way
    back of a scenario), is never run by triage; the ways back come last.
    """
    wanted = sorted((row for row in rows if row.symptom in present), key=lambda row: URGENCIES.index(row.urgency))
    steps: dict[str, Step] = {}
    for row, move, waits in _moves(wanted):
        step = steps.get(move.scenario or move.person)
        if step is None:
            step = Step(move.scenario, move.person, row.urgency, look_again=[row.symptom] if move.if_still else [])
            steps[move.scenario or move.person] = step
        elif not move.if_still:
            step.look_again = []
        elif step.look_again:
            step.look_again.append(row.symptom)
        step.runs = step.runs or (move.scenario in SAFE and not waits)
        _add(step, [row.symptom], [row.reason])
    for step in list(steps.values()):
        if step.runs and not step.look_again:
            for name in COVERS.get(step.scenario, ()):
                less = steps.pop(name, None)
                if less is not None:
                    step.urgency = min(step.urgency, less.urgency, key=URGENCIES.index)
                    _add(step, less.symptoms, less.reasons)
    return sorted(steps.values(), key=lambda step: (_is_way_back(step), URGENCIES.index(step.urgency)))


def _moves(rows: Sequence[Row]) -> Iterator[tuple[Row, Move, bool]]:
    """Walk through all moves: row, move, and whether a person's work comes before it."""
    for row in rows:
        waits = False
        for move in row.moves:
            yield row, move, waits
            waits = waits or bool(move.person)


def _is_way_back(step: Step) -> bool:
    return step.scenario.startswith(WAY_BACK)


def _add(step: Step, symptoms: Sequence[str], reasons: Sequence[str]) -> None:
    step.symptoms = list(dict.fromkeys([*step.symptoms, *symptoms]))
    step.reasons = list(dict.fromkeys([*step.reasons, *filter(None, reasons)]))
