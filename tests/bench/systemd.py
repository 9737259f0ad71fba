"""Hosts booted by systemd, one small unit each: the runbook's paste over ssh beside the module flag."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from tests.lab.host import SystemdHost

from .arms import FLAG, Subject, call_module

UNIT = "shop-web.service"
ENV_FILE = "/etc/shop.env"
INSIDE = "/opt/collections/ansible_collections/dualwrite/rollback"
#: seconds that the unit takes to start, as a web application does
STARTS_IN = 2
TEXT = f"# of the benchmark\nSECRET=s3cr3t\n{FLAG}=true\n"
#: what the runbook's page has one paste: edit the file, restart the unit
PASTED = f"sudo sed -i s/{FLAG}=true/{FLAG}=false/ {ENV_FILE} && sudo systemctl restart {UNIT}"


class Fleet(Subject):
    """Hosts with one small unit each: a master and two workers that hold the flag in their environment."""

    def __init__(self, hosts: Sequence[SystemdHost], folder: Path) -> None:
        self.hosts = list(hosts)
        self.what = f"{len(self.hosts)} systemd host{'s' if len(self.hosts) > 1 else ''}"
        self.ssh_config = folder / "ssh_config"
        self.ssh_config.write_text("".join(f"Include {host.ssh_config}\n" for host in hosts))
        self.inventory = folder / "hosts.yml"
        workload = {"name": "web", "platform": "systemd", "options": {"unit": UNIT}}
        variables = {
            "ansible_user": "deploy",
            "ansible_become": True,
            "bench_flags": {FLAG: False},
            "bench_workloads": [workload],
        }
        named = {host.name: {} for host in hosts}
        self.inventory.write_text(yaml.safe_dump({"all": {"hosts": named, "vars": variables}}))

    def prepare(self) -> None:
        """Write env file and unit on every host."""
        tiny = f"{INSIDE}/tests/unit/platforms/tiny.py"
        unit = "\n".join(
            [
                "[Unit]",
                "StartLimitIntervalSec=0",  # a benchmark restarts it more often than a human does
                "[Service]",
                f"EnvironmentFile={ENV_FILE}",
                f"ExecStartPre=/bin/sleep {STARTS_IN}",
                f"ExecStart=/usr/bin/python3 {tiny} --pidfile /run/shop.pid --env-file {ENV_FILE}",
                "",
            ]
        )
        for host in self.hosts:
            host.write(f"/etc/systemd/system/{UNIT}", unit)
            host.run(["systemctl", "daemon-reload"])

    def switch_on(self) -> None:
        """Have every process hold the flag on again."""
        for host in self.hosts:
            host.write(ENV_FILE, TEXT)
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            list(pool.map(lambda host: host.run(["systemctl", "restart", UNIT]), self.hosts))

    def held(self) -> list[str]:
        """Return what every process of the units holds, read from /proc."""
        script = (
            f"for pid in $(cat /sys/fs/cgroup/systemd/system.slice/{UNIT}/cgroup.procs "
            f"/sys/fs/cgroup/system.slice/{UNIT}/cgroup.procs 2>/dev/null); do "
            f"tr '\\0' '\\n' </proc/$pid/environ | sed -n 's/^{FLAG}=//p'; done"
        )
        return [value for host in self.hosts for value in host.run(["sh", "-c", script]).stdout.split()]

    # --- the arms --------------------------------------------------------------------------------------------------

    def pasted(self) -> None:
        """The runbook's commands, pasted for one host after the other."""
        for host in self.hosts:
            self._ssh(host)

    def at_once(self) -> None:
        """The same commands on all hosts at once: what the platform itself needs."""
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            list(pool.map(self._ssh, self.hosts))

    def module(self) -> float:
        """The module flag on all hosts, which also reads every process again and sees the unit stay."""
        return call_module(self.inventory, ANSIBLE_SSH_ARGS=f"-F {self.ssh_config}")

    def _ssh(self, host: SystemdHost) -> None:
        subprocess.run(["ssh", "-F", str(host.ssh_config), host.name, PASTED], check=True, capture_output=True)
