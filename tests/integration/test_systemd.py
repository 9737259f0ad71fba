"""The literal command over ssh, against a host that systemd has booted, with the application as real units."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.lab.host import App, SystemdHost, up_with_app
from tests.lab.host.app import ENV_FILE, WEB, WORKER
from tests.lab.traffic import Traffic, read, summary
from tests.lab.waiting import wait_until
from tests.support.measure import FLAG, figures, told
from tests.support.play import Ended, call, command, environ
from tests.support.units import WORKER_ENV, dual_writing, holders, identities

HOST = "staging-web-1"
TIMER = "dualwrite-drill-staging.timer"
LOCK = "/var/lib/dualwrite/staging.lock"


@pytest.fixture(scope="module")
def host(units_host: SystemdHost) -> SystemdHost:
    """The host with the application."""
    return units_host


@pytest.fixture(scope="module")
def app(host: SystemdHost) -> App:
    """How to reach the application."""
    return up_with_app(host)


@pytest.fixture(scope="module")
def users(host: SystemdHost, app: App, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Traffic for the whole module; the path of its log."""
    log = tmp_path_factory.mktemp("users") / "traffic.jsonl"
    with Traffic(host.address, 8000, app.token, log, rate=20):
        yield log


@pytest.fixture(scope="module")
def rollback(clone: Path, host: SystemdHost) -> Callable[..., Ended]:
    """Run the literal command from the folder that the README names; one variable maps the host's name to the host."""

    def run(*argv: str, **variables: str) -> Ended:
        env = environ(ANSIBLE_SSH_ARGS=f"-F {host.ssh_config}", **variables)
        return call(argv or command("staging"), clone / "reports", env, cwd=clone / "playbooks")

    return run


@pytest.fixture(scope="module")
def first(host: SystemdHost, app: App, users: Path, rollback: Callable[..., Ended]) -> Ended:
    """The literal command, under traffic, while the application dual-writes."""
    dual_writing(host)
    return rollback()


def test_the_literal_command_switches_every_process_of_both_units(host, first):
    assert first.rc == 0, first.text
    assert holders(host) == {WEB: ["false"] * 4, WORKER: ["false"]}
    assert first.closed()["hosts"] == {HOST: "done"}
    flag = first.phase("flag")
    assert flag["rolled"] == {"web": "restart", "worker": "restart"}
    figures(the_whole_command=first.took, roll=flag["timings"]["roll"], verified=first.phase("verify")["summary"])


def test_both_env_files_hold_it_and_nothing_else_of_them_changed(host, first):
    shared = host.read(ENV_FILE)
    assert [line for line in shared.splitlines() if line.startswith(FLAG)] == [f"{FLAG}=false"]
    assert shared.startswith("# DeltaCrown staging. Managed by the platform team")
    assert host.read(WORKER_ENV) == f"# the worker's own\n{FLAG}=false\n"
    modes = host.run(["stat", "-c", "%a %U:%G", ENV_FILE, WORKER_ENV]).stdout.splitlines()
    assert modes == ["640 root:deltacrown", "640 root:root"]


def test_no_request_failed_over_two_restarts(first, users):
    seen = summary(line for line in read(users) if line["time"] >= first.called.isoformat())
    assert seen["sent"] > 20
    assert seen["failed"] == 0, seen["errors"]
    figures(requests=seen["sent"], failed=seen["failed"], p95=f"{seen['p95_ms']:.0f} ms")


def test_the_report_is_there_and_no_lock(host, clone, first):
    assert first.run_folder.parent == clone / "reports" / "staging"
    assert HOST in told(first.run_folder, "incident.md")
    assert f"report: {first.run_folder / 'incident.html'}" in first.lines()
    assert host.run(["test", "-e", LOCK], check=False).returncode == 1


