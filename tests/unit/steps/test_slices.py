"""AWX cuts a fleet into slices: runs beside each other, each with hosts, a record and locks of its own."""

import os

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import Refused
from ansible_collections.dualwrite.rollback.plugins.module_utils.run.controller import identity
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.run_lock import run_lock
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.run_record import run_record

PROVED = {"changed": True, "answers": {"pass": 2}, "evidence": [{"probe": "health", "kind": "http", "answer": "pass"}]}


@pytest.fixture
def open_slice(tmp_path):
    """Open the run of one slice, as its controller; its lock files are those of its own hosts."""

    def call(*hosts):
        opened = run_record(
            {
                "state": "opened",
                "environment": "fleet",
                "scenario": "disable_dual_write",
                "reports": str(tmp_path / "reports"),
                "budget": 300,
                "hosts": list(hosts),
                "operator": "ann",
                "controller": {**identity(os.getpid()), "host": f"pod-of-{hosts[0]}"},
            }
        )
        return opened["run_id"], opened

    return call


def lock_on(tmp_path, host, run_id, **more):
    path = tmp_path / host / "fleet.lock"
    return run_lock({"state": "present", "path": str(path), "environment": "fleet", "run_id": run_id, **more})


def close(opened, *hosts):
    for host in hosts:
        run_record({"state": "added", "path": opened["path"], "phase": "verify", "host": host, "data": PROVED})
    templates = os.path.join(os.path.dirname(__file__), "..", "..", "..", "roles", "report", "templates")
    return run_record({"state": "closed", "path": opened["path"], "default_template_dir": templates})


def test_slices_of_one_launch_hold_locks_beside_each_other_and_close_each_for_itself(tmp_path, open_slice):
    first, opened = open_slice("cluster-1", "cluster-2")
    second, beside = open_slice("cluster-3")
    assert first != second
    assert (opened["resumes"], beside["resumes"]) == ([], []), "a slice never finishes another one's work"
    for run_id, host in ((first, "cluster-1"), (first, "cluster-2"), (second, "cluster-3")):
        assert lock_on(tmp_path, host, run_id)["changed"]
    done = close(opened, "cluster-1", "cluster-2")
    assert (done["ok"], sorted(done["hosts"])) == (True, ["cluster-1", "cluster-2"])
    assert lock_on(tmp_path, "cluster-3", second)["changed"] is False, "the other slice's lock is still its own"
    assert list(close(beside, "cluster-3")["hosts"]) == ["cluster-3"]


def test_a_slice_that_shares_a_lock_with_another_is_refused_and_says_by_whom(tmp_path, open_slice):
    """Two hosts of the inventory that are one place (one cluster and namespace, one lock folder) are one host."""
    first, dummy = open_slice("cluster-1")
    second, dummy = open_slice("cluster-1-again")
    lock_on(tmp_path, "one", first, owner="ann")
    with pytest.raises(Refused, match=f"another rollback is under way: run {first} of ann"):
        lock_on(tmp_path, "one", second, owner="ann")
