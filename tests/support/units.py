"""The application as units of a host that systemd has booted: what its processes hold, how to have it dual-write."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.lab.host import SystemdHost, unavailable, up_with_app
from tests.lab.host.app import ENV_FILE, WEB, WORKER
from tests.lab.waiting import wait_until
from tests.support.measure import FLAG
from tests.support.play import Ended, call, environ

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


class UnitsOperator:
    """Whoever runs playbooks for the application on such a host from a clone, over ssh."""

    def __init__(self, host: SystemdHost, clone: Path) -> None:
        self.host, self.clone = host, clone

    def run(self, playbook: str, **variables: Any) -> Ended:
        """Run a playbook to its end."""
        argv = ["ansible-playbook", f"{playbook}.yml", "-i", "staging", "-e", json.dumps(variables)]
        env = environ(ANSIBLE_SSH_ARGS=f"-F {self.host.ssh_config}")
        return call(argv, self.clone / "reports", env, cwd=self.clone / "playbooks")


def holders(host: SystemdHost, flag: str = FLAG) -> dict[str, list[str]]:
    """Return what every process of the units holds for a flag, by unit, read from /proc inside."""
    script = HOLDERS.format(units=f"{WEB} {WORKER}", flag=flag)
    found: dict[str, list[str]] = {}
    for line in host.run(["sh", "-c", script]).stdout.splitlines():
        unit, dummy, value = line.split(" ")
        found.setdefault(unit, []).append(value)
    return found


def set_flags(host: SystemdHost, **flags: str) -> None:
    """Have all processes of both units hold these flags, from every file that says so, as an operator would."""
    present = host.run(["sh", "-c", f"ls {ENV_FILE} {WORKER_ENV} 2>/dev/null"], check=False).stdout.split()
    edits = [f"--expression=s/^{flag}=.*/{flag}={value}/" for flag, value in flags.items()]
    host.run(["sed", "-i", *edits, *present])
    host.run(["systemctl", "restart", WEB, WORKER])
    up_with_app(host)
    for flag, value in flags.items():
        wait_until(
            lambda flag=flag, value=value: holders(host, flag) == {WEB: [value] * 4, WORKER: [value]},
            f"five processes to hold {flag}={value}",
        )


def dual_writing(host: SystemdHost) -> None:
    """Have all processes of both units hold the flag on."""
    set_flags(host, **{FLAG: "true"})


def sql(host: SystemdHost, statement: str) -> str:
    """Run a statement in the application's database and return what it gives."""
    argv = ["psql", "--quiet", "--no-align", "--tuples-only", "-v", "ON_ERROR_STOP=1", "deltacrown"]
    return host.run(argv, user="postgres", stdin=statement).stdout.strip()


def identities(host: SystemdHost) -> str:
    """Return pid and start time of both units' main processes."""
    return host.run(["systemctl", "show", "-p", "MainPID,ExecMainStartTimestampMonotonic", WEB, WORKER]).stdout
