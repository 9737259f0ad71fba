# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a probe saw and what it means: frozen values, four answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

PASS = "pass"
FAIL = "fail"
UNKNOWN = "unknown"
ERROR = "error"
ANSWERS = (PASS, FAIL, UNKNOWN, ERROR)


def utc_now() -> str:
    """Return the time now as ISO 8601 in UTC with milliseconds, e.g. ``2026-01-25T18:00:00.123Z``."""
    return format_time(datetime.now(timezone.utc))


def format_time(moment: datetime) -> str:
    """Return an aware datetime as ISO 8601 in UTC with milliseconds."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Return the aware UTC datetime of an ISO 8601 text; a text without an offset is taken as UTC.

    Raises ValueError when the text is no ISO 8601 time.
    """
    moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace("z", "+00:00"))
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


@dataclass(frozen=True)
class Evidence:
    """One observation: the answer, the value it rests on, where and when it was seen.

    ``value`` is plain data (JSON can hold it), ``detail`` one sentence for a person, ``took`` seconds.
    """

    probe: str
    kind: str
    answer: str
    value: Any = None
    detail: str = ""
    where: str = ""
    at: str = field(default_factory=utc_now)
    took: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the observation as a plain dict, ``took`` rounded to milliseconds."""
        plain = asdict(self)
        plain["took"] = round(self.took, 3)
        return plain
