# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: what was seen + what is expected -> an answer and the sentence that says why.

Nothing here looks at the world or at a clock. Missing values, empty results and nothing to compare with are
``unknown``, and unknown never passes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from ..core.booleans import BooleanWords
from ..core.evidence import ERROR, FAIL, PASS, UNKNOWN

#: stands for "the value is not there", which is not the same as a null
MISSING = object()


@dataclass(frozen=True)
class Answer:
    """One of the four answers, why, and whether looking again can still change it (``final``)."""

    answer: str
    detail: str
    final: bool = False


def worst(answers: Sequence[Answer]) -> Answer:
    """Return the answer of several findings: error before fail before unknown before pass, details joined.

    No finding at all is unknown.
    """
    if not answers:
        return Answer(UNKNOWN, "nothing was looked at")
    for kind in (ERROR, FAIL, UNKNOWN):
        found = [one for one in answers if one.answer == kind]
        if found:
            return Answer(kind, "; ".join(one.detail for one in found), any(one.final for one in found))
    return Answer(PASS, "; ".join(one.detail for one in answers if one.detail))


def number(value: Any) -> Decimal | None:
    """Return ``value`` (number or numeric text) as a finite decimal; None when it is none. A boolean is no number."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        decimal = Decimal(str(value).strip())
    except (InvalidOperation, ValueError):
        return None
    return decimal if decimal.is_finite() else None


def same(expected: Any, seen: Any) -> bool:
    """Return whether a seen value is the expected one.

    Numbers are compared as numbers also when one of them is text (a templated option is text), booleans also with
    the texts "true" and "false"; a boolean never equals a number.
    """
    if isinstance(expected, bool) or isinstance(seen, bool):
        return str(expected).strip().lower() == str(seen).strip().lower()
    if isinstance(expected, (Mapping, list)) or isinstance(seen, (Mapping, list)):
        return bool(expected == seen)
    left, right = number(expected), number(seen)
    if left is not None and right is not None:
        return left == right
    return expected is seen if expected is None or seen is None else str(expected) == str(seen)


def show(value: Any, limit: int = 80) -> str:
    """Return a value as a person reads it in a sentence, cut to ``limit`` characters."""
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else "null" if value is None else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def equal(name: str, expected: Any, seen: Any) -> Answer:
    """Judge one named value; MISSING is unknown."""
    if seen is MISSING:
        return Answer(UNKNOWN, f"{name} is missing")
    if same(expected, seen):
        return Answer(PASS, f"{name} is {show(seen)}")
    return Answer(FAIL, f"{name} is {show(seen)} instead of {show(expected)}")


def boolean(name: str, expected: bool, seen: Any, words: BooleanWords) -> Answer:
    """Judge a boolean that may be a text in the application's words; no accepted word is unknown."""
    if seen is MISSING or seen is None:
        return Answer(UNKNOWN, f"{name} is missing")
    value = seen if isinstance(seen, bool) else words.read(str(seen))
    if value is None:
        return Answer(UNKNOWN, f"{name} is '{show(seen, 40)}' (no boolean word)")
    if value is expected:
        return Answer(PASS, f"{name} is {show(value)}")
    return Answer(FAIL, f"{name} is {show(value)} instead of {show(expected)}")


def between(name: str, seen: Any, lowest: Any = None, highest: Any = None, *, final_above: bool = False) -> Answer:
    """Judge a number against a lowest and a highest allowed value; no number, NaN and Inf are unknown.

    ``final_above`` says that a value above ``highest`` can't come down again (a count since a time).
    """
    if lowest is None and highest is None:
        return Answer(UNKNOWN, f"{name} is {show(seen)}, and nothing is expected of it")
    value = number(seen)
    if value is None or not math.isfinite(float(value)):
        return Answer(UNKNOWN, f"{name} is {show(seen)}, which is no number")
    if lowest is not None and value < Decimal(str(lowest)):
        return Answer(FAIL, f"{name} is {show(seen)}, below {show(lowest)}")
    if highest is not None and value > Decimal(str(highest)):
        return Answer(FAIL, f"{name} is {show(seen)}, above {show(highest)}", final_above)
    return Answer(PASS, f"{name} is {show(seen)}")


