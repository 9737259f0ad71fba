"""One run at a time: what two operators see."""

import json
import multiprocessing
import os

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    InvalidInput,
    Refused,
    RollbackError,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.run_lock import run_lock

ANN = {"run_id": "20261123T103000Z-rollback-0001", "owner": "ann", "controller": "ctl-1", "reason": "500s on create"}
BOB = {"run_id": "20261123T103100Z-rollback-0002", "owner": "bob", "controller": "ctl-2", "reason": "same"}


@pytest.fixture
def lock(tmp_path):
    def call(who, check=False, **more):
        path = str(tmp_path / "dw/staging.lock")
        return run_lock({"environment": "staging", "path": path, **who, **more}, check=check)

    call.path = tmp_path / "dw/staging.lock"
    return call


def test_take_again_and_give_back(lock):
    assert lock(ANN)["changed"] is True
    held = json.loads(lock.path.read_text())
    assert (held["owner"], held["reason"], held["environment"]) == ("ann", "500s on create", "staging")
    assert os.listdir(lock.path.parent) == ["staging.lock"]
    assert lock(ANN)["changed"] is False
    assert lock(ANN, state="absent")["changed"] is True
    assert lock(ANN, state="absent") == {
        "changed": False,
        "summary": "no lock to give back",
        "phase": "unlock",
        "lock_file": str(lock.path),
        "held_by": None,
    }


def test_the_second_operator_is_told_who_why_since_when_and_how_to_take_over(lock):
    lock(ANN)
    with pytest.raises(Refused) as caught:
        lock(BOB)
    sentence = str(caught.value)
    for words in ("ann from ctl-1", "500s on create", "s ago)", f"-e dualwrite_takeover={ANN['run_id']}"):
        assert words in sentence
    assert caught.value.evidence["held_by"]["owner"] == "ann"
    assert lock(BOB, state="absent")["changed"] is False
    assert json.loads(lock.path.read_text())["owner"] == "ann"


@pytest.mark.parametrize("how", [{"takeover": ANN["run_id"]}, {"takeover_of": [ANN["run_id"]]}])
def test_taking_over_is_on_purpose_and_noted(lock, how):
    lock(ANN)
    taken = lock(BOB, **how)
    assert taken["taken_over"]["owner"] == "ann"
    assert f"taken over from {ANN['run_id']} of ann" in taken["summary"]
    assert json.loads(lock.path.read_text())["taken_over"]["run_id"] == ANN["run_id"]
    # the first run comes back to life: it no longer holds the lock and can't remove it
    with pytest.raises(Refused, match="run 20261123T103100Z-rollback-0002 of bob"):
        lock(ANN)
    assert lock(ANN, state="absent")["changed"] is False


def test_a_wrong_takeover_name_takes_nothing(lock):
    lock(ANN)
    with pytest.raises(Refused):
        lock(BOB, takeover="20200101T000000Z-rollback-ffff")


def test_check_mode_only_reads(lock):
    assert lock(ANN, check=True)["changed"] is True
    assert not lock.path.parent.exists()
    lock(ANN)
    with pytest.raises(Refused):
        lock(BOB, check=True)
    assert lock(ANN, check=True, state="absent")["changed"] is True
    assert lock.path.exists()


@pytest.mark.parametrize("content", [b"", b'{"run_id": "2026', b"[]", b'{"owner": "ann"}', b"\xff\xfe\x00"])
def test_a_damaged_lock_is_one_clear_sentence(lock, content):
    lock.path.parent.mkdir()
    lock.path.write_bytes(content)
    with pytest.raises(InvalidInput, match="is no lock that this collection wrote.*rm .*staging.lock"):
        lock(ANN)
    assert lock.path.read_bytes() == content


def test_a_folder_that_can_not_be_made_is_said(lock):
    lock.path.parent.write_text("a file where the folder should be")
    with pytest.raises(RollbackError, match="become: true"):
        lock(ANN)


def test_an_environment_can_not_lead_elsewhere():
    with pytest.raises(InvalidInput, match="no slash"):
        run_lock({"environment": "../etc/x", "run_id": "r"})


def _contend(path, number, start, won):
    start.wait()
    try:
        run_lock({"path": path, "environment": "lab", "run_id": f"r{number}", "owner": str(number)})
        won.put(number)
    except Refused:
        won.put(None)


@pytest.mark.parametrize("turn", range(5))
def test_of_twenty_processes_exactly_one_wins(tmp_path, turn):
    context = multiprocessing.get_context("fork")
    start, won = context.Event(), context.Queue()
    path = str(tmp_path / "dw/lab.lock")
    contenders = [context.Process(target=_contend, args=(path, number, start, won)) for number in range(20)]
    for contender in contenders:
        contender.start()
    start.set()
    answers = [won.get(timeout=30) for contender in contenders]
    for contender in contenders:
        contender.join()
    winners = [answer for answer in answers if answer is not None]
    assert len(winners) == 1
    assert json.loads((tmp_path / "dw/lab.lock").read_text())["run_id"] == f"r{winners[0]}"
