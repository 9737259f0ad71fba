"""An application that does not do what it should: the flag is off all the same, or all is as before, and it is said."""

from __future__ import annotations

import json
import subprocess
import threading
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.expect import canary_since, failed, proved, shown
from tests.lab.waiting import wait_until
from tests.support.measure import FLAG, canaries, held


def test_a_start_that_is_refused_is_taken_back_everywhere(bench, lab, before, rollback):
    """Web and worker read the same file, so both go back; the new processes hold the old value."""
    bench.refuses("web", "echo 'no dual-write, no start' >&2; exit 3")
    log = str(lab.paths.log_dir / "start.log")
    workloads = bench.workloads(web={"roll": ["restart"], "log_file": log})
    failed(
        rollback(variables=workloads), lab,
        "workload 'web': the workload did not start", "start-web' ended with 3", "it said: no dual-write, no start",
        f"the change was taken back, web, worker run with {FLAG}=true again",
        outcome="undone",
    )  # fmt: skip
    assert lab.paths.env_file.read_bytes() == before.env
    assert held(lab) == ["true"] * 5
    assert not list(lab.paths.run_dir.glob("*.restarting"))
    assert lab.request("GET", "/health/")[1]["status"] == "healthy"


def test_a_start_that_hangs_is_ended_in_time_and_taken_back(bench, lab, before, rollback):
    bench.refuses("web", "sleep 300")
    workloads = bench.workloads(web={"roll": ["restart"], "start_timeout": 4})
    failed(
        rollback(variables=workloads), lab,
        "workload 'web': the workload did not start: no live process in", "within 4 s",
        f"the change was taken back, web, worker run with {FLAG}=true again",
        outcome="undone",
    )  # fmt: skip
    assert lab.paths.env_file.read_bytes() == before.env
    assert held(lab) == ["true"] * 5
    # a start that goes on behind our back would one day be a second copy of the application
    assert not subprocess.run(["pgrep", "-f", f"^/bin/sh {lab.paths.script('start-web')}"], check=False).stdout


# --- the signal is ignored ------------------------------------------------------------------------------------------


def test_an_application_that_ignores_the_signal_is_restarted_where_that_is_allowed(bench, lab, rollback):
    bench.arrange(reload=False)
    ended = rollback(variables=bench.workloads(web={"reload_timeout": 2}))
    proved(ended, lab)
    assert ended.phase("flag")["rolled"]["web"] == "reload, restart"


def test_an_application_that_ignores_the_signal_fails_where_a_restart_is_not_allowed(bench, lab, rollback):
    bench.arrange(reload=False)
    ended = rollback(variables=bench.workloads(web={"roll": ["reload"], "reload_timeout": 2}))
    failed(
        ended, lab,
        "workload 'web': the application did not take the new values: 2 s after it was told to reload",
        f"holds {FLAG}=true", "Allow a restart: roll: [reload, restart].",
    )  # fmt: skip
    assert sorted(held(lab)) == ["false", *["true"] * 4]  # the worker was restarted
    assert f"{FLAG}=false\n" in lab.paths.env_file.read_text()


# --- one process keeps the old value --------------------------------------------------------------------------------


def test_one_worker_that_keeps_the_old_value_is_named(bench, lab, rollback):
    bench.arrange(LAB_STUBBORN_WORKER="1")
    stubborn = _first_worker(lab)
    ended = rollback(variables=bench.workloads(web={"roll": ["reload"], "reload_timeout": 4}))
    failed(ended, lab, "workload 'web'", f"worker {stubborn} holds {FLAG}=true", "Allow a restart")
    kept = {one["pid"]: one["flags"][FLAG] for one in lab.instances()}
    assert kept.pop(stubborn) == "true"
    assert list(kept.values()) == ["false"] * 5


def test_one_worker_that_keeps_the_old_value_is_healed_by_a_restart(bench, lab, rollback):
    bench.arrange(LAB_STUBBORN_WORKER="1")
    stubborn = _first_worker(lab)
    ended = rollback(variables=bench.workloads(web={"reload_timeout": 4}))
    proved(ended, lab)
    assert ended.phase("flag")["rolled"]["web"] == "reload, restart"
    assert stubborn not in [one["pid"] for one in lab.instances()]


def _first_worker(lab) -> int:
    """Return the web worker that was forked first: the stubborn one."""
    leader, worker = int(lab.paths.pidfile("web").read_text()), int(lab.paths.pidfile("worker").read_text())
    young = [one for one in lab.instances() if one["pid"] not in (leader, worker)]
    return min(young, key=lambda one: (one["start_time"], one["pid"]))["pid"]


# --- what the proof must not overlook -------------------------------------------------------------------------------


def test_an_unhealthy_body_behind_a_200_is_no_proof_and_the_flag_stays_off(lab, rollback, secrets):
    lab.set_unhealthy(True)
    assert lab.request("GET", "/health/")[0] == 200
    ended = rollback("-vvvv", "--diff", variables={"dualwrite_verify_timeout": 6})
    failed(ended, lab, "health", "unhealthy")
    assert held(lab) == ["false"] * 5
    assert f"{FLAG}=false\n" in lab.paths.env_file.read_text()
    assert canaries(lab) == 0
    assert shown(ended, secrets) == []


@pytest.fixture
def rotated(lab, rollback):
    """Run a rollback whose logs are rotated while it waits for quiet; then something may be put into the old file."""

    def run(planted: str = ""):
        ended, began = [], datetime.now(UTC)
        variables = {"dualwrite_hold": 5, "dualwrite_verify_timeout": 14}
        operator = threading.Thread(target=lambda: ended.append(rollback(variables=variables)))
        operator.start()
        wait_until(lambda: canary_since(lab, began), "the verification's canary", 90)
        old = {path.name.partition(".")[0]: path for path in lab.rotate_logs()}
        if planted:
            with old[planted].open("a") as file:
                late = (datetime.now(UTC) + timedelta(milliseconds=1)).isoformat(timespec="milliseconds")
                line = {"time": late.replace("+00:00", "Z"), "event": "dual_write_scheduled", "slug": "late"}
                file.write(json.dumps(line) + "\n")
        operator.join()
        return ended[0]

    return run


def test_logs_that_are_rotated_while_it_waits_for_quiet_are_read_on(lab, rotated):
    ended = rotated()
    proved(ended, lab)
    assert len(list(lab.paths.log_dir.glob("web.log.*"))) >= 1


@pytest.mark.parametrize("workload", ["web", "worker"])
def test_a_dual_write_in_the_rotated_file_is_not_overlooked(lab, rotated, workload):
    ended = rotated(planted=workload)
    failed(ended, lab, f"no dual-write in the {workload} log", "dual_write_scheduled")
    assert held(lab) == ["false"] * 5
