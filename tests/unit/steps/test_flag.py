"""The step flag on real processes: what an operator is promised, and what happens when something is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline, wait_until
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    CommandFailed,
    InvalidInput,
    NotFound,
    Refused,
    RollbackError,
    VerificationFailed,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms import proc
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.registry import make
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.flag import set_flags
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.flag_info import read_flags
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import ENV, FLAG, STRICT, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


def params(*workloads: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "flags": {FLAG: False},
        "known_flags": [FLAG, STRICT],
        "workloads": list(workloads),
        "timeout": 30,
        **more,
    }


def held(outcome: dict[str, Any], name: str, flag: str = FLAG) -> list[str]:
    return sorted(outcome["after"][name][flag]["effective"].values())


def test_all_workloads_hold_the_flag_and_a_second_call_changes_nothing(shop: Shop) -> None:
    web = shop.running("web", "--state-dir", str(shop.state_dir), roll=["reload", "restart"])
    worker = shop.running("worker", "--workers", "1")
    outcome = set_flags(params(web, worker))
    assert outcome["changed"]
    assert outcome["rolled"] == {"web": "reload", "worker": "restart"}
    assert held(outcome, "web") == ["false"] * 3
    assert held(outcome, "worker") == ["false"] * 2
    assert outcome["summary"].startswith(f"{FLAG}=false held by 5 of 5 instances of web, worker; reload, restart ")
    assert outcome["before"]["web"][FLAG]["source"] == f"{shop.env_file}:3"
    assert set(outcome["before"]["web"][FLAG]["effective"].values()) == {"true"}
    assert {"wait", "read", "declare", "roll", "prove", "discover", "total"} == set(outcome["timings"])
    assert outcome["roll_started"] < outcome["roll_ended"]
    assert shop.env_file.read_text() == ENV.replace(f"{FLAG}=true", f"{FLAG}=false")
    ids = {one["id"] for one in outcome["instances"]}
    again = set_flags(params(web, worker))
    assert (again["changed"], again["rolled"], again["roll_started"]) == (False, {}, None)
    assert {one["id"] for one in again["instances"]} == ids
    assert "already held by 5 of 5" in again["summary"]


def test_a_value_that_is_set_back_after_the_roll_is_told(shop: Shop) -> None:
    """A start script that puts an older env file in place: the processes are right, the next start would not be."""
    web = shop.running("web")
    back = f"sed -i s/{FLAG}=false/{FLAG}=true/ {shop.env_file}"
    web["options"]["start_command"][2] = web["options"]["start_command"][2].replace("exec", f"{back}; exec")
    with pytest.raises(VerificationFailed, match=rf"{FLAG} was set back by somebody else: .*app.env:3 declares true"):
        set_flags(params(web))
    assert shop.env_file.read_text() == ENV


def test_the_diff_shows_the_changed_line_of_a_shared_file_once(shop: Shop) -> None:
    web, worker = shop.running("web"), shop.running("worker")
    planned = set_flags(params(web, worker), check=True)
    path = str(shop.env_file)
    shown = {"before_header": path, "after_header": path, "before": f"{FLAG}=true\n", "after": f"{FLAG}=false\n"}
    assert planned["diff"] == [shown]
    assert planned["changed"]
    assert planned["plan"]["web"]["roll"]
    assert planned["plan"]["web"]["declare"] == {FLAG: "false"}
    assert shop.env_file.read_text() == ENV
    assert set_flags(params(web, worker))["diff"] == [shown]


def test_two_flags_go_in_one_roll(shop: Shop) -> None:
    shop.env_file.write_text(ENV.replace(f"{STRICT}=false", f"{STRICT}=true"))
    web = shop.running("web")
    before = shop.pid("web")
    outcome = set_flags(params(web, flags={FLAG: "off", STRICT: "no"}))
    assert held(outcome, "web") == held(outcome, "web", STRICT) == ["false"] * 3
    assert shop.pid("web") != before


def test_declared_right_but_an_instance_wrong_is_rolled_only(shop: Shop) -> None:
    web = shop.running("web")
    shop.env_file.write_text(ENV.replace(f"{FLAG}=true", f"{FLAG}=0"))
    outcome = set_flags(params(web))
    assert outcome["rolled"] == {"web": "restart"}
    assert "diff" not in outcome
    assert f"{FLAG}=0\n" in shop.env_file.read_text()


def test_a_missing_flag_is_added_and_an_unknown_word_replaced(shop: Shop) -> None:
    shop.env_file.write_text(f"{STRICT}=maybe\n")
    outcome = set_flags(params(shop.running("web"), flags={FLAG: False, STRICT: False}))
    assert outcome["before"]["web"][FLAG]["declared"] is None
    assert shop.env_file.read_text() == f"{STRICT}=false\n{FLAG}=false\n"


def test_one_of_four_workers_that_keeps_the_old_value_is_named_and_nothing_is_undone(shop: Shop) -> None:
    web = shop.running("web", "--state-dir", str(shop.state_dir), "--workers", "4", "--keeper", roll=["reload"])
    with pytest.raises(VerificationFailed, match=rf"worker \d+ holds {FLAG}=true") as caught:
        set_flags(params(web))
    wrong = [one for one in caught.value.evidence["instances"] if one["flags"][FLAG] == "true"]
    assert len(wrong) == 1
    assert wrong[0]["name"] in str(caught.value)
    assert not caught.value.evidence["undone"]
    assert f"{FLAG}=false" in shop.env_file.read_text()


def test_an_instance_that_holds_another_value_after_a_restart_is_named(shop: Shop) -> None:
    web = shop.running("web")
    script = 'set -a; . "$1"; shift; export TEAM_X=true; exec "$@"'
    web["options"]["start_command"][2] = script  # the start script overrules the env file
    with pytest.raises(VerificationFailed, match=rf"3 of 3 instances: master \d+ still holds {FLAG}=true"):
        set_flags(params(web))


def test_short_lived_children_do_not_fail_the_run(shop: Shop) -> None:
    outcome = set_flags(params(shop.running("web", "--helper")))
    assert set(held(outcome, "web")) == {"false"}


def test_a_failing_start_is_taken_back_with_all_that_share_the_file(shop: Shop) -> None:
    web = shop.running("web", "--fail-when", f"{FLAG}=false")
    worker = shop.running("worker")
    with pytest.raises(
        CommandFailed, match=f"the change was taken back, web, worker run with {FLAG}=true again"
    ) as caught:
        set_flags(params(web, worker))
    evidence = caught.value.evidence
    assert evidence["undone"]
    assert held(evidence, "web") == held(evidence, "worker") == ["true"] * 3
    assert shop.env_file.read_text() == ENV
    assert "hunter22" not in str(caught.value)


def test_a_workload_that_dies_soon_after_its_start_is_taken_back(shop: Shop) -> None:
    web = shop.running("web", "--workers", "3")
    # one worker fewer than before is waited for, so that it is gone when it is read for the last time
    start = shop.command("web", "--workers", "2", "--end-when", f"{FLAG}=false")
    web["options"].update(start_command=start, stable_for=0)
    with pytest.raises(CommandFailed, match="the change was taken back"):
        set_flags(params(web))
    wait_until(lambda: len(shop.mine()) == 3, Deadline(5), what="the old workload")
    assert shop.env_file.read_text() == ENV


def test_on_failure_keep_leaves_it_declared(shop: Shop) -> None:
    web = shop.running("web", "--fail-when", f"{FLAG}=false")
    with pytest.raises(CommandFailed, match="did not start") as caught:
        set_flags(params(web, on_failure="keep"))
    assert not caught.value.evidence["undone"]
    assert f"{FLAG}=false" in shop.env_file.read_text()


def test_when_the_undo_fails_too_both_errors_are_told(shop: Shop) -> None:
    web = shop.running("web", "--fail-when", f"{FLAG}=false")
    meddle = f'grep -q {FLAG}=false "$1" && echo MEDDLED=1 >> "$1"; set -a; . "$1"; shift; exec "$@"'
    web["options"]["start_command"][2] = meddle
    with pytest.raises(CommandFailed, match="did not start.*taking the change back failed too.*somebody else"):
        set_flags(params(web))


def test_an_error_of_one_workload_does_not_stop_the_others(shop: Shop, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    apart = Shop(other)
    try:
        web = shop.running("web", "--fail-when", f"{FLAG}=false")
        worker = apart.running("worker")
        with pytest.raises(CommandFailed, match="workload 'web': the workload did not start") as caught:
            set_flags(params(web, worker))
        assert held(caught.value.evidence, "worker") == ["false"] * 3
        assert held(caught.value.evidence, "web") == ["true"] * 3
    finally:
        apart.close()


def test_what_a_killed_run_had_started_again_already_is_no_longer_interrupted(shop: Shop) -> None:
    """It was killed while it watched the start: who stops the workload on purpose later is not overruled."""
    web = shop.running("web")
    set_flags(params(web))
    platform, marker = make(web), Path(web["options"]["pidfile"] + ".restarting")
    marker.write_text("stopped to be started again\n")
    assert platform.interrupted()
    set_flags(params(web), check=True)
    assert platform.interrupted()
    again = set_flags(params(web))
    assert (again["changed"], again["rolled"]) == (False, {})
    assert not marker.exists()
    assert not platform.interrupted()


def test_a_workload_that_does_not_run_is_declared_and_fails_for_want_of_evidence(shop: Shop, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    web, worker = shop.running("web"), Shop(other).workload("worker")
    with pytest.raises(VerificationFailed, match="workload 'worker': it does not run.*nothing alive") as caught:
        set_flags(params(web, worker))
    assert held(caught.value.evidence, "web") == ["false"] * 3
    assert f"{FLAG}=false" in (other / "app.env").read_text()
    worker["options"]["may_be_stopped"] = True
    assert not set_flags(params(web, worker))["changed"]


def _run(code: str, given: dict[str, Any]) -> subprocess.Popen[str]:
    """Run code in a process of its own, that a test can kill; `params` are on its standard input."""
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True, env={**os.environ})
    assert child.stdin
    json.dump(given, child.stdin)
    child.stdin.close()
    return child


STEP = """
import json, os, signal, sys
sys.path[:0] = {path!r}
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.flag import FlagChange, set_flags
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.pidfile import PidfilePlatform
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
{place} = die
set_flags(json.load(sys.stdin))
"""


@pytest.mark.parametrize("place", ["FlagChange._roll", "PidfilePlatform._begin", "FlagChange._prove"])
def test_killed_anywhere_the_same_call_finishes_the_change(shop: Shop, place: str) -> None:
    """The kill is at an exact place, which can't be had from outside: between declare and roll, stop and start."""
    given = params(shop.running("web"))
    child = _run(STEP.format(path=[path for path in sys.path if path], place=place), given)
    assert child.wait() == -signal.SIGKILL
    assert f"{FLAG}=false" in shop.env_file.read_text()
    outcome = set_flags(given)
    assert held(outcome, "web") == ["false"] * 3
    assert outcome["changed"] is (place != "FlagChange._prove")
    assert not set_flags(given)["changed"]


