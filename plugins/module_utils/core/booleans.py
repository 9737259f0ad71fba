# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words an application takes for true and false."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .errors import InvalidInput

TRUE_WORDS = ("true", "1", "yes", "on")
FALSE_WORDS = ("false", "0", "no", "off")


class BooleanWords:
    """How one application reads a boolean from text (``"False"`` and ``"0"`` are not what ``bool()`` says)."""

    def __init__(self, true: Sequence[str] = TRUE_WORDS, false: Sequence[str] = FALSE_WORDS) -> None:
        """Take the accepted words, the canonical one first; raises InvalidInput for an empty list or an overlap."""
        self.true = tuple(word.lower() for word in true)
        self.false = tuple(word.lower() for word in false)
        self.canonical = {True: true[0] if true else "", False: false[0] if false else ""}
        if not self.true or not self.false or set(self.true) & set(self.false):
            raise InvalidInput(
                "the words for true and for false must both be given and must differ",
                where="boolean_words",
                hint="Give for instance boolean_words: {true: ['true', '1'], false: ['false', '0']}.",
            )

    def read(self, text: str | None) -> bool | None:
        """Return what the application would make of ``text``; None when it is missing or no accepted word."""
        if text is None:
            return None
        word = text.strip().lower()
        if word in self.true:
            return True
        return False if word in self.false else None

    def write(self, value: bool) -> str:
        """Return the canonical word for a boolean."""
        return self.canonical[value]


def read_input(value: Any, where: str) -> bool:
    """Return the boolean that an operator gave (a YAML boolean or a word of it).

    Raises InvalidInput for anything else, an empty text and a number other than 0 and 1 included.
    """
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in TRUE_WORDS:
        return True
    if text in FALSE_WORDS:
        return False
    raise InvalidInput(f"'{value}' is not a boolean", where=where, hint="Give true or false.")
