"""Two operators: one rolls back, the other is told who, why, since when and how; nothing is taken over unasked."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.run.record import Record
from ansible_collections.dualwrite.rollback.plugins.module_utils.stores.local import LocalStore
from tests.faults.conftest import extra
from tests.faults.expect import chain_of, closed, lock_of, proved, sentence
from tests.support.measure import State, held
from tests.support.play import PLAYBOOKS, Ended, command, environ

WHO = {"ann": "errors on create", "bob": "the pager went off"}


@pytest.fixture
def both(lab, tmp_path: Path) -> dict[str, Ended]:
    """How two rollbacks ended that were started at the same moment, each with its own report folder."""
    running = {}
    for name, reason in WHO.items():
        arguments = command("lab", extra({"dualwrite_operator": name, "dualwrite_reason": reason}))
        running[name] = subprocess.Popen(
            arguments,
            cwd=PLAYBOOKS,
            env=environ(tmp_path / name, DUALWRITE_LAB=str(lab.dir)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    ended = {}
    for name, process in running.items():
        text, dummy = process.communicate(timeout=180)
        (folder,) = [path.parent for path in (tmp_path / name).glob("*/*/record.jsonl")]
        ended[name] = Ended(process.returncode, text, None, tmp_path / name, newest=folder)
    return ended


def test_of_two_operators_one_rolls_back_and_the_other_is_told(lab, both, rollback):
    winner, loser = sorted(both, key=lambda name: both[name].rc)
    proved(both[winner], lab)
    said = sentence(
        both[loser],
        "another rollback is under way", f"of {winner} from", f"reason: {WHO[winner]}", f"Talk to {winner} first",
        f"-e dualwrite_takeover={both[winner].run_folder.name}",
    )  # fmt: skip
    assert re.search(r"since \d{4}-\d\d-\d\dT[\d:.]+Z \(\d+ s ago\)", said)
    end = closed(both[loser].run_folder)
    assert end["hosts"] == {"lab": "failed"}
    assert "another rollback is under way" in end["failed_hosts"]["lab"]
    phases = [entry["data"].get("phase") for entry in chain_of(both[loser].run_folder).entries]
    assert "flag" not in phases
    once_more = rollback()
    proved(once_more, lab)
    assert once_more.phase("flag")["rolled"] == {}


def test_the_lock_of_another_controllers_run_is_taken_over_on_purpose_only(lab, before, reports, rollback):
    """Its controller can't be seen from here, so nobody can say that it is dead; its record lies on a shared disk."""
    dead = "20261123T010203Z-disable-dual-write-dead"
    elsewhere = {"host": "ctl-9", "pid": 4242, "started": "1", "boot_id": "x", "machine_id": "y", "namespace": "z"}
    opened = {"hosts": ["lab"], "environment": "lab", "controller": elsewhere, "operator": "cid"}
    Record(LocalStore(str(reports / "lab" / dead)), dead).append("open", opened)
    held_by = {"run_id": dead, "owner": "cid", "controller": "ctl-9", "reason": "strict mode storm"}
    lock_of(lab).write_text(json.dumps({**held_by, "environment": "lab", "since": "2026-11-23T01:02:04.000Z"}) + "\n")

    for arguments, variables in (([], {}), (["--check"], {}), ([], {"dualwrite_takeover": "another-run"})):
        refused = rollback(*arguments, variables=variables)
        sentence(
            refused, f"run {dead} of cid from ctl-9", "since 2026-11-23T01:02:04.000Z", "reason: strict mode storm",
            "Talk to cid first", f"-e dualwrite_takeover={dead}",
        )  # fmt: skip
        assert State.of(lab) == before
        assert json.loads(lock_of(lab).read_text())["run_id"] == dead
        if not arguments:
            assert chain_of(refused.run_folder).entries[0]["data"]["resumes"] == []

    taken = rollback(variables={"dualwrite_takeover": dead})
    proved(taken, lab)
    assert f"taken over from {dead} of cid" in taken.text
    assert taken.phase("lock")["taken_over"]["owner"] == "cid"
    assert held(lab) == ["false"] * 5
    assert [entry["type"] for entry in chain_of(reports / "lab" / dead).entries] == ["open"]
