"""The contract of platforms: each keeps every one of these promises, on the real thing."""

from __future__ import annotations

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.registry import PLATFORMS
from ansible_collections.dualwrite.rollback.tests.unit.contract.benches import Bench, PidfileBench, SystemdBench
from ansible_collections.dualwrite.rollback.tests.unit.contract.compose_bench import ComposeBench
from ansible_collections.dualwrite.rollback.tests.unit.contract.kubernetes_bench import KubernetesBench
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import ENV, FLAG, STRICT

OFF = ENV.replace(f"{FLAG}=true", f"{FLAG}=false")
RELOAD = ["reload", "restart"]


def effective(told: dict, name: str) -> list[str]:
    state = (told.get("result") or told["evidence"])["after"]
    return list(state[name][FLAG]["effective"].values())


def ids(told: dict) -> set[str]:
    return {one["id"] for one in (told.get("result") or told["evidence"])["instances"]}


def test_every_platform_is_tried() -> None:
    assert {one.platform for one in (ComposeBench, KubernetesBench, PidfileBench, SystemdBench)} == set(PLATFORMS)


def test_master_and_workers_are_read(bench: Bench) -> None:
    entry = bench.running("web")
    told = bench.call("read_flags", {"flags": [FLAG, STRICT, "NOT_THERE"], "workloads": [entry]})["result"]
    assert sorted(one["role"] for one in told["instances"]) == ["master", "worker", "worker"]
    assert all(one["flags"] == {FLAG: "true", STRICT: "false", "NOT_THERE": None} for one in told["instances"])
    assert all(one["started"].endswith("Z") for one in told["instances"])
    one = told["workloads"]["web"][FLAG]
    assert (one["value"], one["drift"]) == (True, False)
    assert one["source"].endswith(bench.source)
    assert told["workloads"]["web"]["NOT_THERE"]["value"] is None
    assert bench.facts < set(told["identity"]["web"])


def test_check_mode_shows_the_change_and_makes_none(bench: Bench) -> None:
    entry = bench.running("web")
    told = bench.set(entry, check=True)["result"]
    assert told["changed"]
    assert [(one["before"], one["after"]) for one in told["diff"]] == [(f"{FLAG}=true\n", f"{FLAG}=false\n")]
    assert bench.env() == ENV
    assert not bench.call("read_flags", {"flags": [FLAG], "workloads": [entry]})["result"]["drift"]


def test_a_restart_reaches_every_instance_and_a_second_call_none(bench: Bench) -> None:
    entries = [bench.running("web"), bench.running("worker")]
    before = ids(bench.call("read_flags", {"flags": [FLAG], "workloads": entries}))
    told = bench.set(*entries)
    assert told["result"]["rolled"] == {"web": bench.way, "worker": bench.way}
    assert effective(told, "web") + effective(told, "worker") == ["false"] * 6
    assert not before & ids(told)
    assert bench.env() == OFF
    again = bench.set(*entries)
    assert (again["result"]["changed"], again["result"]["rolled"]) == (False, {})
    assert ids(again) == ids(told)


def test_a_reload_keeps_the_processes(reloading_bench: Bench) -> None:
    entry = reloading_bench.running("web", roll=RELOAD)
    before = ids(reloading_bench.call("read_flags", {"flags": [FLAG], "workloads": [entry]}))
    told = reloading_bench.set(entry)
    assert told["result"]["rolled"] == {"web": "reload"}
    assert effective(told, "web") == ["false"] * 3
    assert ids(told) == before


def test_an_ignored_signal_falls_back_where_that_is_allowed(reloading_bench: Bench) -> None:
    told = reloading_bench.set(reloading_bench.running("web", "--ignore-hup", roll=RELOAD))
    assert told["result"]["rolled"] == {"web": "reload, restart"}
    assert effective(told, "web") == ["false"] * 3


def test_an_ignored_signal_is_an_error_where_it_is_not(reloading_bench: Bench) -> None:
    told = reloading_bench.set(reloading_bench.running("web", "--ignore-hup", roll=["reload"]))
    assert told["error"] == "VerificationFailed"
    assert "did not take the new values" in told["text"]
    assert reloading_bench.env() == OFF


def test_one_worker_that_keeps_the_old_value_is_named(reloading_bench: Bench) -> None:
    told = reloading_bench.set(reloading_bench.running("web", "--keeper", roll=["reload"]))
    assert told["error"] == "VerificationFailed"
    (keeper,) = (one["name"] for one in told["evidence"]["instances"] if one["flags"][FLAG] == "true")
    assert f"{keeper} holds {FLAG}=true" in told["text"]
    assert not told["evidence"]["undone"]


def test_a_failing_start_is_taken_back(bench: Bench) -> None:
    entries = [bench.running("web", "--fail-when", f"{FLAG}=false", stable_for=3), bench.running("worker")]
    told = bench.set(*entries)
    assert told["error"] == "CommandFailed"
    assert "did not start" in told["text"]
    assert "refusing to start" in told["text"]
    assert "hunter22" not in told["text"]
    assert f"taken back, web, worker run with {FLAG}=true again" in told["text"]
    assert effective(told, "web") + effective(told, "worker") == ["true"] * 6
    assert bench.env() == ENV