def test_the_same_command_again_changes_nothing(host, first, rollback):
    before = identities(host)
    ended = rollback(ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default")
    assert ended.rc == 0, ended.text
    assert ended.recap()[HOST]["changed"] == 0
    assert identities(host) == before
    figures(the_same_command_again=ended.took)


def test_flag_info_tells_it_ad_hoc(host, first, rollback):
    arguments = json.dumps({"flags": [FLAG], "workloads": "{{ dualwrite_workloads }}"})
    ended = rollback("ansible", "-i", "staging", "-m", "dualwrite.rollback.flag_info", "-a", arguments, "dualwrite")
    assert ended.rc == 0, ended.text
    answer = json.loads(ended.text[ended.text.index("{") :])
    assert (answer["drift"], len(answer["instances"])) == (False, 5)
    sources = {name: flags[FLAG]["source"] for name, flags in answer["workloads"].items()}
    assert re.fullmatch(rf"{ENV_FILE}:\d+", sources["web"])
    assert sources["worker"] == f"{WORKER_ENV}:2"


def test_the_journal_is_probed_ad_hoc(host, first, rollback):
    """What gunicorn itself says of the roll stands in the unit's journal only."""
    journal = {"kind": "log", "journal": WEB, "since": first.phase("flag")["roll_started"], "once": True}
    probes = [
        {"name": "new workers", "pattern": "Booting worker", "expect": {"min": 3}, **journal},
        {"name": "no crash", "pattern": "Worker failed to boot", "alive_pattern": "Booting worker", **journal},
        {"name": "nobody speaks", "pattern": "never said", "alive_pattern": "said by nobody", **journal},
    ]
    arguments = json.dumps({"probes": probes, "timeout": 5})
    ended = rollback("ansible", "-i", "staging", "-m", "dualwrite.rollback.health_probe", "-a", arguments, "dualwrite")
    assert ended.rc != 0, ended.text
    answer = json.loads(ended.text[ended.text.index("=> {") + 3 : ended.text.rindex("}") + 1])
    answers = {one["probe"]: one["answer"] for one in answer["evidence"]}
    assert answers == {"new workers": "pass", "no crash": "pass", "nobody speaks": "unknown"}
    assert "'nobody speaks'" in answer["msg"]


SCHEDULE = """
- name: Schedule the drills on another machine
  hosts: dualwrite
  gather_facts: false
  tasks:
    - name: Write the schedule
      ansible.builtin.import_role:
        name: dualwrite.rollback.drill
        tasks_from: schedule
        rolespec_validate: false
"""


def test_drills_are_scheduled_on_a_host_by_its_systemd(host, rollback, tmp_path):
    playbook = tmp_path / "schedule.yml"
    playbook.write_text(SCHEDULE, encoding="utf-8")
    given = {"dualwrite_drill_command": "/usr/bin/touch drilled", "dualwrite_drill_folder": "/run"}
    argv = ["ansible-playbook", str(playbook), "-i", "staging", "-e", json.dumps(given)]
    first, again = (rollback(*argv, ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default") for dummy in range(2))
    assert (first.rc, again.rc) == (0, 0), first.text + again.text
    assert (first.recap()[HOST]["changed"], again.recap()[HOST]["changed"]) == (2, 0)
    try:
        due = host.run(["systemctl", "show", "-p", "NextElapseUSecRealtime", "--value", TIMER]).stdout
        assert re.match(r"Tue \d{4}-(01|04|07|10)-0[1-7] 10:00:00 UTC", due), due
        assert host.run(["systemctl", "is-enabled", TIMER]).stdout.strip() == "enabled"
        host.run(["systemctl", "start", TIMER.replace(".timer", ".service")])
        assert host.run(["test", "-e", "/run/drilled"], check=False).returncode == 0
    finally:
        host.run(["systemctl", "disable", "--now", TIMER])
        host.run(["rm", "-f", "/run/drilled"])


def test_a_host_that_goes_away_in_mid_run_is_named_and_the_same_command_finishes(
    host, users, clone, rollback, tmp_path
):
    """ssh dies under the run once it has the lock; the host itself lives on."""
    dual_writing(host)
    seen = tmp_path / "seen"
    with seen.open("w") as out:
        env = environ(ANSIBLE_SSH_ARGS=f"-F {host.ssh_config}")
        streams = {"stdout": out, "stderr": subprocess.STDOUT}
        run = subprocess.Popen(command("staging"), cwd=clone / "playbooks", env=env, start_new_session=True, **streams)
        try:
            wait_until(lambda: " lock " in seen.read_text(), "the lock to be taken", 60)
            host.run(["systemctl", "kill", "--kill-who=all", "--signal=KILL", "ssh.service"])
            host.run(["systemctl", "stop", "ssh.service", "ssh.socket"], check=False)
            rc = run.wait(120)
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
            host.run(["systemctl", "start", "ssh.service"])
    text = seen.read_text()
    assert rc != 0, text
    assert re.search(rf"^not proved: {HOST}: .*Connection refused.* \(in: flag\)$", text, re.MULTILINE), text
    ended = Ended(rc, text, datetime.now(UTC), clone / "reports")
    assert ended.closed()["hosts"] == {HOST: "unreachable"}
    assert HOST in told(ended.run_folder, "incident.md")
    again = rollback()
    assert again.rc == 0, again.text
    assert "taken over from" in again.text
    assert holders(host) == {WEB: ["false"] * 4, WORKER: ["false"]}
    assert host.run(["test", "-e", LOCK], check=False).returncode == 1
    figures(finished_by_the_same_command=again.took)