def test_two_calls_at_once_wait_for_each_other(shop: Shop) -> None:
    given = params(shop.running("web"))
    code = STEP.format(path=[path for path in sys.path if path], place="unused")
    children = [_run(code, given) for dummy in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert len(shop.mine()) == 3
    assert set_flags(given)["changed"] is False


# --- bad input: one sentence, nothing changed -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "kind", "sentence"),
    [
        ({"flags": {"TEAM_Y": False}}, InvalidInput, "'TEAM_Y' is not known. Did you mean TEAM_X?"),
        ({"flags": {FLAG: "perhaps"}}, InvalidInput, f"flags.{FLAG}: 'perhaps' is not a boolean"),
        ({"flags": {FLAG: 2}}, InvalidInput, "'2' is not a boolean"),
        ({"flags": {}}, InvalidInput, "no flag is given"),
        ({"known_flags": []}, InvalidInput, "no known flag is given"),
        ({"workloads": []}, InvalidInput, "no workload is given"),
        ({"boolean_words": {"true": ["1"], "false": ["1"]}}, InvalidInput, "must both be given and must differ"),
        ({"identity": {"hostname": "elsewhere"}}, Refused, "not the target that was meant: its hostname is"),
        ({"identity": {"colour": "red"}}, InvalidInput, "'colour' is no fact of the target"),
        ({"allowed_combinations": [{FLAG: True}]}, Refused, f"{STRICT}=false, {FLAG}=false is not allowed"),
        ({"lock_file": "/nowhere/lock"}, InvalidInput, "lock_file needs run_id"),
    ],
)
def test_bad_input_changes_nothing(shop: Shop, more: dict[str, Any], kind: type, sentence: str) -> None:
    given = params(shop.running("web"), **more)
    before = shop.pid("web")
    with pytest.raises(kind) as caught:
        set_flags(given)
    assert sentence in str(caught.value)
    assert (shop.env_file.read_text(), shop.pid("web")) == (ENV, before)


