# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When drills are due: quarters, and the same dates in the three languages of schedulers."""

from __future__ import annotations

from datetime import date
from typing import Any

from ..core.errors import InvalidInput

QUARTERS = (1, 2, 3, 4)
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def quarter_of(day: date) -> int:
    """Return the quarter of a day, 1 to 4."""
    return (day.month - 1) // 3 + 1


def label(year: int, quarter: int) -> str:
    """Return a quarter as it stands in the ledger, e.g. ``2026-Q1``."""
    return f"{year}-Q{quarter}"


def first_day(year: int, quarter: int) -> date:
    """Return the first day of a quarter."""
    return date(year, 3 * quarter - 2, 1)


def day_after(year: int, quarter: int) -> date:
    """Return the first day that is no longer in a quarter."""
    return date(year + 1, 1, 1) if quarter == 4 else first_day(year, quarter + 1)


def last_ended(quarter: int, today: date) -> int:
    """Return the last year whose quarter of that number is over."""
    return today.year if day_after(today.year, quarter) <= today else today.year - 1


def schedule(day: str = "TU", hour: int = 10, minute: int = 0, year: int = 2026) -> list[dict[str, Any]]:
    """Return for each quarter the first such weekday of its first month, for AWX, systemd and cron.

    Each is ``{quarter, name, rrule, on_calendar, cron, cron_day}``. ``rrule`` is what AWX takes, its DTSTART in
    ``year``; it and ``on_calendar`` are in UTC. Cron has no zone of its own and joins day of month and day of week by
    *or*: ``cron`` names the first seven days, and the command has to ask for ``cron_day`` (1 is Monday) itself.
    Raises InvalidInput for a day or time that there is not.
    """
    if day not in DAYS:
        raise InvalidInput(f"'{day}' is no day of the week", where="day", hint=f"Days are {', '.join(DAYS)}.")
    if not 0 <= hour <= 23 or not 0 <= minute <= 59:
        raise InvalidInput(f"{hour}:{minute} is no time of a day", where="hour and minute")
    number = DAYS.index(day)
    found = []
    for quarter in QUARTERS:
        month = 3 * quarter - 2
        first = date(year, month, 1)
        start = first.replace(day=1 + (number - first.weekday()) % 7)
        found.append(
            {
                "quarter": quarter,
                "name": f"drill-q{quarter}",
                "rrule": f"DTSTART;TZID=UTC:{start:%Y%m%d}T{hour:02d}{minute:02d}00"
                f" RRULE:FREQ=YEARLY;INTERVAL=1;BYMONTH={month};BYDAY={day};BYSETPOS=1",
                "on_calendar": f"{NAMES[number]} *-{month:02d}-01..07 {hour:02d}:{minute:02d}:00 UTC",
                "cron": f"{minute} {hour} 1-7 {month} *",
                "cron_day": number + 1,
            }
        )
    return found
