"""How the lab's application takes new flags: by signal, by restart, or not at all."""

import os
import signal
from datetime import UTC, datetime

import pytest

from tests.lab import Lab, LabError, wait_until
from tests.lab.parts import run_script
from tests.lab.traffic import Traffic

from .conftest import AT_START, DUAL_WRITE, await_flags, set_flags


def test_a_reload_fails_no_request_and_all_processes_tell_the_new_flag(lab):
    before = {told["pid"]: told for told in lab.instances()}
    began = datetime.now(UTC)
    set_flags(lab, **{DUAL_WRITE: "false"})
    reloaded = datetime.now(UTC)
    wait_until(lambda: lab.traffic_summary(reloaded)["sent"] > 20, "traffic goes on after the reload")
    after = {told["pid"]: told for told in lab.instances()}
    summary = lab.traffic_summary(began)
    assert summary["sent"] > 20
    assert (summary["failed"], summary["errors"]) == (0, [])
    assert len(before.keys() & after.keys()) == 2, "the master and the queue worker stay, three web workers are new"
    for pid, told in after.items():
        with open(f"/proc/{pid}/stat") as stat:
            assert told["start_time"] == int(stat.read().rpartition(")")[2].split()[19])
        with open(f"/proc/{pid}/environ") as environ:
            assert f"{DUAL_WRITE}=true" in environ.read().split("\0"), "the kernel still shows the old value"


def test_a_restart_refuses_connections_for_a_while(stiff, tmp_path):
    host, port = stiff.url.removeprefix("http://").split(":")
    with Traffic(host, int(port), stiff.token, tmp_path / "requests.jsonl", rate=50) as users:
        wait_until(lambda: len(users.made) > 5, "requests are answered")
        stiff.stop("web")
        stiff.start("web")
        made = len(users.made)
        wait_until(lambda: len(users.made) > made + 5, "requests are answered again")
        summary = users.stop()
    gap = datetime.fromisoformat(summary["last_failure"]) - datetime.fromisoformat(summary["first_failure"])
    print(
        f"restart of web: {summary['failed']} of {summary['sent']} requests failed within {gap.total_seconds():.2f} s"
    )
    assert summary["failed"] > 0
    assert any("Connection" in error for error in summary["errors"])


def test_an_application_that_does_not_reload_keeps_its_flags_until_a_restart(stiff):
    old = {told["pid"] for told in stiff.instances()}
    stiff.set_env(**{**AT_START, DUAL_WRITE: "false"})
    for workload in ("web", "worker"):
        stiff.send(workload, signal.SIGHUP)
    wait_until(lambda: len({told["pid"] for told in stiff.instances()} & old) == 2, "the old web workers are gone")
    await_flags(stiff, AT_START)
    for workload in ("web", "worker"):
        stiff.stop(workload)
        stiff.start(workload)
    await_flags(stiff, {**AT_START, DUAL_WRITE: "false"})


def test_a_value_that_is_no_boolean_stops_the_start(stiff):
    stiff.stop("worker")
    kept = stiff.paths.env_file.read_text()
    stiff.set_env(**{DUAL_WRITE: "flase"})
    try:
        with pytest.raises(LabError, match=r"(?s)manage effective_flags failed .*'flase'; write one of: true, 1"):
            run_script(stiff.paths, "manage", "effective_flags")
    finally:
        stiff.paths.env_file.write_text(kept)
        stiff.start("worker")


def test_knobs_leave_single_processes_with_the_old_value(tmp_path):
    lab = Lab("stubborn", tmp_path, knobs={"LAB_STUBBORN_WORKER": "1", "LAB_WORKER_IGNORE_HUP": "1"})
    with lab:
        queue_worker = int((lab.paths.run_dir / "worker.pid").read_text())
        lab.set_env(**{**AT_START, DUAL_WRITE: "false"})
        for workload in ("web", "worker"):
            lab.send(workload, signal.SIGHUP)

        def settled():
            held = {told["pid"]: told["flags"][DUAL_WRITE] for told in lab.instances()}
            return held if sorted(held.values()) == ["false"] * 4 + ["true"] * 2 else None

        held = wait_until(settled, "master and three new web workers off; one old web worker and the queue worker on")
        assert held[queue_worker] == "true"
    assert not os.path.exists(lab.dir / "state.json")
