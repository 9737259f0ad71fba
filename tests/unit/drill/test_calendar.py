"""The dates of the drills mean the same to AWX, to systemd and to cron."""

from __future__ import annotations

import subprocess
from datetime import date, datetime, timezone

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput
from ansible_collections.dualwrite.rollback.plugins.module_utils.drill.calendar import last_ended, quarter_of, schedule


def test_every_quarter_has_its_own_day_in_three_languages():
    dates = schedule(day="TU", hour=10, minute=5, year=2026)
    assert [one["name"] for one in dates] == ["drill-q1", "drill-q2", "drill-q3", "drill-q4"]
    assert dates[2]["rrule"] == (
        "DTSTART;TZID=UTC:20260707T100500 RRULE:FREQ=YEARLY;INTERVAL=1;BYMONTH=7;BYDAY=TU;BYSETPOS=1"
    )
    assert dates[2]["on_calendar"] == "Tue *-07-01..07 10:05:00 UTC"
    assert (dates[2]["cron"], dates[2]["cron_day"]) == ("5 10 1-7 7 *", 2)


@pytest.mark.parametrize("day", ["MO", "TU", "WE", "TH", "FR", "SA", "SU"])
def test_systemd_waits_for_the_day_that_the_rule_begins_with(day):
    """systemd-analyze is asked from a day before the first one of each quarter of 2027."""
    for one in schedule(day=day, hour=9, year=2027):
        start = datetime.strptime(one["rrule"].split()[0].partition(":")[2], "%Y%m%dT%H%M%S").replace(
            tzinfo=timezone.utc
        )
        assert 1 <= start.day <= 7
        assert (start.month, start.isoweekday()) == (3 * one["quarter"] - 2, one["cron_day"])
        base = f"{start.year}-{start.month:02d}-01 00:00:00 UTC"
        argv = ["systemd-analyze", "calendar", f"--base-time={base}", one["on_calendar"]]
        told = subprocess.run(
            argv, capture_output=True, text=True, check=True, env={"TZ": "UTC", "PATH": "/usr/bin:/bin"}
        )
        assert f"{start:%Y-%m-%d %H:%M:%S} UTC" in told.stdout, told.stdout


@pytest.mark.parametrize("given", [{"day": "Tuesday"}, {"hour": 24}, {"minute": -1}])
def test_a_day_or_time_that_there_is_not_is_refused(given):
    with pytest.raises(InvalidInput):
        schedule(**given)


def test_quarters_end_on_their_last_day():
    assert [quarter_of(date(2026, month, 1)) for month in (1, 3, 4, 12)] == [1, 1, 2, 4]
    assert last_ended(1, date(2026, 3, 31)) == 2025
    assert last_ended(1, date(2026, 4, 1)) == 2026
    assert last_ended(4, date(2026, 12, 31)) == 2025
