"""The drills of the shipped inventories, outside the lab: each of the four can be opened, or says why not."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.play import ROOT, Ended, call, environ

INVENTORIES = sorted(
    path.parent.name for path in (ROOT / "inventories").glob("*/hosts.yml") if path.parent.name != "lab"
)
SHIPPED = ("disable_dual_write", "disable_strict_mode", "cleanup_test_data", "restore_backup")
#: without its hosts: what would run on one runs here
HERE = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
OPEN = {"name": "Open", "ansible.builtin.import_role": {"name": "dualwrite.rollback.drill", "tasks_from": "open"}}


def opened(folder: Path, inventory: str, *more: dict[str, Any], **given: Any) -> Ended:
    """Open a drill with the exercises of an inventory as it is shipped, in check mode."""
    book = folder / "book.yml"
    book.write_text(yaml.safe_dump([{"hosts": "dualwrite", "gather_facts": False, "tasks": [OPEN, *more]}]))
    answers = json.dumps({**HERE, "dualwrite_reports": str(folder / "reports"), **given})
    argv = ["ansible-playbook", str(book), "-i", str(ROOT / "inventories" / inventory), "--check", "-e", answers]
    return call(argv, folder / "reports", environ())


@pytest.mark.parametrize("quarter", [1, 2, 3])
@pytest.mark.parametrize("inventory", INVENTORIES)
def test_a_drill_of_a_shipped_inventory_can_be_opened(inventory: str, quarter: int, tmp_path: Path) -> None:
    ended = opened(tmp_path, inventory, dualwrite_drill=f"q{quarter}")
    assert ended.rc == 0, ended.text
    assert f": {SHIPPED[quarter - 1]}, " in ended.text


@pytest.mark.parametrize("inventory", [name for name in INVENTORIES if name.startswith("staging")])
def test_the_drill_of_the_fourth_quarter_dumps_the_database_into_the_store(inventory: str, tmp_path: Path) -> None:
    kept, store = tmp_path / "steps.json", {"folder": str(tmp_path / "store")}
    write = {"content": "{{ drill_exercises.restore_backup.set_up | to_json }}", "dest": str(kept)}
    keep = {"name": "Keep", "ansible.builtin.copy": write, "check_mode": False, "run_once": True}
    ended = opened(tmp_path, inventory, keep, dualwrite_drill="q4", dualwrite_backup_store=store)
    assert ended.rc == 0, ended.text
    folder, backup, dummy = json.loads(kept.read_text())
    assert folder["argv"][-1] == store["folder"]
    assert backup["argv"][0] == "pg_dump"
    assert backup["argv"][-1] == "service=deltacrown-staging"
    dump = Path(backup["argv"][backup["argv"].index("-f") + 1])
    assert dump.parent == tmp_path / "store"
    # the pattern of the profile, by which the restore finds it
    assert dump.name.startswith(f"deltacrown_{inventory}_20")


def test_where_no_backup_is_told_that_drill_alone_is_refused(tmp_path: Path) -> None:
    ended = opened(tmp_path, "production", dualwrite_drill="q4")
    assert ended.rc != 0
    assert "the drill restore_backup can't be done in the environment 'production'" in ended.text
    assert "deltacrown_drill_backup is empty" in ended.text
    assert "Traceback" not in ended.text


@pytest.mark.parametrize("asked", ["opened", "put back"])
@pytest.mark.parametrize(
    "mine",
    [
        {"disable_dual_write": {"put_back": [{"argv": ["{{ nobody_says_this }}"]}]}},
        "{{ {'disable_dual_write': {'put_back': []}} | combine(nobody_says_this) }}",
    ],
    ids=["in-a-step", "around-all"],
)
def test_an_undefined_variable_of_an_exercise_is_told_and_leaves_no_step_out(
    mine: Any, asked: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.yml").write_text(json.dumps({"dualwrite_drill_exercises": mine}))
    steps = {"name": "Steps", "ansible.builtin.debug": {"msg": "{{ __drill_exercise.get('put_back') or [] }}"}}
    put_back = [{**OPEN, "when": False}, {**steps, "vars": {"drill_plan": {"exercise": "disable_dual_write"}}}]
    tasks = [OPEN] if asked == "opened" else put_back
    book = [{"hosts": "all", "gather_facts": False, "vars_files": [str(tmp_path / "mine.yml")], "tasks": tasks}]
    (tmp_path / "book.yml").write_text(yaml.safe_dump(book))
    given = json.dumps({**HERE, "dualwrite_environment": "shop", "dualwrite_flags": {"dual_write": "DUAL"}})
    argv = ["ansible-playbook", str(tmp_path / "book.yml"), "-i", "web-1,", "--check", "-e", given]
    ended = call(argv, tmp_path / "reports", environ())
    assert ended.rc != 0, ended.text
    assert "'nobody_says_this' is undefined" in ended.text
