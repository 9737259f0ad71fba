"""Cron starts the drills on their days: the real daemon, with its clock put forward."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.lab.waiting import wait_until
from tests.support.schedule import WORDS, scheduled

CRON = """
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" /etc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/spool/cron
mkdir /var/spool/cron/crontabs
rm -f /etc/cron.d/* /etc/crontab
install -m 0644 "$2" /etc/cron.d/
echo "$3" > /etc/faketimerc
echo "$4" > /etc/ld.so.preload
exec cron -f
"""


def test_what_is_run_after_a_drill_that_failed_is_the_same_command_which_only_puts_back(tmp_path: Path) -> None:
    (service, dummy) = scheduled(tmp_path, "systemd")
    drilled, put_back = [line for line in service.read_text().splitlines() if line.startswith("Exec")]
    command = drilled.removeprefix("ExecStart=")
    assert "/ansible-playbook dualwrite.rollback.drill -i /" in command
    assert put_back.startswith("ExecStopPost=")
    assert put_back.endswith(f" {command} -e dualwrite_drill_recover=true")


def test_cron_starts_the_drill_on_the_first_tuesday_and_on_no_other_day(tmp_path: Path) -> None:
    """The real daemon, with faketime for a clock; two of them, one on the day and one on the day after.

    The drill fails, and what it has left is put back.
    """
    library = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not library or shutil.which("cron", path="/usr/sbin:/sbin:/usr/bin") is None or os.geteuid() != 0:
        reason = "needs root and the Debian packages cron and faketime: make system-packages"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    asked = shlex.quote(WORDS)
    (made,) = scheduled(
        tmp_path,
        "cron",
        command=f"echo {asked} $(date +%F) >> {tmp_path}/drilled-$(date +%a); false",
        recover_command=f"echo {asked} >> {tmp_path}/recovered-$(date +%a)",
    )
    daemons = []
    try:
        for day in ("2027-01-05", "2027-01-06"):
            folder = tmp_path / day
            for name in ("upper", "work"):
                (folder / name).mkdir(parents=True)
            arguments = [str(folder), str(made), f"@{day} 08:59:57", str(library[0])]
            argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", CRON, "sh", *arguments]
            daemons.append(subprocess.Popen(argv, stderr=subprocess.PIPE))
        wait_until((tmp_path / "recovered-Tue").exists, "cron to start the drill and what follows")
        time.sleep(3)  # the other one has the same minute behind it then
        assert [one.poll() for one in daemons] == [None, None]
    finally:
        for one in daemons:
            one.kill()
            one.wait()
    assert [path.name for path in tmp_path.glob("drilled-*")] == ["drilled-Tue"]
    assert (tmp_path / "drilled-Tue").read_text() == f"{WORDS} 2027-01-05\n"
    assert [path.name for path in tmp_path.glob("recovered-*")] == ["recovered-Tue"]
    assert (tmp_path / "recovered-Tue").read_text() == f"{WORDS}\n"
