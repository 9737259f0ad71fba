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
RECOVERED = "/var/tmp/recovered"


@pytest.fixture
def host(units_host: SystemdHost) -> Iterator[SystemdHost]:
    """A host without a schedule, before and after."""
    yield units_host
    units_host.run(["systemctl", "disable", "--now", TIMER], check=False)
    units_host.run(
        ["rm", "-f", MARK, RECOVERED, STAMP, f"/etc/systemd/system/{TIMER}", f"/etc/systemd/system/{SERVICE}"]
    )
    units_host.run(["systemctl", "daemon-reload"])


def marking(path: str) -> str:
    """Return a command that writes its words into a file."""
    return shlex.join(["/bin/sh", "-c", f'echo "$0" > {path}', WORDS])


def next_day() -> datetime:
    """Return the first Tuesday of a quarter that comes next, at nine, by counting days."""
    day = datetime.now(timezone.utc).replace(hour=9, minute=0, second=0, microsecond=0)
    while day <= datetime.now(timezone.utc) or (day.month % 3, day.weekday()) != (1, 1) or day.day > 7:
        day += timedelta(days=1)
    return day


def install(host: SystemdHost, files: list[Path]) -> None:
    """Have the host's systemd know the units."""
    for path in files:
        host.write(f"/etc/systemd/system/{path.name}", path.read_text())
    host.run(["systemctl", "daemon-reload"])


@pytest.mark.parametrize(("ending", "told"), [("sleep 4711 & kill -KILL $$", "signal"), ("exit 2", "exit-code")])
def test_what_a_drill_has_left_that_was_killed_or_failed_is_put_back_at_once(
    host: SystemdHost, tmp_path: Path, ending: str, told: str
) -> None:
    """Not before all that it had begun has ended: the mark would name what still runs."""
    ended = shlex.join(["/bin/bash", "-c", ending])
    recover = shlex.join(
        [
            "/bin/sh",
            "-c",
            f'cat /proc/[0-9]*/cmdline | grep -ao "sleep.471[1]" > {RECOVERED}; echo "$0" >> {RECOVERED}',
            WORDS,
        ]
    )
    install(host, scheduled(tmp_path, "systemd", command=ended, recover_command=recover))
    assert host.run(["systemctl", "start", SERVICE], check=False).returncode != 0
    wait_until(lambda: host.run(["cat", RECOVERED], check=False).stdout == f"{WORDS}\n", "what is left to be put back")
    wait_until(
        lambda: host.run(["systemctl", "is-active", SERVICE], check=False).stdout.strip() == "failed",
        "the service to have failed all the same",
    )
    assert host.run(["systemctl", "show", "-P", "Result", SERVICE]).stdout.strip() == told


def test_systemd_waits_for_the_day_and_makes_up_for_a_missed_one(host: SystemdHost, tmp_path: Path) -> None:
    """The clock of the host is the machine's: the drill of a day that is over is the one that can be had."""
    files = scheduled(tmp_path, "systemd", command=marking(MARK), recover_command=marking(RECOVERED))
    checked = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert [path.name for path in files] == [SERVICE, TIMER]
    install(host, files)
    host.run(["systemctl", "enable", "--now", TIMER])
    shown = host.run(["systemctl", "show", "-P", "NextElapseUSecRealtime", TIMER]).stdout.strip()
    assert shown == f"{next_day():%a %Y-%m-%d %H:%M:%S UTC}"
    assert host.run(["test", "-e", MARK], check=False).returncode == 1, "no day was missed yet"

    host.run(["systemctl", "stop", TIMER])
    host.run(["touch", "-d", "200 days ago", STAMP])
    host.run(["systemctl", "start", TIMER])
    wait_until(lambda: host.run(["cat", MARK], check=False).stdout == f"{WORDS}\n", "systemd to start the drill")
    assert host.run(["systemctl", "show", "-P", "Result", SERVICE]).stdout.strip() == "success"
    assert host.run(["test", "-e", RECOVERED], check=False).returncode == 1, "nothing was left"
