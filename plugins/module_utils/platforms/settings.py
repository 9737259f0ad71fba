# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a workload's options: each of its type, and an error that names workload and option."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.booleans import read_input
from ..core.errors import InvalidInput


class Settings:
    """The options of one workload. Every getter raises InvalidInput when the value is not of its type."""

    def __init__(self, workload: str, given: Mapping[str, Any], known: Mapping[str, str]) -> None:
        """Refuse an option that is not in ``known`` (name to meaning); a value of None counts as not given."""
        self.workload = workload
        self.given = {name: value for name, value in given.items() if value is not None}
        for name in self.given:
            if name not in known:
                raise self._wrong(name, "is not known", f"The options are: {', '.join(sorted(known))}.")

    def text(self, name: str, default: str | None = None, *, one_of: Sequence[str] = ()) -> str:
        """Return a text; without a default the option is required."""
        value = self.given.get(name, default)
        if value is None or value == "":
            raise self._wrong(name, "is missing", "Give it in the workload's options.")
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            raise self._wrong(name, "is not a text")
        if one_of and str(value) not in one_of:
            raise self._wrong(name, f"is '{value}'", f"Give one of: {', '.join(one_of)}.")
        return str(value)

    def optional(self, name: str) -> str | None:
        """Return a text, or None when it is not given."""
        return self.text(name) if name in self.given else None

    def boolean(self, name: str, default: bool) -> bool:
        """Return a boolean."""
        return read_input(self.given.get(name, default), f"workload '{self.workload}', option '{name}'")

    def seconds(self, name: str, default: float | None) -> float | None:
        """Return seconds, 0 or more; the default when it is not given."""
        value = self.given.get(name, default)
        if value is None:
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = -1.0
        if isinstance(value, bool) or not 0 <= number < 86400:
            raise self._wrong(name, f"is '{value}'", "Give seconds.")
        return number

    def pattern(self, name: str) -> re.Pattern[str] | None:
        """Return a compiled regular expression, None when it is not given."""
        text = self.optional(name)
        try:
            return re.compile(text) if text else None
        except re.error as error:
            raise self._wrong(name, f"is no regular expression: {error}") from error

    def signal(self, name: str, default: str) -> signal.Signals:
        """Return a signal given by its name, with or without SIG."""
        text = self.text(name, default).upper()
        try:
            return signal.Signals["SIG" + text.replace("SIG", "", 1)]
        except KeyError as error:
            raise self._wrong(name, f"is '{text}'", "Give the name of a signal, e.g. HUP.") from error

    def listed(self, name: str, default: Sequence[str], one_of: Sequence[str]) -> tuple[str, ...]:
        """Return a list of words out of ``one_of``, not empty and without repetition."""
        value = self.given.get(name, list(default))
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, (list, tuple)) or not words or len(set(map(str, words))) < len(words):
            raise self._wrong(name, "is not a list of different words", f"Give one or more of: {', '.join(one_of)}.")
        if any(word not in one_of for word in words):
            raise self._wrong(name, f"is '{', '.join(map(str, words))}'", f"Give one or more of: {', '.join(one_of)}.")
        return tuple(words)

    def texts(self, name: str) -> list[str]:
        """Return a list of texts, empty when it is not given; one text counts as a list of one."""
        value = self.given.get(name, [])
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, (list, tuple)) or not all(isinstance(one, str) and one for one in listed):
            raise self._wrong(name, "is not a list of texts")
        return list(listed)

    def command(self, name: str) -> list[str] | None:
        """Return an argv, given as a list or as a text that is split like a shell's words; None when not given."""
        value = self.given.get(name)
        if value is None:
            return None
        try:
            argv = shlex.split(value) if isinstance(value, str) else [str(word) for word in value]
        except (TypeError, ValueError) as error:
            raise self._wrong(name, f"can't be split into words: {error}") from error
        if not argv:
            raise self._wrong(name, "is empty")
        return argv

    def _wrong(self, name: str, what: str, hint: str = "") -> InvalidInput:
        return InvalidInput(f"the option '{name}' {what}", where=f"workload '{self.workload}'", hint=hint)
