"""All members at once: up, the inventory that describes them, down."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from tests.fleet.compose import Compose
from tests.fleet.kubernetes import Kubernetes
from tests.fleet.member import Member
from tests.fleet.pidfile import Pidfile
from tests.fleet.systemd import Systemd
from tests.support.play import ROOT

FOLDER = ROOT / ".lab" / "molecule"
#: a further platform is one file beside these and a name here
MEMBERS: tuple[type[Member], ...] = (Pidfile, Systemd, Compose, Kubernetes)
#: the group, and the Molecule scenario, of all members together
MIXED = "mixed"


class Fleet:
    """The members that this machine can have, in one folder; there is one fleet per tree."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        self.inventory = folder / "inventory"
        self._remembered = folder / "fleet.json"

    def members(self) -> list[Member]:
        """Return the members that are up, or were left half up."""
        if not self._remembered.exists():
            return []
        told = json.loads(self._remembered.read_text())
        return [self._member(kind, told["name"]) for kind in MEMBERS if kind.platform in told["platforms"]]

    def up(self) -> list[Member]:
        """Start every member that can be had anew and write the inventory. Raises LabError; nothing is left then."""
        self.down()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        name = f"molecule-{os.getpid()}-{secrets.token_hex(2)}"
        missing = unavailable()
        platforms = [kind.platform for kind in MEMBERS if kind.platform not in missing]
        self._remembered.write_text(json.dumps({"name": name, "platforms": platforms}))
        try:
            at_once(lambda member: member.up(), self.members())
            self._describe()
        except BaseException:
            self.down()
            raise
        return self.members()

    def down(self) -> None:
        """End every member; the reports of the runs stay. Raises LabError when one can't be ended."""
        at_once(lambda member: member.down(), self.members())
        shutil.rmtree(self.inventory, ignore_errors=True)
        self._remembered.unlink(missing_ok=True)

    def _member(self, kind: type[Member], name: str) -> Member:
        return kind(self.folder / kind.platform, name)

    def _describe(self) -> None:
        """Write the inventory: each platform's shipped variables as links, and what is true of these hosts only."""
        scenario, reports = (
            "{{ lookup('ansible.builtin.env', 'MOLECULE_SCENARIO_NAME') }}",
            str(self.folder / "reports"),
        )
        common = {
            "dualwrite_environment": scenario,
            "dualwrite_protected": False,
            "dualwrite_reports": reports,
            "dualwrite_hold": 1,
        }
        local = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "fleet_scenario": scenario,
            "fleet_root": str(ROOT),
            "fleet_reports": reports,
            "fleet_command": [sys.executable, "-m", "tests.fleet"],
        }
        groups: dict[str, Any] = {}
        variables = self.inventory / "group_vars"
        (variables / "all").mkdir(parents=True)
        for name in ("deltacrown.yml", "deltacrown_metrics.yml"):
            (variables / "all" / name).symlink_to(ROOT / "inventories" / "profiles" / name)
        for member in self.members():
            (variables / member.platform).symlink_to(member.group_variables())
            groups[member.platform] = {"hosts": {member.host: {**common, **member.host_variables()}}}
        children = {"dualwrite": {"children": groups}, MIXED: {"children": {platform: {} for platform in groups}}}
        hosts = {"all": {"hosts": {"localhost": local}, "children": children}}
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))


def unavailable() -> dict[str, str]:
    """Return platform -> why it can't be had on this machine."""
    asked = {kind.platform: kind(FOLDER / kind.platform, "molecule").unavailable() for kind in MEMBERS}
    return {platform: reason for platform, reason in asked.items() if reason}


def at_once(what: Callable[[Member], Any], members: Iterable[Member]) -> dict[str, Any]:
    """Do the same with all members at a time, wait for all, and return host -> result; raise the first failure."""
    with ThreadPoolExecutor() as pool:
        going = {member.host: pool.submit(what, member) for member in members}
    return {host: one.result() for host, one in going.items()}
