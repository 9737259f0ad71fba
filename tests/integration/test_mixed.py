"""One run over hosts of different platforms: each with its own variables, and one's failure stops no other."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import pytest
import yaml

from tests.lab.docker.app import ComposeApp
from tests.lab.docker.remote import ComposeHost
from tests.lab.host import SystemdHost
from tests.lab.host.app import WEB, WORKER
from tests.lab.lab import Lab
from tests.support import projects
from tests.support.measure import FLAG, PROCESSES, dual_writing, figures, held, told
from tests.support.play import ROOT, Ended, call, environ
from tests.support.units import dual_writing as units_dual_writing
from tests.support.units import holders, need_hosts

INVENTORIES = ROOT / "inventories"
LAB, UNITS, DOCKER = HOSTS = ("lab", "staging-web-1", "staging-docker-1")
#: what the environment says once for all its hosts, whatever their platform
ENVIRONMENT = {
    "dualwrite_environment": "mixed",
    "dualwrite_protected": False,
    "dualwrite_reports": "{{ lookup('ansible.builtin.env', 'DUALWRITE_REPORTS') }}",
    "dualwrite_hold": 2,
}


@pytest.fixture(scope="module")
def host(units_host: SystemdHost) -> SystemdHost:
    """The host with units."""
    return units_host


@pytest.fixture(scope="module")
def docker(project: ComposeApp) -> Iterator[ComposeHost]:
    """A host from which the application is worked with as a Compose project, reached by ssh as the others are."""
    need_hosts()
    one = ComposeHost(f"mixed-docker-{os.getpid()}", project)
    try:
        projects.dual_writing(project)
        yield one.up()
    finally:
        one.down()


@pytest.fixture(scope="module")
def inventory(docker: ComposeHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of all: the hosts and variables of inventories lab, staging and staging-compose as groups."""
    folder = tmp_path_factory.mktemp("mixed")
    listed = {
        name: yaml.safe_load((INVENTORIES / name / "hosts.yml").read_text())["all"]["children"]["dualwrite"]
        for name in ("lab", "staging", "staging-compose")
    }
    children = {"pidfile": {"hosts": listed["lab"]["hosts"]}}
    children |= {**listed["staging"]["children"], **listed["staging-compose"]["children"]}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": {"dualwrite": {"children": children}}}}))
    variables = folder / "group_vars"
    for name, group in (("staging", "systemd"), ("staging-compose", "compose")):
        shutil.copytree(INVENTORIES / name / "group_vars" / group, variables / group)
    (variables / "compose" / "here.yml").write_text(yaml.safe_dump({"deltacrown_project": str(docker.app.folder)}))
    (variables / "all").mkdir()
    for name in ("deltacrown.yml", "deltacrown_metrics.yml"):
        shutil.copy(INVENTORIES / "profiles" / name, variables / "all" / name)
    (variables / "all" / "environment.yml").write_text(yaml.safe_dump(ENVIRONMENT))
    own = yaml.safe_load((INVENTORIES / "lab" / "group_vars" / "all" / "environment.yml").read_text())
    kept = {name: value for name, value in own.items() if name not in ENVIRONMENT}
    (variables / "pidfile").mkdir()
    (variables / "pidfile" / "dualwrite.yml").write_text(yaml.safe_dump(kept))
    return folder


@pytest.fixture
def run(lab: Lab, host: SystemdHost, docker: ComposeHost, inventory: Path, tmp_path: Path) -> Callable[[str], Ended]:
    """Run a playbook over all of them."""
    config = tmp_path / "ssh_config"
    config.write_text(f"Include {host.ssh_config}\nInclude {docker.ssh_config}\n")

    def playbook(name: str) -> Ended:
        env = environ(tmp_path / "reports", DUALWRITE_LAB=str(lab.dir), ANSIBLE_SSH_ARGS=f"-F {config}")
        return call(["ansible-playbook", f"{name}.yml", "-i", str(inventory)], tmp_path / "reports", env)

    return playbook


@pytest.fixture
def all_on(lab: Lab, host: SystemdHost, docker: ComposeHost) -> None:
    """Have every process of the three applications dual-write."""
    with futures.ThreadPoolExecutor() as pool:
        list(pool.map(lambda do: do(), (lambda: units_dual_writing(host), lambda: projects.dual_writing(docker.app))))
    dual_writing(lab)


def off(lab: Lab, host: SystemdHost, docker: ComposeHost) -> set[str]:
    """Return the hosts of which every process holds the flag off."""
    found = {LAB} if held(lab) == ["false"] * PROCESSES else set()
    found |= {UNITS} if holders(host) == {WEB: ["false"] * 4, WORKER: ["false"]} else set()
    containers = [projects.holders(docker.app, service) for service in projects.SERVICES]
    return found | ({DOCKER} if [len(one) >= 1 and set(one) for one in containers] == [{"false"}] * 2 else set())


def test_one_table_shows_all_hosts_and_what_only_the_engine_sees(docker, run):
    """Over ssh, on a host that is not the engine's own, the processes in containers are asked for from inside."""
    assert docker.host.run(["pgrep", "--full", "gunicorn|run_worker"], check=False).returncode == 1
    ended = run("status")
    assert ended.rc == 0, ended.text
    rows = [line.split() for line in ended.lines() if FLAG in line and line.split()[0] in HOSTS]
    assert sorted(row[:4] for row in rows) == sorted(
        [name, workload, FLAG, "true"] for name in HOSTS for workload in projects.SERVICES
    )
    (web,) = [row for row in rows if row[:2] == [DOCKER, "web"]]
    assert web[4:6] == ["true", "x"]
    assert int(web[6]) >= 4, ended.text


def test_one_run_switches_all_hosts_off_whatever_their_platform(lab, host, docker, all_on, run):
    ended = run("rollback_dual_write")
    assert ended.rc == 0, ended.text
    assert off(lab, host, docker) == set(HOSTS)
    assert ended.closed()["hosts"] == dict.fromkeys(HOSTS, "done")
    assert {ended.phase("flag", name)["rolled"]["web"] for name in HOSTS} == {"reload", "restart", "recreate"}
    for name in HOSTS:
        assert name in told(ended.run_folder, "incident.md")
    figures(three_platforms_in_one_run=ended.took)


def test_a_docker_host_that_fails_stops_no_other(lab, host, docker, all_on, run):
    path = docker.app.folder / "compose.yaml"
    aside = path.rename(path.with_name("aside"))
    try:
        ended = run("rollback_dual_write")
    finally:
        aside.rename(path)
    assert ended.rc != 0
    assert ended.closed()["hosts"] == {LAB: "done", UNITS: "done", DOCKER: "failed"}
    assert off(lab, host, docker) == {LAB, UNITS}
    assert f"{path.parent}: there is no Compose file" in ended.closed()["failed_hosts"][DOCKER]
