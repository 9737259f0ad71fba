"""The ledger: what counts in it, what is said of what does not, and whether git knows it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import Conflict
from ansible_collections.dualwrite.rollback.plugins.module_utils.drill import ledger

ENTRY = {
    "drill_id": "20260106T100000000Z-drill-disable-dual-write-1f2e",
    "environment": "staging",
    "exercise": "disable_dual_write",
    "quarter": "2026-Q1",
    "started": "2026-01-06T10:00:00.000Z",
    "ended": "2026-01-06T10:01:00.000Z",
    "result": "passed",
}


def git(folder: Path, *words: str) -> None:
    named = ["-c", "user.name=drill", "-c", "user.email=drill@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *named, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ledger in a checkout."""
    git(tmp_path, "init")
    return tmp_path / "drills"


def test_an_entry_is_a_file_of_its_own_that_is_read_again(folder):
    place = Path(ledger.write(str(folder), {**ENTRY, "password": "hunter2hunter2"}))
    assert place == folder / "staging" / f"{ENTRY['drill_id']}.json"
    assert "hunter2" not in place.read_text()
    found = ledger.read(str(folder))
    assert found.problems == {}
    assert [one["result"] for one in found.entries] == ["passed"]
    with pytest.raises(Conflict):
        ledger.write(str(folder), ENTRY)


def test_there_is_nothing_in_a_ledger_that_is_not_there_yet(folder):
    assert ledger.read(str(folder)) == ledger.Ledger()
    assert ledger.uncommitted(str(folder)) == ([], "")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"passed"', '"failed"', "was changed after it was written"),
        ("{\n", "{\n<<<<<<< HEAD\n", "conflict markers"),
        ('  "result"', '=======\n  "result"', "conflict markers"),
        ('"hash"', '"hush"', "no entry of a ledger"),
        ("}", "", "no JSON"),
        ('"staging"', '"production"', "was changed after it was written"),
    ],
)
def test_a_file_that_was_edited_is_named_and_not_counted(folder, before, after, said):
    place = Path(ledger.write(str(folder), ENTRY))
    other = {**ENTRY, "drill_id": "20260407T100000000Z-drill-x-0000"}
    ledger.write(str(folder), other)
    place.write_text(place.read_text().replace(before, after, 1))
    found = ledger.read(str(folder))
    assert [one["drill_id"] for one in found.entries] == [other["drill_id"]]
    assert list(found.problems) == [f"staging/{place.name}"]
    assert said in found.problems[f"staging/{place.name}"]


def test_two_entries_of_one_drill_are_both_named_and_none_counts(folder):
    place = Path(ledger.write(str(folder), ENTRY))
    entry = {**json.loads(place.read_text()), "result": "failed"}
    twin = place.with_name("twin.json")
    twin.write_text(json.dumps({**entry, "hash": ledger.hash_of(entry)}))
    found = ledger.read(str(folder))
    assert found.entries == []
    assert sorted(found.problems) == [f"staging/{place.name}", "staging/twin.json"]
    assert "of the same drill" in found.problems["staging/twin.json"]


def test_an_entry_in_the_folder_of_another_environment_is_not_counted(folder):
    place = Path(ledger.write(str(folder), ENTRY))
    moved = folder / "production" / place.name
    moved.parent.mkdir()
    place.rename(moved)
    assert "an entry of the environment 'staging'" in ledger.read(str(folder)).problems[f"production/{place.name}"]


def test_what_git_does_not_know_as_it_is_is_told(folder):
    place = Path(ledger.write(str(folder), ENTRY))
    assert ledger.uncommitted(str(folder)) == ([f"staging/{place.name}"], "")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-m", "a drill")
    assert ledger.uncommitted(str(folder)) == ([], "")
    place.write_text(place.read_text() + "\n")
    assert ledger.uncommitted(str(folder)) == ([f"staging/{place.name}"], "")


def test_two_branches_with_a_drill_each_merge(folder):
    ledger.write(str(folder), ENTRY)
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-m", "first")
    git(folder.parent, "checkout", "-b", "other")
    ledger.write(str(folder), {**ENTRY, "drill_id": "other"})
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-m", "other")
    git(folder.parent, "checkout", "main")
    ledger.write(str(folder), {**ENTRY, "drill_id": "mine"})
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-m", "mine")
    git(folder.parent, "merge", "other", "-m", "both")
    assert len(ledger.read(str(folder)).entries) == 3


def test_a_ledger_outside_a_checkout_or_that_git_ignores_is_told(folder, tmp_path_factory):
    away = tmp_path_factory.mktemp("away")
    ledger.write(str(away), ENTRY)
    assert ledger.uncommitted(str(away)) == ([], "the ledger is in no git checkout")
    (folder.parent / ".gitignore").write_text("/drills/\n")
    ledger.write(str(folder), ENTRY)
    assert ledger.uncommitted(str(folder)) == ([], "the ledger is in a folder that git ignores")
