# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: the time that a log line bears itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Optional

#: returns epoch seconds (UTC) of a line, None when it bears no time of its own (a traceback's lines)
TimeOf = Callable[[str], Optional[float]]

#: JSON fields that are tried when no time_field is given, in this order
FIELDS = ("timestamp", "@timestamp", "time", "ts", "asctime", "datetime")
#: a time is looked for within the first characters of a line only: a date further on belongs to the message
HEAD = 80

_ISO = re.compile(
    r"(?P<year>\d{4})[-/](?P<month>\d\d)[-/](?P<day>\d\d)[T _](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d))?"
    r"(?:[.,](?P<fraction>\d{1,9}))?\s?(?P<zone>Z|UTC|[+-]\d\d:?\d\d)?(?!\d)"
)
_WEB = re.compile(
    r"(?P<day>\d\d)/(?P<month>[A-Z][a-z]{2})/(?P<year>\d{4}):(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
    r"(?: (?P<zone>[+-]\d{4}))?"
)
_MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: place for place, name in enumerate(_MONTH_NAMES, 1)}


def reader(time_field: str | None, time_regexp: re.Pattern[str] | None, zone: tzinfo | None) -> TimeOf:
    """Return the function that reads a line's own time.

    ``time_field`` names a field of JSON lines (dotted), ``time_regexp`` has one group that holds the time; without
    both, JSON lines are tried for the usual fields and other lines for a date in their first characters. ``zone`` is
    taken for times that name none; None is this host's own zone.
    """
    if time_field:
        return lambda line: _from_json(line, (time_field,), zone)
    if time_regexp is not None:
        group = 1 if time_regexp.groups else 0

        def by_regexp(line: str) -> float | None:
            match = time_regexp.search(line)
            return parse(match[group], zone) if match and match[group] else None

        return by_regexp

    def by_habit(line: str) -> float | None:
        return _from_json(line, FIELDS, zone) if line.startswith("{") else _find(line[:HEAD], zone)

    return by_habit


def parse(value: object, zone: tzinfo | None) -> float | None:
    """Return epoch seconds of a text (ISO 8601 and its neighbours, web server style) or an epoch in s, ms, µs, ns."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        epoch = float(str(value))
    except ValueError:
        return _find(str(value), zone)
    for factor in (1e9, 1e6, 1e3):
        if epoch > factor * 1e8:
            return epoch / factor
    return epoch if epoch > 1e8 else None


def _from_json(line: str, fields: tuple[str, ...], zone: tzinfo | None) -> float | None:
    try:
        document = json.loads(line)
    except ValueError:
        return None
    for name in fields:
        value = document.get(name) if isinstance(document, dict) else None
        if value is None and "." in name:
            value = document
            for part in name.split("."):
                value = value.get(part) if isinstance(value, dict) else None
        found = parse(value, zone)
        if found is not None:
            return found
    return None


def _find(text: str, zone: tzinfo | None) -> float | None:
    match = _ISO.search(text)
    month = int(match["month"]) if match else 0
    if match is None:
        match = _WEB.search(text)
        month = _MONTHS.get(match["month"], 0) if match else 0
    if match is None:
        return None
    found = match.groupdict()
    micro = int((found.get("fraction") or "0").ljust(6, "0")[:6])
    try:
        moment = datetime(
            int(found["year"]),
            month,
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            int(found["second"] or 0),
            micro,
            _offset(found["zone"], zone),
        )
        return moment.timestamp()
    except (ValueError, OverflowError):
        return None


def _offset(text: str | None, zone: tzinfo | None) -> tzinfo | None:
    if not text:
        return zone
    if text in ("Z", "UTC"):
        return timezone.utc
    digits = text[1:].replace(":", "")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))
