# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time as a value: one monotonic deadline handed down, and one way to wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from .errors import DeadlinePassed

T = TypeVar("T")


class Deadline:
    """A point on the monotonic clock, ``seconds`` from now; wall-clock jumps don't move it."""

    def __init__(self, seconds: float) -> None:
        self.started = time.monotonic()
        self.seconds = float(seconds)

    def left(self) -> float:
        """Return the seconds left, never below 0."""
        return max(0.0, self.started + self.seconds - time.monotonic())

    def spent(self) -> float:
        """Return the seconds since the deadline was set."""
        return time.monotonic() - self.started

    def passed(self) -> bool:
        """Return whether no time is left."""
        return self.left() <= 0.0

    def within(self, seconds: float) -> Deadline:
        """Return a deadline of at most ``seconds`` that never outlives this one."""
        return Deadline(min(float(seconds), self.left()))


def wait_until(
    ask: Callable[[], T | None],
    deadline: Deadline,
    *,
    what: str,
    where: str = "",
    hint: str = "",
    first_pause: float = 0.02,
    longest_pause: float = 0.25,
    watch: Callable[[float], object] = time.sleep,
) -> T:
    """Ask until the answer is truthy and return it.

    ``ask`` is called at once, then after each ``watch(pause)``: pass a real watch (an event's ``wait``, a select) as
    ``watch`` where there is one; the default sleeps with a back-off from ``first_pause`` to ``longest_pause`` seconds.
    Raises DeadlinePassed, "<what> did not happen within N s", when the deadline passes first.
    """
    pause = first_pause
    while True:
        answer = ask()
        if answer:
            return answer
        if deadline.passed():
            raise DeadlinePassed(f"{what} did not happen within {deadline.seconds:.0f} s", where=where, hint=hint)
        watch(min(pause, max(deadline.left(), 0.001)))
        pause = min(pause * 1.6, longest_pause)
