"""The application as units of a host that systemd has booted: what its processes hold, how to have it dual-write."""

from __future__ import annotations

import os

import pytest

from tests.lab.host import SystemdHost, unavailable, up_with_app
from tests.lab.host.app import ENV_FILE, WEB, WORKER
from tests.lab.waiting import wait_until
from tests.support.measure import FLAG

WORKER_ENV = "/etc/deltacrown/worker.env"
#: every process of the units, whichever control group hierarchy the machine has
HOLDERS = """
for unit in {units}; do
  for pid in $(cat /sys/fs/cgroup/systemd/system.slice/$unit/cgroup.procs \
               /sys/fs/cgroup/system.slice/$unit/cgroup.procs 2>/dev/null); do
    tr '\\0' '\\n' < /proc/$pid/environ | sed -n "s/^{flag}=/$unit $pid /p"
  done
done
"""


def need_hosts() -> None:
    """Skip where no host can be had, and say why; in CI that is a failure."""
    reason = unavailable()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def holders(host: SystemdHost) -> dict[str, list[str]]:
    """Return what every process of the units holds for the flag, by unit, read from /proc inside."""
    script = HOLDERS.format(units=f"{WEB} {WORKER}", flag=FLAG)
    found: dict[str, list[str]] = {}
    for line in host.run(["sh", "-c", script]).stdout.splitlines():
        unit, dummy, value = line.split(" ")
        found.setdefault(unit, []).append(value)
    return found


def dual_writing(host: SystemdHost) -> None:
    """Have all processes of both units hold the flag on, from every file that says so."""
    present = host.run(["sh", "-c", f"ls {ENV_FILE} {WORKER_ENV} 2>/dev/null"], check=False).stdout.split()
    host.run(["sed", "-i", f"s/^{FLAG}=.*/{FLAG}=true/", *present])
    host.run(["systemctl", "restart", WEB, WORKER])
    up_with_app(host)
    wait_until(lambda: holders(host) == {WEB: ["true"] * 4, WORKER: ["true"]}, "five processes to hold dual-write on")


def identities(host: SystemdHost) -> str:
    """Return pid and start time of both units' main processes."""
    return host.run(["systemctl", "show", "-p", "MainPID,ExecMainStartTimestampMonotonic", WEB, WORKER]).stdout
