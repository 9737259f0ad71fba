# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: symptoms and plan in words, one line for a log and a page of lines for the operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.evidence import ERROR, FAIL, PASS, UNKNOWN
from .symptoms import NOT_MEASURED, PRESENT

_SHOWN = 200
_ANSWERS = {FAIL: "seen", ERROR: "no answer", UNKNOWN: "unknown", PASS: "not seen"}


def summary_of(symptoms: Sequence[Mapping[str, Any]], plan: Sequence[Mapping[str, Any]], silent: Sequence[str]) -> str:
    """Return urgency, symptoms, and what is not known, on one line."""
    present = [one["symptom"] for one in symptoms if one["state"] == PRESENT]
    parts = []
    if present:
        steps = "1 step" if len(plan) == 1 else f"{len(plan)} steps"
        parts.append(f"{str(plan[0]['urgency']).upper()}: {', '.join(present)}; {steps}")
    elif any(one["measured"] != NOT_MEASURED for one in symptoms):
        parts.append("no symptom is seen")
    else:
        parts.append("nothing was measured and nothing stated")
    for words, names in (
        ("could not be measured", [one["symptom"] for one in symptoms if one["state"] == UNKNOWN]),
        ("stated, but measured to be absent", _contradictions(symptoms, "stated")),
        ("alerted, but measured to be absent", _contradictions(symptoms, "alerted")),
        ("hosts that could not be asked", silent),
    ):
        if names:
            parts.append(f"{words}: {', '.join(names)}")
    return "; ".join(parts)


def lines_of(symptoms: Sequence[Mapping[str, Any]], plan: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return symptoms with their evidence, and the plan with its commands, as lines for an operator."""
    lines = []
    for one in symptoms:
        if one["state"] != NOT_MEASURED:
            how = "stated" if one["stated"] else "alerted" if one["alerted"] else "measured"
            how += " and measured" if how == "alerted" and one["state"] == PRESENT else ""
            how += ", BUT MEASURED TO BE ABSENT" if one["contradiction"] else ""
            lines.append(f"{str(one['state']).upper():<8} {one['symptom']} ({how}): {one['label']}")
            lines += [_evidence(item) for item in one["evidence"] if one["contradiction"] or _says_more(item)]
    for step in plan:
        still = f", only if there is still {' or '.join(step['only_if_still'])}" if step["only_if_still"] else ""
        what = step["scenario"] or f"by a person: {step['person']}"
        lines.append(f"{step['number']}. [{step['urgency']}] {what}{still}")
        if step["reason"]:
            lines.append(f"   because: {step['reason']} ({', '.join(step['symptoms'])})")
        if step["command"]:
            lines.append(f"   $ {step['command']}")
    return lines


def _contradictions(symptoms: Sequence[Mapping[str, Any]], said: str) -> list[str]:
    """Return the symptoms that are ``stated`` or, if not, ``alerted``, and that are measured to be absent."""
    by_person = said == "stated"
    return [one["symptom"] for one in symptoms if one["contradiction"] and bool(one["stated"]) == by_person]


def _says_more(item: Mapping[str, Any]) -> bool:
    """Return whether an answer says more than its symptom's state: no pass, or one of a few seconds only."""
    return item["answer"] != PASS or _over(item) is not None


def _over(item: Mapping[str, Any]) -> float | None:
    """Return the seconds between the two looks of a value that was compared with itself."""
    extra = item.get("extra")
    return extra.get("over") if isinstance(extra, Mapping) else None


def _evidence(item: Mapping[str, Any]) -> str:
    place = ", ".join(str(item[key]) for key in ("host", "where") if item.get(key))
    detail = " ".join(str(item.get("detail", "")).split())[:_SHOWN]
    over = _over(item)
    detail += "" if over is None else f", over {over} s"
    answer = _ANSWERS.get(str(item["answer"]), str(item["answer"]))
    return f"         {answer}: '{item.get('probe')}'{f' ({place})' if place else ''}: {detail}"
