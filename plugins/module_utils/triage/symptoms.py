# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: what evidence, of one host or of many, and an operator's word say about a symptom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.evidence import FAIL, PASS, UNKNOWN
from .matrix import Row

PRESENT, ABSENT, NOT_MEASURED = "present", "absent", "not measured"


def judged(row: Row, evidence: Sequence[Mapping[str, Any]], stated: bool, alerted: bool = False) -> dict[str, Any]:
    """Return what is known of one symptom: state, how it is known, and the evidence.

    What an operator states is present, also where it is measured to be absent: that is a ``contradiction``, to be told.
    What only an alert says is what is measured, and unknown when nothing measures it.
    """
    answers = [one.get("answer") for one in evidence]
    if FAIL in answers:
        measured = PRESENT
    elif not answers:
        measured = NOT_MEASURED
    else:
        measured = ABSENT if all(one == PASS for one in answers) else UNKNOWN
    state = UNKNOWN if alerted and measured == NOT_MEASURED else measured
    return {
        "symptom": row.symptom,
        "label": row.label,
        "urgency": row.urgency,
        "state": PRESENT if stated else state,
        "measured": measured,
        "stated": stated,
        "alerted": alerted,
        "contradiction": (stated or alerted) and measured == ABSENT,
        "evidence": list(evidence),
    }


def add_found(seen: dict[str, list[dict[str, Any]]], found: Mapping[str, Any]) -> list[str]:
    """Add to ``seen`` (symptom -> evidence) what hosts have measured, and return the hosts that have told nothing.

    ``found`` is host -> what this module returned there; a result without ``symptoms`` is one of a silent host.
    """
    silent = []
    for host, measured in found.items():
        symptoms = measured.get("symptoms") if isinstance(measured, Mapping) else None
        if not isinstance(symptoms, list):
            silent.append(str(host))
            continue
        for symptom in symptoms:
            if isinstance(symptom, Mapping) and symptom.get("symptom") in seen:
                told = [item for item in symptom.get("evidence") or [] if isinstance(item, Mapping)]
                seen[str(symptom["symptom"])] += [{**item, "host": str(host)} for item in told]
    return silent
