"""Which runs a new one finds unfinished: beside the killed ones, those that could not give a lock back."""

from __future__ import annotations

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.run.opening import interrupt, unfinished
from ansible_collections.dualwrite.rollback.plugins.module_utils.run.record import Record
from ansible_collections.dualwrite.rollback.plugins.module_utils.stores.local import LocalStore

LOCKED = {"failed": False, "summary": "locked"}
REFUSED = {"failed": True, "msg": "another rollback is under way"}
AWAY = {"unreachable": True, "msg": "no route to host"}


def closed_run(folder, phases, outcome):
    record = Record(LocalStore(str(folder / "staging" / "run-1")), "run-1")
    record.append("open", {"hosts": ["web-1"], "controller": {}})
    for phase, seen in phases:
        record.append("phase", {"phase": phase, "result": seen}, host="web-1")
    record.append("close", {"outcome": "failed", "hosts": {"web-1": outcome}})
    return record


@pytest.mark.parametrize(
    ("phases", "outcome", "found"),
    [
        ([("lock", LOCKED), ("flag", AWAY)], "unreachable", ["run-1"]),
        ([("lock", LOCKED)], "no_answer", ["run-1"]),
        ([("lock", LOCKED), ("flag", {"failed": True})], "failed", []),
        ([("lock", REFUSED)], "failed", []),
        ([("lock", AWAY)], "unreachable", []),
    ],
    ids=["away-after-the-lock", "silent-after-the-lock", "failed-and-gave-it-back", "never-had-it", "never-reached"],
)
def test_a_closed_run_is_found_when_its_lock_is_still_out_there(tmp_path, phases, outcome, found):
    closed_run(tmp_path, phases, outcome)
    assert [record.run_id for record in unfinished(str(tmp_path), "staging")] == found


def test_the_record_of_a_closed_run_is_left_alone_until_it_is_taken_over(tmp_path):
    record = closed_run(tmp_path, [("lock", LOCKED)], "unreachable")
    before = record.store.read("record.jsonl")
    assert interrupt(record, "run-2") == "run-1"
    assert record.store.read("record.jsonl") == before
    record.append("takeover", {"by": "run-2"})
    assert unfinished(str(tmp_path), "staging") == []