def changed(name: str, seen: Any, baseline: Any, expected: Any) -> Answer:
    """Judge how a number moved against its baseline: ``none``, ``increase`` or ``{min, max}`` of the difference.

    Without a baseline there is nothing to compare: unknown. A value that was not to move and did is final.
    """
    if baseline is None:
        return Answer(UNKNOWN, f"{name} is {show(seen)}; nothing to compare with yet")
    if expected == "none" and not (same(baseline, seen) or number(seen) is not None):
        return Answer(FAIL, f"{name} changed from {show(baseline)} to {show(seen)}", True)
    after, before = number(seen), number(baseline)
    if after is None or before is None:
        if expected == "none":
            return Answer(PASS, f"{name} stayed {show(seen)}")
        return Answer(UNKNOWN, f"{name} is {show(seen)}, which is no number")
    moved = after - before
    words = f"{name} went from {show(baseline)} to {show(seen)} ({moved:+f})"
    if expected == "none":
        return Answer(PASS, f"{name} stayed {show(seen)}") if moved == 0 else Answer(FAIL, words, True)
    if expected == "increase":
        return Answer(PASS, words) if moved > 0 else Answer(FAIL, f"{words}, which is no increase")
    verdict = between("the change", moved, expected.get("min"), expected.get("max"))
    return Answer(verdict.answer, words if verdict.answer == PASS else f"{words}: {verdict.detail}")


def ratio(name: str, seen: Any, baseline: Any, lowest: Any, highest: Any) -> Answer:
    """Judge a number as a multiple of its baseline; a baseline of 0 or no number is unknown."""
    value, base = number(seen), number(baseline)
    if value is None:
        return Answer(UNKNOWN, f"{name} is {show(seen)}, which is no number")
    if base is None or base == 0:
        return Answer(UNKNOWN, f"{name} is {show(seen)}, and its baseline {show(baseline)} is nothing to compare with")
    multiple = value / base
    verdict = between("the ratio", multiple, lowest, highest)
    words = f"{name} is {show(seen)}, {float(multiple):.2f} times its baseline {show(baseline)}"
    limits = " and ".join(
        text
        for text in (
            f"at least {show(lowest)}" if lowest is not None else "",
            f"at most {show(highest)}" if highest is not None else "",
        )
        if text
    )
    return Answer(verdict.answer, words if verdict.answer == PASS else f"{words}; allowed is {limits}")


def pattern_seen(expected: Any, matched: int, lines: int, alive: bool | None) -> Answer:
    """Judge the log lines since a time: ``absent``, ``present`` or ``{min, max}`` matches.

    ``lines`` were read, ``matched`` of them match. ``alive`` says whether the life sign was seen (None: none was asked
    for, then any line is one). Silence of a log that shows no life is unknown.
    """
    found = f"{matched} of {lines} lines match"
    lowest = {"absent": None, "present": 1}.get(expected) if isinstance(expected, str) else expected.get("min")
    highest = {"absent": 0, "present": None}.get(expected) if isinstance(expected, str) else expected.get("max")
    if highest is not None and matched > highest:
        return Answer(FAIL, f"{found}, allowed are {highest}", True)
    if lowest is not None and matched < lowest:
        if not lines:
            return Answer(UNKNOWN, "no line was read")
        return Answer(FAIL, f"{found}, expected are at least {lowest}")
    if alive is False:
        return Answer(UNKNOWN, f"{found}, but no line matches alive_pattern: this silence proves nothing")
    if lines == 0:
        return Answer(UNKNOWN, "no line was read: this silence proves nothing")
    return Answer(PASS, found)
