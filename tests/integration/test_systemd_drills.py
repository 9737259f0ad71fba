"""systemd starts the drills on their days, and makes up for one that was missed: on a host that it has booted."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.lab.host import SystemdHost
from tests.lab.waiting import wait_until
from tests.support.schedule import WORDS, scheduled

TIMER, SERVICE = "dualwrite-drill-lab.timer", "dualwrite-drill-lab.service"
MARK, STAMP = "/var/tmp/drilled", f"/var/lib/systemd/timers/stamp-{TIMER}"


@pytest.fixture
def host(units_host: SystemdHost) -> Iterator[SystemdHost]:
    """A host without a schedule, before and after."""
    yield units_host
    units_host.run(["systemctl", "disable", "--now", TIMER], check=False)
    units_host.run(["rm", "-f", MARK, STAMP, f"/etc/systemd/system/{TIMER}", f"/etc/systemd/system/{SERVICE}"])
    units_host.run(["systemctl", "daemon-reload"])


def next_day() -> datetime:
    """Return the first Tuesday of a quarter that comes next, at nine, by counting days."""
    day = datetime.now(timezone.utc).replace(hour=9, minute=0, second=0, microsecond=0)
    while day <= datetime.now(timezone.utc) or (day.month % 3, day.weekday()) != (1, 1) or day.day > 7:
        day += timedelta(days=1)
    return day


def test_systemd_waits_for_the_day_and_makes_up_for_a_missed_one(host: SystemdHost, tmp_path: Path) -> None:
    """The clock of the host is the machine's: the drill of a day that is over is the one that can be had."""
    script = f'echo "$0" > {MARK}'
    files = scheduled(tmp_path, "systemd", shlex.join(["/bin/sh", "-c", script, WORDS]))
    checked = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert [path.name for path in files] == [SERVICE, TIMER]
    for path in files:
        host.write(f"/etc/systemd/system/{path.name}", path.read_text())
    host.run(["systemctl", "daemon-reload"])
    host.run(["systemctl", "enable", "--now", TIMER])
    shown = host.run(["systemctl", "show", "-P", "NextElapseUSecRealtime", TIMER]).stdout.strip()
    assert shown == f"{next_day():%a %Y-%m-%d %H:%M:%S UTC}"
    assert host.run(["test", "-e", MARK], check=False).returncode == 1, "no day was missed yet"

    host.run(["systemctl", "stop", TIMER])
    host.run(["touch", "-d", "200 days ago", STAMP])
    host.run(["systemctl", "start", TIMER])
    wait_until(lambda: host.run(["cat", MARK], check=False).stdout == f"{WORDS}\n", "systemd to start the drill")
    assert host.run(["systemctl", "show", "-P", "Result", SERVICE]).stdout.strip() == "success"