def test_a_start_that_does_not_last_is_taken_back(bench: Bench) -> None:
    told = bench.set(bench.running("web", "--end-when", f"{FLAG}=false", stable_for=3))
    assert told["error"] == "CommandFailed"
    assert told["evidence"]["undone"]
    assert bench.env() == ENV


def test_a_workload_that_does_not_run_is_declared_and_no_evidence(bench: Bench) -> None:
    told = bench.set(bench.entry("web"))
    assert told["error"] == "VerificationFailed"
    assert "nothing alive" in told["text"]
    assert bench.env() == OFF
    assert bench.set(bench.entry("web", may_be_stopped=True))["result"]["changed"] is False


def test_killed_between_declare_and_roll_the_next_call_ends_it(bench: Bench) -> None:
    entry = bench.running("web")
    given = {"flags": {FLAG: False}, "known_flags": [FLAG], "workloads": [entry], "timeout": 30}
    assert bench.call("killed_before_roll", given) == {"killed": bench.run(["sh", "-c", "kill -9 $$"], "").returncode}
    assert bench.env() == OFF
    told = bench.call("read_flags", {"flags": [FLAG], "workloads": [entry]})["result"]
    assert told["drift"]
    assert effective(bench.set(entry), "web") == ["false"] * 3


def test_what_no_workload_lists_and_still_holds_the_old_value_is_named(reloading_bench: Bench) -> None:
    entry = reloading_bench.running("web")
    pid = reloading_bench.run(["sh", "-c", f"{FLAG}=true setsid sleep 60 >/dev/null 2>&1 & echo $!"], "").stdout.strip()
    told = f"pid {pid} (sleep 60) holds {FLAG}=true"
    try:
        shown = reloading_bench.set(entry, check=True)["result"]
        assert [told in sentence for sentence in shown["notes"]] == [True]
        done = reloading_bench.set(entry)["result"]
        assert [told in sentence for sentence in done["notes"]] == [True]
        assert {"name": f"pid {pid} (sleep 60)", "holds": {FLAG: "true"}} in done["unlisted"]
        strict = reloading_bench.set(entry, on_unlisted="fail")
        assert (strict["error"], told in strict["text"]) == ("VerificationFailed", True)
    finally:
        reloading_bench.run(["kill", pid], "")
    assert reloading_bench.set(entry, on_unlisted="fail")["result"]["notes"] == []


def test_a_command_runs_as_an_instance_would(bench: Bench) -> None:
    entry = bench.running("web")
    argv = ["sh", "-c", f"echo $SECRET ${FLAG}; exit 3"]
    assert bench.call("execute", {"workload": entry, "argv": argv})["result"] == {"rc": 3, "stdout": "s3cr3t true\n"}


def test_stop_and_start(bench: Bench) -> None:
    told = bench.call("bounce", {"workload": bench.running("web")})["result"]
    assert (told["between"], told["after_nothing"]) == (0, 0)
    assert told["after"] > 0


def test_what_ran_is_remembered_when_it_is_stopped_and_only_that_is_started(bench: Bench) -> None:
    web, worker = bench.running("web"), bench.entry("worker")

    def make(state: str, *, check: bool = False) -> dict:
        told = bench.call("set_workloads", {"state": state, "workloads": [web, worker], "timeout": 30}, check=check)
        return told["result"]

    def counts(told: dict) -> list:
        return [told["after"][name]["instances"] for name in ("web", "worker")]

    told = make("stopped", check=True)
    assert (told["changed"], counts(told)) == (True, [0, 0])
    assert told["before"]["web"]["instances"] == 3
    told = make("stopped")
    assert (told["changed"], counts(told)) == (True, [0, 0])
    assert told["summary"] == "stopped: web; instances: web 0, worker 0"
    assert make("stopped")["changed"] is False
    told = make("started")
    assert (told["changed"], counts(told)[0] > 0, counts(told)[1]) == (True, True, 0)
    again = make("started")
    assert again["changed"] is False
    assert again["summary"].startswith("nothing to be started; did not run when it was stopped: worker; instances: ")
    bench.start("worker")
    told = make("restarted")
    assert (told["changed"], min(counts(told)) > 0) == (True, True)


@pytest.mark.parametrize("text", [ENV.replace("\n", "\r\n"), ENV.rstrip("\n"), f"{FLAG}=false\n{ENV}"])
def test_other_bytes_of_the_env_file_stay(bench: Bench, text: str) -> None:
    bench.env(text)
    before = bench.run(["cat", bench.env_path()], "").stdout
    bench.set(bench.entry("web", may_be_stopped=True))
    assert bench.run(["cat", bench.env_path()], "").stdout == before.replace(f"{FLAG}=true", f"{FLAG}=false")
