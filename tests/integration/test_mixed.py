"""One run over hosts of different platforms: each with its own variables, and one's failure stops no other."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.lab.host import SystemdHost, up_with_app
from tests.lab.host.app import WEB, WORKER
from tests.lab.lab import Lab
from tests.support.measure import FLAG, PROCESSES, dual_writing, figures, held, told
from tests.support.play import ROOT, Ended, call, environ
from tests.support.units import dual_writing as units_dual_writing
from tests.support.units import holders, need_hosts

INVENTORIES = ROOT / "inventories"
HOSTS = {"lab": "pidfile", "staging-web-1": "systemd"}
#: what the environment says once for all its hosts, whatever their platform
ENVIRONMENT = {"dualwrite_environment": "mixed", "dualwrite_protected": False, "dualwrite_hold": 2}


@pytest.fixture(scope="module")
def host() -> Iterator[SystemdHost]:
    """The host that systemd has booted."""
    need_hosts()
    one = SystemdHost(f"mixed-{os.getpid()}")
    try:
        up_with_app(one)
        yield one
    finally:
        one.down()


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of both: the hosts and variables of inventories/lab and inventories/staging as two groups."""
    folder = tmp_path_factory.mktemp("mixed")
    groups = {name: yaml.safe_load((INVENTORIES / name / "hosts.yml").read_text()) for name in ("lab", "staging")}
    lab = groups["lab"]["all"]["children"]["dualwrite"]["hosts"]
    systemd = groups["staging"]["all"]["children"]["dualwrite"]["children"]["systemd"]["hosts"]
    children = {"pidfile": {"hosts": lab}, "systemd": {"hosts": systemd}}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": {"dualwrite": {"children": children}}}}))
    variables = folder / "group_vars"
    shutil.copytree(INVENTORIES / "staging" / "group_vars" / "systemd", variables / "systemd")
    (variables / "all").mkdir()
    shutil.copy(INVENTORIES / "profiles" / "deltacrown.yml", variables / "all" / "profile.yml")
    (variables / "all" / "environment.yml").write_text(yaml.safe_dump(ENVIRONMENT))
    own = yaml.safe_load((INVENTORIES / "lab" / "group_vars" / "all" / "environment.yml").read_text())
    kept = {name: value for name, value in own.items() if name not in ENVIRONMENT}
    (variables / "pidfile").mkdir()
    (variables / "pidfile" / "dualwrite.yml").write_text(yaml.safe_dump(kept))
    return folder


@pytest.fixture
def run(lab: Lab, host: SystemdHost, inventory: Path, tmp_path: Path) -> Callable[[str], Ended]:
    """Run a playbook over both."""

    def playbook(name: str) -> Ended:
        env = environ(tmp_path / "reports", DUALWRITE_LAB=str(lab.dir), ANSIBLE_SSH_ARGS=f"-F {host.ssh_config}")
        return call(["ansible-playbook", f"{name}.yml", "-i", str(inventory)], tmp_path / "reports", env)

    return playbook


@pytest.fixture
def both_on(lab: Lab, host: SystemdHost) -> None:
    """Have every process of both applications dual-write."""
    dual_writing(lab)
    units_dual_writing(host)


def test_one_run_switches_all_hosts_off_whatever_their_platform(lab, host, both_on, run):
    ended = run("rollback_dual_write")
    assert ended.rc == 0, ended.text
    assert held(lab) == ["false"] * PROCESSES
    assert holders(host) == {WEB: ["false"] * 4, WORKER: ["false"]}
    assert ended.closed()["hosts"] == dict.fromkeys(HOSTS, "done")
    assert {ended.phase("flag", name)["rolled"]["web"] for name in HOSTS} == {"reload", "restart"}
    for name in HOSTS:
        assert name in told(ended.run_folder, "incident.md")
    figures(two_platforms_in_one_run=ended.took)


def test_one_table_shows_all_hosts(lab, host, both_on, run):
    ended = run("status")
    assert ended.rc == 0, ended.text
    rows = [line.split()[:4] for line in ended.lines() if FLAG in line and line.split()[0] in HOSTS]
    assert sorted(rows) == sorted([name, workload, FLAG, "true"] for name in HOSTS for workload in ("web", "worker"))


def test_a_host_whose_env_file_is_gone_stops_no_other(lab, host, both_on, run):
    content = lab.paths.env_file.read_bytes()
    lab.paths.env_file.unlink()
    try:
        ended = run("rollback_dual_write")
    finally:
        lab.paths.env_file.write_bytes(content)
    assert ended.rc != 0
    assert ended.closed()["hosts"] == {"lab": "failed", "staging-web-1": "done"}
    assert holders(host) == {WEB: ["false"] * 4, WORKER: ["false"]}
    assert held(lab) == ["true"] * PROCESSES
    assert f"{lab.paths.env_file}: the file does not exist" in ended.closed()["failed_hosts"]["lab"]
