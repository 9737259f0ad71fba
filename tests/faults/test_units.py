"""Faults of real units on a host that systemd has booted: what can not live with the change gets the old value."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.expect import closed, sentence
from tests.lab.host import SystemdHost, up_with_app
from tests.lab.host.app import ENV_FILE, WEB, WORKER
from tests.lab.waiting import wait_until
from tests.support.measure import FLAG
from tests.support.play import Ended, play
from tests.support.units import dual_writing, holders, identities, need_hosts

HOST = "staging-web-1"
LOCKS = "/var/lib/dualwrite"
DROP_IN = f"/etc/systemd/system/{WEB}.d/50-fault.conf"
OLD = {WEB: ["true"] * 4, WORKER: ["true"]}


@pytest.fixture(scope="module")
def one_host() -> Iterator[SystemdHost]:
    """A host of this module's own."""
    need_hosts()
    one = SystemdHost(f"faults-{os.getpid()}")
    try:
        up_with_app(one)
        yield one
    finally:
        one.down()


@pytest.fixture
def host(one_host: SystemdHost) -> SystemdHost:
    """The host, dual-writing, with nothing of an earlier test left."""
    one_host.run(["rm", "-f", DROP_IN])
    one_host.run(["systemctl", "daemon-reload"])
    if holders(one_host) != OLD or f"\n{FLAG}=true\n" not in one_host.read(ENV_FILE):
        dual_writing(one_host)
    return one_host


@pytest.fixture
def rollback(host: SystemdHost, reports: Path) -> Callable[..., Ended]:
    """Run the literal command against the host."""

    def call(*more: str) -> Ended:
        arguments = ["-e", f"dualwrite_reports={reports}", *more]
        return play(reports, *arguments, inventory="staging", ANSIBLE_SSH_ARGS=f"-F {host.ssh_config}")

    return call


def _before_start(host: SystemdHost, script: str) -> None:
    """Have the web unit run a script (sh) before it starts, as long as dual-write is off."""
    host.write("/usr/local/bin/before-start", f'#!/bin/sh\n[ "${FLAG}" = true ] && exit 0\n{script}\n', mode="0755")
    host.write(DROP_IN, "[Service]\nExecStartPre=/usr/local/bin/before-start\n")
    host.run(["systemctl", "daemon-reload"])


def _undone(host: SystemdHost, ended: Ended, env: str, *words: str) -> None:
    """Assert that the change was taken back in all processes and files, and that the report says so."""
    sentence(ended, *words, f"the change was taken back, web, worker run with {FLAG}=true again")
    assert host.read(ENV_FILE) == env
    assert holders(host) == OLD
    assert host.run(["systemctl", "is-active", WEB, WORKER]).stdout.split() == ["active", "active"]
    end = closed(ended.run_folder)
    assert end["hosts"] == {HOST: "undone"}
    assert "the change was taken back" in end["failed_hosts"][HOST]
    assert "the change was taken back" in (ended.run_folder / "incident.md").read_text()
    assert host.run(["ls", "-A", LOCKS]).stdout == ""


def test_a_unit_that_does_not_start_after_the_change_runs_with_the_old_value_again(host, rollback):
    env = host.read(ENV_FILE)
    password = re.search(r'^DATABASE_PASSWORD="(.+)"$', env, re.MULTILINE)[1]
    _before_start(host, 'echo "cannot log in with $DATABASE_PASSWORD"; exit 7')
    ended = rollback("-vvvv")
    assert password in host.journal(WEB)
    _undone(host, ended, env, "workload 'web'", "the unit did not start", "the journal says:", "cannot log in with")
    shown = [ended.text, *(path.read_text() for path in ended.run_folder.iterdir())]
    assert not [text for text in shown if password in text]


def test_a_unit_that_hangs_in_its_start_is_ended_at_the_deadline(host, rollback):
    env = host.read(ENV_FILE)
    _before_start(host, "exec sleep 600")
    ended = rollback("-e", "dualwrite_timeout=8")
    _undone(host, ended, env, "workload 'web'", "the unit did not start", "8 s")
    assert host.run(["pgrep", "-x", "sleep"], check=False).stdout == ""


def test_a_user_who_may_not_read_the_env_file_changes_nothing(host, rollback):
    """Root reads everything, so the run forgets become: true; the lock lies where that user may write."""
    before = (host.read(ENV_FILE), identities(host))
    ended = rollback("-e", '{"ansible_become": false, "dualwrite_lock_folder": "/tmp/locks"}')
    sentence(ended, f"{ENV_FILE}: the file can't be read: Permission denied")
    assert closed(ended.run_folder)["hosts"] == {HOST: "failed"}
    assert (host.read(ENV_FILE), identities(host), holders(host)) == (*before, OLD)
    assert host.run(["ls", "-A", "/tmp/locks"]).stdout == ""


def test_a_user_who_may_not_take_the_lock_is_told_what_to_do(host, rollback):
    before = (host.read(ENV_FILE), identities(host))
    ended = rollback("-e", '{"ansible_become": false}')
    sentence(ended, LOCKS, "Permission denied", "become: true")
    assert closed(ended.run_folder)["hosts"] == {HOST: "failed"}
    assert (host.read(ENV_FILE), identities(host)) == before


def test_a_connection_that_is_lost_in_mid_roll_is_named_and_the_same_command_finishes(host, rollback):
    """The host goes on without its controller; what the controller can't see any more it does not believe."""
    _before_start(host, "exec sleep 4")  # so that the roll takes a while
    ended: list[Ended] = []
    operator = threading.Thread(target=lambda: ended.append(rollback()))
    operator.start()
    wait_until(lambda: f"\n{FLAG}=false\n" in host.read(ENV_FILE), "the edit", 60)
    host.run(["pkill", "-KILL", "-f", "^sshd: deploy"])
    operator.join()
    (first,) = ended
    sentence(first, f"not proved: {HOST}:")
    assert closed(first.run_folder)["hosts"] == {HOST: "unreachable"}
    assert "UNREACH" in first.text
    again = rollback()
    assert again.rc == 0, again.text
    assert closed(again.run_folder)["hosts"][HOST] in ("done", "unchanged")
    assert holders(host) == {WEB: ["false"] * 4, WORKER: ["false"]}
    assert host.run(["ls", "-A", LOCKS]).stdout == ""
