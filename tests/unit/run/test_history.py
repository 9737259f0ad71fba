"""Since when a flag had the value that a run has changed, from the records of former runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.dualwrite.rollback.plugins.module_utils.run.history import records, windows
from ansible_collections.dualwrite.rollback.plugins.module_utils.run.record import Record
from ansible_collections.dualwrite.rollback.plugins.module_utils.stores.local import LocalStore


def roll(run_id: str, ended: str | None, host: str = "web-1", **flags: bool) -> dict[str, Any]:
    result = {"rolled": {"web": "restart"}, "flags": flags, "roll_ended": ended}
    return {"type": "phase", "run_id": run_id, "host": host, "data": {"phase": "flag", "result": result}}


OFF = [
    roll("off", "2026-01-25T18:00:00.000Z", DUAL=False),
    roll("off", "2026-01-25T18:00:02.000Z", "web-2", DUAL=False),
]
ON = [roll("on", "2026-01-26T09:00:00.000Z", DUAL=True)]
WINDOW = {
    "flag": "DUAL",
    "value": False,
    "start": "2026-01-25T18:00:02.000Z",
    "end": "2026-01-26T09:00:00.000Z",
    "run_id": "off",
}


def test_a_flag_had_its_other_value_since_the_last_run_that_set_it_was_done_on_all_hosts() -> None:
    older = [roll("older", "2026-01-01T00:00:00.000Z", DUAL=False)]
    assert windows(ON, [OFF, older]) == [WINDOW]


def test_runs_that_rolled_nothing_or_failed_or_set_something_else_say_nothing() -> None:
    already = [roll("already", None, DUAL=False)]
    failed = [roll("failed", "2026-01-25T20:00:00.000Z", DUAL=False)]
    failed[0]["data"]["result"]["failed"] = True
    other = [roll("other", "2026-01-25T20:00:00.000Z", STRICT=False)]
    assert windows(ON, [already, failed, other, OFF]) == [WINDOW]
    assert windows(ON, [already, failed, other]) == []
    assert windows([roll("same", None, DUAL=True)], [OFF]) == []


def test_a_run_that_was_taken_back_set_what_it_had_at_its_end() -> None:
    back = [roll("back", "2026-01-25T21:00:00.000Z", DUAL=True), roll("back", "2026-01-25T21:00:09.000Z", DUAL=False)]
    (window,) = windows(ON, [back, OFF])
    assert (window["run_id"], window["start"]) == ("back", "2026-01-25T21:00:09.000Z")


def test_records_come_newest_first_and_a_broken_one_is_left_out(tmp_path: Path) -> None:
    for name in ("20260101T000000Z-a-1111", "20260102T000000Z-b-2222"):
        Record(LocalStore(str(tmp_path / "lab" / name)), name).append("open", {"hosts": []})
    (tmp_path / "lab" / "20260103T000000Z-c-3333").mkdir()
    (tmp_path / "lab" / "20260103T000000Z-c-3333" / "record.jsonl").mkdir()
    found = list(records(str(tmp_path), "lab"))
    assert [record.run_id for record, entries in found] == ["20260102T000000Z-b-2222", "20260101T000000Z-a-1111"]
    assert json.loads(json.dumps(found[0][1]))[0]["type"] == "open"
    assert list(records(str(tmp_path), "nowhere")) == []
