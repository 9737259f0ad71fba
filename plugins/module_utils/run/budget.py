# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time a rollback may take, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT = 300.0

#: what each phase may take of the budget; what is not named shares nothing
SHARES: Mapping[str, float] = {"open": 0.05, "flag": 0.55, "verify": 0.35, "close": 0.05}


@dataclass(frozen=True)
class Budget:
    """``seconds`` allowed and ``spent``, both from the moment the command was given."""

    seconds: float
    spent: float

    @property
    def left(self) -> float:
        """Return the seconds left, 0 when overrun."""
        return max(0.0, self.seconds - self.spent)

    @property
    def overrun(self) -> float:
        """Return the seconds spent beyond the budget, 0 when within it."""
        return max(0.0, self.spent - self.seconds)

    def sentence(self) -> str:
        """Return what to say of it, loudly when it was overrun."""
        if self.overrun:
            return f"OVER BUDGET: {self.spent:.1f} s of {self.seconds:.0f} s, {self.overrun:.1f} s too long"
        return f"{self.spent:.1f} s of {self.seconds:.0f} s"


def share(seconds: float, phase: str) -> float:
    """Return the seconds that ``phase`` may take of a budget of ``seconds``; 0 when it has no share of its own."""
    return seconds * SHARES.get(phase, 0.0)
