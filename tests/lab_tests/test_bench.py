"""The benchmark: its table says what was measured, and every arm really switches the flag off."""

import os
from pathlib import Path

import pytest

from tests.bench import cleanup
from tests.bench.__main__ import free_port
from tests.bench.arms import ARMS, STEP, rounds
from tests.bench.page import page, ratio, table
from tests.bench.systemd import INSIDE, Fleet
from tests.lab.host import SystemdHost, unavailable

ROOT = Path(__file__).resolve().parents[2]


def test_a_ratio_is_taken_round_by_round():
    assert ratio([2.0, 9.0, 4.0], [1.0, 3.0, 4.0]) == 2.0


def test_the_table_and_the_page_say_what_was_measured():
    found = {"1 systemd host": {"runbook": [2.0, 4.0], "limit": [1.0, 2.0], "module": [3.0, 6.0], "step": [2.0, 3.0]}}
    row = "| 1 systemd host | 3.00 s (2.00 to 4.00) | 1.50 s (1.00 to 2.00) | 4.50 s (3.00 to 6.00) "
    row += "| 2.50 s (2.00 to 3.00) | 1.50 | 3.00 | 1.75 |"
    assert table(found).splitlines()[-1] == row
    assert page(found, "2 cores.").endswith(f"{row}\n\n2 rounds. 2 cores.\n")


def test_every_arm_switches_the_flag_off(tmp_path):
    reason = unavailable()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    host = SystemdHost(f"bench-test-{os.getpid()}", aliases=())
    try:
        host.up(binds={str(ROOT): INSIDE})
        fleet = Fleet([host], tmp_path)
        fleet.prepare()
        fleet.switch_on()
        assert set(fleet.held()) == {"true"}
        found = rounds(fleet, 1)
    finally:
        host.down()
    assert set(found) == {*ARMS, STEP}
    assert all(len(seconds) == 1 and seconds[0] > 0 for seconds in found.values())
    assert found[STEP] < found["module"]


def test_every_arm_of_the_cleanup_removes_the_same_rows():
    found = cleanup.measured([300], 1, free_port())
    assert set(found[300]) == {"runbook", "without archive", "with archive"}
    assert all(arm.seconds[0] > 0 for arm in found[300].values())
    assert 10 < found[300]["with archive"].memory < 150
    row = cleanup.table(found).splitlines()[-1]
    assert row.startswith("| 300 | ")
    assert row.endswith(" MiB |")
