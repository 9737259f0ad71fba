# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Count what one log source says since a time: lines, matches, signs of life, matches per second."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ..core.evidence import format_time
from ..core.redact import redact_text
from .log_time import TimeOf

LONGEST_SHOWN = 300


@dataclass
class Tally:
    """Counts of one source. ``since`` in epoch seconds; matches from ``begin`` on make the series."""

    since: float
    begin: float
    pattern: re.Pattern[str]
    alive_pattern: re.Pattern[str] | None = None
    lines: int = 0
    matched: int = 0
    alive: bool = False
    timeless: int = 0
    first_match: str = ""
    newest: float | None = None
    per_second: Counter[int] = field(default_factory=Counter)
    _last_time: dict[str, float] = field(default_factory=dict)
    _reached: set[str] = field(default_factory=set)
    _newest_before: float | None = None

    def add_block(self, key: str, lines: Sequence[bytes], time_of: TimeOf) -> None:
        """Count consecutive lines of one file (``key``).

        A time is read only where it decides: of matching lines, of signs of life, and up to the first line of
        ``since``; from there on the file's further lines count without reading theirs. A line without a time of its
        own has that of the line before it; at the begin of a file that is new since the last look, that of the newest
        line of that look.
        """
        texts = [line.decode("utf-8", "replace").lstrip("\0") for line in lines]
        before = self._last_time.get(key, self._newest_before)
        newest = next((time for time in map(time_of, reversed(texts)) if time is not None), before)
        if newest is None:
            self.timeless += sum(1 for text in texts if text.strip())
            return
        self._last_time[key] = newest
        self.newest = newest if self.newest is None else max(self.newest, newest)
        counting = key in self._reached
        quiet = not counting and newest < self.since
        for place, text in enumerate(texts):
            if not text.strip():
                continue
            if not counting and not quiet:
                own = time_of(text)
                counting = own is not None and own >= self.since
            self.lines += counting
            is_match = self.pattern.search(text) is not None
            is_life = not self.alive and self.alive_pattern is not None and self.alive_pattern.search(text) is not None
            if is_match or is_life:
                self._judge(text, _time_at(texts, place, time_of, before), is_match, is_life)
        if counting:
            self._reached.add(key)

    def end_look(self) -> None:
        """Remember the newest line: what a file that appears later says first comes after it."""
        self._newest_before = self.newest

    def add(self, text: str, time: float) -> None:
        """Count one line whose time is known."""
        self.newest = time if self.newest is None else max(self.newest, time)
        self.lines += time >= self.since
        self._judge(
            text,
            time,
            self.pattern.search(text) is not None,
            self.alive_pattern is not None and self.alive_pattern.search(text) is not None,
        )

    def _judge(self, text: str, time: float | None, is_match: bool, is_life: bool) -> None:
        if time is None or time < self.begin:
            return
        if is_match:
            self.per_second[int(time)] += 1
        if time < self.since:
            return
        self.alive = self.alive or is_life
        if is_match:
            self.matched += 1
            self.first_match = self.first_match or redact_text(text[:LONGEST_SHOWN])

    def series(self, now: float) -> list[list[int]]:
        """Return [[epoch second, matches], ...] from ``begin`` to ``now``, seconds without a match included."""
        return [[second, self.per_second[second]] for second in range(int(self.begin), int(now) + 1)]

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        return {"lines": self.lines, "matched": self.matched, "newest": iso(self.newest)}


def iso(epoch: float | None) -> str | None:
    """Return epoch seconds as ISO 8601 in UTC; None for None."""
    return None if epoch is None else format_time(datetime.fromtimestamp(epoch, timezone.utc))


def _time_at(texts: Sequence[str], place: int, time_of: TimeOf, before: float | None) -> float | None:
    """Return the time of a line, or of the nearest line above it that bears one."""
    for text in reversed(texts[: place + 1]):
        found = time_of(text)
        if found is not None:
            return found
    return before
