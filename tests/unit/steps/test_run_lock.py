"""A lock file; what every lock promises is tried in tests/unit/contract/test_locks.py."""

import json
import multiprocessing
import os
import re

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    InvalidInput,
    Refused,
    RollbackError,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps import lock_place
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.run_lock import run_lock

ANN = {"run_id": "20261123T103000Z-rollback-0001", "owner": "ann", "controller": "ctl-1", "reason": "500s on create"}
REACH = {"kubeconfig": "/k", "context": None, "namespace": "shop"}
CLUSTERED = {"name": "web", "platform": "kubernetes", "options": {**REACH, "kind": "Deployment", "name": "web"}}


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
        "lock_lease": None,
        "held_by": None,
    }


def test_check_mode_makes_no_folder(lock):
    assert lock(ANN, check=True)["changed"] is True
    assert not lock.path.parent.exists()


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


@pytest.mark.parametrize(
    ("options", "lease"),
    [
        ({}, None),
        ({"workloads": [{"platform": "pidfile", "options": {}}]}, None),
        ({"workloads": [CLUSTERED], "kind": "file"}, None),
        ({"workloads": [CLUSTERED]}, {**REACH, "name": "dualwrite-staging"}),
        ({"workloads": [{"platform": "pidfile"}, CLUSTERED]}, {**REACH, "name": "dualwrite-staging"}),
        (
            {"workloads": [CLUSTERED], "lease": {"namespace": "ops", "name": "x"}},
            {**REACH, "namespace": "ops", "name": "x"},
        ),
        (
            {"lease": {"namespace": "ops"}},
            {"kubeconfig": None, "context": None, "namespace": "ops", "name": "dualwrite-staging"},
        ),
    ],
)
def test_a_lock_is_a_lease_where_workloads_run_in_a_cluster(options, lease):
    assert lock_place.lease_of({"environment": "staging", **options}) == lease


def test_every_environment_has_a_lease_of_its_own_whatever_it_is_called():
    named = [
        lock_place.lease_of({"environment": one, "workloads": [CLUSTERED]}) for one in ("Prod EU", "prod_eu", "ÄÖ")
    ]
    names = [one["name"] for one in named]
    assert len({*names}) == 3
    assert all(re.fullmatch(r"dualwrite-[a-z0-9-]*[a-z0-9]", name) for name in names), names


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kind": "lease"}, "lease.namespace: the namespace of the lock's Lease is not told"),
        ({"lease": {"namespace": "a/b"}}, "lease.namespace: 'a/b' can't be the namespace of a Lease"),
        ({"lease": {"namespace": "ops", "name": "_"}}, "lease.name: '_' can't be the name of a Lease"),
    ],
)
def test_a_lease_that_can_not_be_is_one_clear_sentence(options, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        run_lock({"environment": "staging", "run_id": "r", **options})


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
