# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ledger says of today: per environment and exercise, when it last went well and whether it is overdue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from ..core.evidence import parse_time
from .calendar import day_after, first_day, label, last_ended
from .ledger import ISSUES, PASSED, Entry

#: an exercise went well when it did what it is for, also when something was learned from it
GOOD = (PASSED, ISSUES)


@dataclass(frozen=True)
class Row:
    """One exercise of one environment; ``due`` and ``last_passed`` are days, empty when there are none."""

    environment: str
    exercise: str
    quarter: int
    last_passed: str
    last_result: str
    due: str
    overdue: bool
    why: str

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return asdict(self)


def rows(
    entries: Sequence[Entry],
    exercises: Mapping[str, Mapping[str, Any]],
    environments: Iterable[str],
    today: date,
    interval: int,
    since: date | None = None,
) -> list[Row]:
    """Return what is due, for every environment and exercise that has a quarter or an interval of its own.

    An exercise is overdue when it has not gone well for ``interval`` days (its own, where it has one), or not since
    the beginning of its last quarter that is over. ``since`` is the day from which drills are asked for.
    """
    names = sorted({*environments, *(str(entry["environment"]) for entry in entries)} - {""})
    found = []
    for environment in names:
        for name, exercise in exercises.items():
            theirs = [one for one in entries if one["environment"] == environment and one["exercise"] == name]
            days = int(exercise["interval"] or (interval if exercise["quarter"] else 0))
            if days or theirs:
                found.append(_row(environment, exercise, theirs, today, days, since))
    return found


def day_of(entry: Mapping[str, Any]) -> date:
    """Return the day on which a drill began."""
    return parse_time(str(entry["started"])).date()


def _row(
    environment: str, exercise: Mapping[str, Any], theirs: Sequence[Entry], today: date, days: int, since: date | None
) -> Row:
    good = [day_of(one) for one in theirs if one["result"] in GOOD]
    last = max(good, default=None)
    from_day = last or since
    dues: list[tuple[date, str]] = []
    if days and from_day:
        dues.append((from_day + timedelta(days=days), f"every {days} days"))
    quarter = int(exercise["quarter"])
    if quarter:
        year = last_ended(quarter, today)
        # the last one that is over counts until a drill since its first day has passed; then the next one does
        while (last and last >= first_day(year, quarter)) or (since and since >= day_after(year, quarter)):
            year += 1
        dues.append((day_after(year, quarter) - timedelta(days=1), f"within {label(year, quarter)}"))
    due, why = min(dues) if dues else (None, "not asked for")
    overdue = due is not None and due < today
    if days and not from_day:
        due, why, overdue = None, "never passed", True
    return Row(
        environment=environment,
        exercise=str(exercise["name"]),
        quarter=quarter,
        last_passed=str(last or ""),
        last_result=str(theirs[-1]["result"]) if theirs else "",
        due=str(due or ""),
        overdue=overdue,
        why=why,
    )
