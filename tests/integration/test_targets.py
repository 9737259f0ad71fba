"""Which hosts a run acts on: none is refused, a protected environment asks first, a dead one is named."""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.registry import make
from tests.lab.lab import Lab
from tests.support.measure import PROCESSES, State, dual_writing, figures, held, told
from tests.support.play import ROOT, Ended, call, command, environ, play

INVENTORIES = ROOT / "inventories"
NOTHING = "No host of the group 'dualwrite' is left"
GROUPS = {
    "missing": "all:\n  hosts:\n    web-1:\n      ansible_connection: local\n",
    "empty": "all:\n  hosts:\n    web-1:\n      ansible_connection: local\n  children:\n    dualwrite:\n",
    "beside": """\
all:
  children:
    dualwrite:
      hosts:
        web-1:
          ansible_connection: local
    others:
      hosts:
        db-1:
          ansible_connection: local
""",
}


# --- no host --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "more", "sentence"),
    [
        ("missing", [], NOTHING),
        ("empty", [], NOTHING),
        ("beside", ["--limit", "others"], NOTHING),
        ("beside", ["--limit", "nobody"], "no hosts to target"),
    ],
    ids=["no-group", "empty-group", "limit-outside-the-group", "limit-to-nobody"],
)
def test_an_empty_set_of_targets_is_refused(tmp_path: Path, hosts: str, more: list[str], sentence: str) -> None:
    (tmp_path / "hosts.yml").write_text(GROUPS[hosts])
    ended = play(tmp_path / "reports", *more, inventory=str(tmp_path))
    assert ended.rc != 0, ended.text
    assert len([line for line in ended.lines() if sentence in line]) == 1, ended.text
    assert "Traceback" not in ended.text
    assert not (tmp_path / "reports").exists()
    figures(refused_after=ended.took)


# --- a protected environment ----------------------------------------------------------------------------------------


@pytest.fixture
def trap(tmp_path: Path) -> dict[str, str]:
    """Variables under which every ssh connection fails at once and leaves a line in the file `connections`."""
    script = tmp_path / "connect"
    script.write_text(f"#!/bin/sh\necho connection >> {tmp_path}/connections\nexit 1\n")
    script.chmod(0o755)
    (tmp_path / "ssh_config").write_text(f"Host *\n  ProxyCommand {script}\n  ControlMaster no\n")
    return {"ANSIBLE_SSH_ARGS": f"-F {tmp_path / 'ssh_config'}"}


@pytest.fixture
def production(clone: Path, trap: dict[str, str]) -> Callable[..., Ended]:
    """Run the literal command on production, whose reports would lie in the clone."""

    def run(*more: str) -> Ended:
        return call(command("production", more), clone / "reports", environ(**trap), cwd=clone / "playbooks")

    return run


def test_production_is_refused_without_confirmation_and_no_connection_is_tried(tmp_path, clone, production):
    ended = production()
    assert ended.rc != 0
    said = [line for line in ended.lines() if "the environment 'production' is protected" in line]
    assert len(said) == 1, ended.text
    for words in ("-e dualwrite_confirm=production", "-e dualwrite_reason=", "-e dualwrite_ticket="):
        assert words in said[0]
    assert not (tmp_path / "connections").exists()
    assert not (clone / "reports" / "production").exists()
    figures(refused_after=ended.took)


def test_check_mode_asks_production_for_no_confirmation(tmp_path, clone, production):
    """Its hosts can't be reached from here, and that is said of each of them."""
    ended = production("--check", "--diff")
    assert "is protected" not in ended.text
    assert (tmp_path / "connections").exists()
    assert ended.rc != 0, ended.text
    for host in ("production-web-1", "production-web-2", "production-web-3", "production-docker-1"):
        assert [line for line in ended.lines() if host in line], ended.text
    assert not (clone / "reports" / "production").exists()


def test_production_describes_its_hosts_of_every_platform(clone, trap):
    """Each group says for its hosts what runs there; the platforms take it as it stands."""
    argv = ["ansible", "dualwrite", "-i", "production", "--one-line", "-m", "debug", "-a", "var=dualwrite_workloads"]
    said = call(argv, clone / "reports", environ(**trap), cwd=clone / "playbooks").lines()
    told = dict(re.findall(r"^(\S+) \| SUCCESS => (.*)$", "\n".join(said), re.MULTILINE))
    workloads = {host: json.loads(text)["dualwrite_workloads"] for host, text in told.items()}
    made = {host: {one["name"]: type(make(one)).__name__ for one in listed} for host, listed in workloads.items()}
    units = dict.fromkeys(("web", "worker"), "SystemdPlatform")
    assert made == {
        "production-web-1": units,
        "production-web-2": units,
        "production-web-3": {"web": "Units", "worker": "SystemdPlatform"},
        "production-docker-1": dict.fromkeys(units, "ComposePlatform"),
    }


# --- one host of two does not answer --------------------------------------------------------------------------------


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of 127.77.7.7 that nobody listens on and that nobody else is given meanwhile."""
    with socket.socket() as held_back:
        held_back.bind(("127.77.7.7", 0))
        yield held_back.getsockname()[1]


@pytest.fixture
def mixed(tmp_path: Path, closed_port: int) -> Path:
    """The inventory of the lab with a host more, which comes first and does not answer."""
    folder = tmp_path / "inventory"
    shutil.copytree(INVENTORIES / "lab", folder)
    before, hosts, after = (INVENTORIES / "lab" / "hosts.yml").read_text().partition("      hosts:\n")
    dead = {"ansible_host": "127.77.7.7", "ansible_port": closed_port, "ansible_connection": "ssh"}
    (folder / "hosts.yml").write_text(f"{before}{hosts}        dead: {json.dumps(dead)}\n{after}")
    return folder


def test_a_host_that_does_not_answer_is_named_and_the_other_is_done(lab: Lab, tmp_path: Path, mixed: Path) -> None:
    dual_writing(lab)
    ended: Ended = play(tmp_path / "reports", inventory=str(mixed), DUALWRITE_LAB=str(lab.dir))
    assert ended.rc != 0, ended.text
    assert held(lab) == ["false"] * PROCESSES
    closed = ended.closed()
    assert (closed["outcome"], closed["hosts"]) == ("partly", {"dead": "unreachable", "lab": "done"})
    assert re.search(r"^not proved: dead: Failed to connect to the host via ssh: .*refused", ended.text, re.MULTILINE)
    assert list(closed["failed_hosts"]) == ["dead"]
    for name in ("incident.md", "incident.html"):
        assert re.search(r"dead.{0,40}unreachable", told(ended.run_folder, name)), name
    recap = [line for line in ended.lines() if line.startswith("not proved:")]
    assert len(recap) == 1, ended.text
    assert recap[0].startswith("not proved: dead: ")
    assert "127.77.7.7" in recap[0]
    assert not re.search(r"[{}]", ended.text), ended.text
    assert lab.traffic_summary(since=ended.called)["failed"] == 0
    figures(one_of_two_hosts=ended.took)


def test_check_mode_names_the_host_that_does_not_answer_too(lab: Lab, tmp_path: Path, mixed: Path) -> None:
    before = State.of(lab)
    ended = play(tmp_path / "reports", "--check", inventory=str(mixed), DUALWRITE_LAB=str(lab.dir))
    assert ended.rc != 0, ended.text
    assert [line for line in ended.lines() if "dead" in line and "127.77.7.7" in line], ended.text
    assert State.of(lab) == before
