# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run is given at its start: survey answers, extra variables, the labels of an alert. Never to be evaluated.

Ansible evaluates a template in an extra variable whenever something reads the variable, on the controller and with
all its rights. So the values are looked at raw, before anything has read them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..core.booleans import BooleanWords
from ..core.errors import InvalidInput

#: what makes Ansible evaluate a text; the last one lets a text choose delimiters of its own
MARKS = ("{{", "{%", "{#", "#jinja2:")
#: connection variables: whoever may give these may run anything on the controller as it is
PASSED_OVER = "ansible_"
SHOWN = 60


def _text(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _words(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def _number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and math.isfinite(float(value)) and float(value) >= 0
    except (TypeError, ValueError):
        return False


def _truth(value: Any) -> bool:
    return isinstance(value, bool) or BooleanWords().read(str(value)) is not None


TEXT, WORDS, NUMBER, TRUTH = "a text", "a text or a list of texts", "a number, 0 or more", "true or false"
_IS: dict[str, Callable[[Any], bool]] = {TEXT: _text, WORDS: _words, NUMBER: _number, TRUTH: _truth}
#: what an operator is asked for, by kind; a list for a text, or a word for a number, would be made into one silently
KINDS = {
    **dict.fromkeys(
        (
            "dualwrite_archive",
            "dualwrite_archive_sha256",
            "dualwrite_backup",
            "dualwrite_backup_before",
            "dualwrite_confirm",
            "dualwrite_drill",
            "dualwrite_drill_confirm",
            "dualwrite_operator",
            "dualwrite_reason",
            "dualwrite_replaced",
            "dualwrite_takeover",
            "dualwrite_ticket",
        ),
        TEXT,
    ),
    **dict.fromkeys(("dualwrite_symptoms",), WORDS),
    **dict.fromkeys(
        (
            "dualwrite_budget",
            "dualwrite_cleanup_timeout",
            "dualwrite_hold",
            "dualwrite_look_again",
            "dualwrite_restore_timeout",
            "dualwrite_symptom_window",
            "dualwrite_timeout",
            "dualwrite_trend",
            "dualwrite_verify_timeout",
            "dualwrite_watch",
        ),
        NUMBER,
    ),
    **dict.fromkeys(
        (
            "dualwrite_accept_divergence",
            "dualwrite_cleanup_while_on",
            "dualwrite_drill_recover",
            "dualwrite_execute",
        ),
        TRUTH,
    ),
}


def require_plain(answers: Mapping[str, Any]) -> int:
    """Return how many answers were looked at; raises InvalidInput for the first that may not be used.

    ``answers`` are the extra variables of a run as they were given, no template in them evaluated. No value is
    repeated in the error, since nobody knows what stands in it.
    """
    looked_at = {str(name): value for name, value in answers.items() if not str(name).startswith(PASSED_OVER)}
    for name, value in looked_at.items():
        for place, text in [(name, name), *_texts(name, value)]:
            found = next((mark for mark in MARKS if mark in text), None)
            if found:
                raise InvalidInput(
                    f"the answer holds '{found}', the mark of a template, and an answer is never evaluated",
                    where=_short(place),
                    hint=f"Nothing was done. Write it without {', '.join(MARKS)}; a template belongs in the inventory.",
                )
    for name, kind in KINDS.items():
        if name in looked_at and not _IS[kind](looked_at[name]):
            raise InvalidInput(
                f"the answer must be {kind}, and is {_kind_of(looked_at[name])}",
                where=name,
                hint="Nothing was done. Correct it and run the same command again.",
            )
    return len(looked_at)


def _texts(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """Walk through every text of a value with its place, the names of keys too."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield place, str(name)
            yield from _texts(f"{place}.{name}", one)
    elif isinstance(value, (list, tuple, set)):
        for number, one in enumerate(value):
            yield from _texts(f"{place}[{number}]", one)
    else:
        yield place, str(value)


def _short(place: str) -> str:
    """Return the place as text that can be shown, a hostile name cut and without its marks."""
    for mark in MARKS:
        place = place.replace(mark, "?")
    return "".join(char for char in place if char.isprintable())[:SHOWN]


def _kind_of(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return {type(None): "nothing", bool: "true or false", str: "a text"}.get(type(value), "of another kind")