def test_the_lock_of_another_run_refuses_and_ones_own_does_not(shop: Shop) -> None:
    web, lock = shop.running("web"), shop.folder / "lock"
    lock.write_text('{"run_id": "A", "owner": "ada"}')
    with pytest.raises(Refused, match="run A of ada holds the lock, not run B"):
        set_flags(params(web, lock_file=str(lock), run_id="B"))
    assert shop.env_file.read_text() == ENV
    assert set_flags(params(web, lock_file=str(lock), run_id="A"))["changed"]
    lock.unlink()
    assert not set_flags(params(web, lock_file=str(lock), run_id="B"))["changed"]


def test_an_env_file_that_is_missing_unreadable_or_not_utf8_changes_nothing(shop: Shop) -> None:
    web = shop.running("web")
    before = shop.pid("web")
    shop.env_file.write_bytes(b"TEAM_X=true\n\xff\n")
    with pytest.raises(InvalidInput, match=r"workload 'web', .*app.env: the file is not UTF-8 at byte 12"):
        set_flags(params(web))
    shop.env_file.unlink()
    with pytest.raises(NotFound, match=r"app.env: the file does not exist"):
        set_flags(params(web))
    shop.env_file.mkdir()  # root may read any file, but not a folder
    with pytest.raises(InvalidInput, match=r"app.env: the file can't be read: Is a directory"):
        set_flags(params(web))
    assert shop.pid("web") == before
    assert proc.find(before)


