# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers that must not grow: orphans, duplicates, differences; each a query of the inventory's that counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import InvalidInput, VerificationFailed
from .session import NOTHING, Session


def measure(session: Session, invariants: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the number that each query counts, by name; raises InvalidInput for an answer that is no number."""
    found: dict[str, int] = {}
    for one in invariants:
        name = str(one.get("name") or "")
        if not name or name in found:
            raise InvalidInput("every invariant needs a name of its own", where="invariants")
        answer = session.asked(str(one.get("query") or ""), f"invariant '{name}'")
        try:
            found[name] = int(answer)
        except (TypeError, ValueError):
            raise InvalidInput(f"it answers {answer!r}, which is no number", where=f"invariant '{name}'") from None
    return found


def need_not_worse(before: Mapping[str, int], after: Mapping[str, int], baseline: Mapping[str, Any]) -> None:
    """Raise VerificationFailed when a number is above the baseline, or above what it was before where none is known."""
    worse = []
    for name, count in after.items():
        most = int(baseline[name]) if name in baseline else before[name]
        if count > most:
            worse.append(f"{name}: {count}, {most} " + ("in the baseline" if name in baseline else "before"))
    if worse:
        raise VerificationFailed(
            f"the data would be worse than before: {'; '.join(worse)}", where="invariants", hint=NOTHING
        )
