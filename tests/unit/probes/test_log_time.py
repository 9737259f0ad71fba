"""The time a line bears: formats of the field."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.log_time import parse, reader

SIX = datetime(2026, 1, 25, 18, 0, 0, tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ('{"time": "2026-01-25T18:00:00.250Z", "event": "x"}', 0.25),
        ('{"event": "2020-01-01T00:00:00Z", "timestamp": "2026-01-25T18:00:00+00:00"}', 0),
        ('{"ts": 1769364000.5}', 0.5),
        ('{"ts": 1769364000500}', 0.5),
        ('{"@timestamp": "2026-01-26T00:00:00.123456789+06:00"}', 0.123456),
        ("2026-01-25 18:00:00,500 INFO started", 0.5),
        ("2026-01-25 18:00:00.500 UTC [17] LOG:  ready", 0.5),
        ("[2026-01-25 23:30:00 +0530] [7] [INFO] Booting worker", 0),
        ('127.0.0.1 - - [25/Jan/2026:18:00:00 +0000] "GET / HTTP/1.1" 200', 0),
        ("2026/01/25 18:00:00 [error] 7#7: upstream", 0),
        ("INFO 2026-01-25T18:00 started", 0),
        ("Traceback (most recent call last):", None),
        ("  File x, line 2026", None),
        ("x" * 90 + "2026-01-25T18:00:00Z", None),
        ("2026-13-25T18:00:00Z", None),
        ('{"time": "2026-01-25T18:00:0', None),
        ('{"event": "x"}', None),
        ("[1, 2]", None),
        ("", None),
    ],
)
def test_by_habit(line: str, seconds: float | None) -> None:
    found = reader(None, None, timezone.utc)(line)
    assert found == (None if seconds is None else pytest.approx(SIX + seconds, abs=1e-5))


def test_a_named_field_inside_another() -> None:
    read = reader("meta.at", None, timezone.utc)
    assert read('{"time": "2020-01-01T00:00:00Z", "meta": {"at": "2026-01-25T18:00:00Z"}}') == SIX
    assert read('{"time": "2026-01-25T18:00:00Z"}') is None


def test_a_regular_expression_for_unusual_lines() -> None:
    read = reader(None, re.compile(r"at=(\d+)"), timezone.utc)
    assert read("x" * 100 + " at=1769364000 y") == SIX
    assert read("2026-01-25T18:00:00Z") is None


def test_a_zone_for_times_that_name_none() -> None:
    dhaka = timezone(timedelta(hours=6))
    assert parse("2026-01-26 00:00:00", dhaka) == SIX
    assert parse("2026-01-25T18:00:00Z", dhaka) == SIX