def test_one_bad_workload_keeps_all_from_being_changed(shop: Shop) -> None:
    web, worker = shop.running("web"), shop.workload("worker")
    (shop.folder / "worker.pid").write_text(str(os.getpid()))
    with pytest.raises(RollbackError, match="workload 'worker', .*is another program"):
        set_flags(params(web, worker))
    assert shop.env_file.read_text() == ENV


def test_the_name_of_a_workload_comes_once(shop: Shop) -> None:
    web = shop.workload("web")
    with pytest.raises(InvalidInput, match="the name 'web' comes twice"):
        set_flags(params(web, web))


# --- reading --------------------------------------------------------------------------------------------------------


def test_flag_info_tells_places_and_drift_and_changes_nothing(shop: Shop) -> None:
    web = shop.running("web")
    shop.env_file.write_text(f"{FLAG}=true\n{FLAG}='false'\n")
    given = {"flags": [FLAG, STRICT], "workloads": [web]}
    found = read_flags(given)
    assert found["drift"]
    one = found["workloads"]["web"][FLAG]
    assert (one["declared"], one["value"], one["drift"], one["running"]) == ("false", False, True, True)
    assert (one["source"], one["shadowed"]) == (f"{shop.env_file}:2", [f"{shop.env_file}:1"])
    assert found["workloads"]["web"][STRICT]["value"] is None
    assert found["changed"] is False
    make(web).roll(Deadline(10), {FLAG: "false"})
    assert not read_flags({**given, "flags": [FLAG]})["drift"]


def test_flag_info_tells_the_state_of_the_others_when_one_cant_be_read(shop: Shop) -> None:
    web, worker = shop.running("web"), shop.workload("worker", env_file="/nowhere/app.env")
    with pytest.raises(NotFound, match="workload 'worker', /nowhere/app.env: the file does not exist") as caught:
        read_flags({"flags": [FLAG], "workloads": [web, worker]})
    assert caught.value.evidence["workloads"]["web"][FLAG]["value"] is True
