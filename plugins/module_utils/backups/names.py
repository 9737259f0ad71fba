# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: names of backups, and the time that stands in them."""

from __future__ import annotations

import re
from datetime import datetime, timezone, tzinfo
from zoneinfo import ZoneInfo

from ..core.errors import InvalidInput
from ..core.evidence import format_time

#: directive of strftime -> what it matches
_DIRECTIVES = {"Y": r"\d{4}", "m": r"\d{2}", "d": r"\d{2}", "H": r"\d{2}", "M": r"\d{2}", "S": r"\d{2}"}
_ORDER = "YmdHMS"


class Pattern:
    """How backups are named: ``shop_%Y%m%d_%H%M*``; a star stands for anything but a slash."""

    def __init__(self, text: str, time_zone: str = "UTC") -> None:
        self.text = text
        self.zone = _zone(time_zone)
        seen: set[str] = set()
        built = ""
        for part in re.findall(r"%.?|\*|[^%*]+", text):
            if part == "*":
                built += "[^/]*"
            elif part == "%%":
                built += "%"
            elif part[0] == "%":
                directive = part[1:]
                if directive not in _DIRECTIVES:
                    known = ", ".join(f"%{one}" for one in _ORDER)
                    raise InvalidInput(f"'{part}' is not known", where="pattern", hint=f"Known are: {known}.")
                built += f"(?P={directive})" if directive in seen else f"(?P<{directive}>{_DIRECTIVES[directive]})"
                seen.add(directive)
            else:
                built += re.escape(part)
        self._timed = bool(seen)
        if seen and not {"Y", "m", "d"} <= seen:
            raise InvalidInput("a time in a name needs %Y, %m and %d", where="pattern")
        self._expression = re.compile(built)

    def matches(self, name: str) -> bool:
        """Return whether a backup is named like this."""
        return bool(self._expression.fullmatch(name))

    def time(self, name: str) -> str:
        """Return the time in a name as ISO 8601 in UTC, empty when the pattern has none or the name bears no time."""
        found = self._expression.fullmatch(name) if self._timed else None
        if found is None:
            return ""
        parts = found.groupdict()
        try:
            numbers = [int(parts.get(one) or 0) for one in _ORDER]
            return format_time(datetime(*numbers, tzinfo=self.zone))  # type: ignore[arg-type,misc]
        except ValueError:
            return ""


def safe(name: str) -> str:
    """Return a backup's name; raises InvalidInput for one that could name anything outside the store."""
    bad = not name or name.startswith(("/", "-", "~")) or ".." in name.split("/")
    if bad or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise InvalidInput(
            f"{name!r} is no name of a backup: it must lie inside the store's folder or prefix",
            where="backup",
            hint="Give the name as backup_info lists it.",
        )
    return name


def _zone(name: str) -> tzinfo:
    try:
        return timezone.utc if name in ("", "UTC") else ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidInput(
            f"'{name}' is no time zone", where="time_zone", hint="Use a name as Europe/Berlin."
        ) from error
