"""Every playbook of an operator begins with the same guard, and the guard with what nothing may read before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.dualwrite.rollback.tests.unit.structure import project

FOLDER = project.ROOT / "playbooks"
GUARD = "guard_targets.yml"
PLAYBOOKS = sorted(path for path in FOLDER.glob("*.yml") if path.name != GUARD)


def plays(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_the_guard_comes_first(path: Path) -> None:
    assert plays(path)[0].get("ansible.builtin.import_playbook") == GUARD


def test_the_guard_looks_at_the_answers_before_anything_reads_one() -> None:
    (guard,) = plays(FOLDER / GUARD)
    assert set(guard) == {"name", "hosts", "gather_facts", "tags", "tasks"}, "no variables, roles or pre_tasks"
    assert (guard["gather_facts"], guard["tags"]) == (False, ["always"])
    first = guard["tasks"][0]
    assert set(first) == {"name", "dualwrite.rollback.run_answers", "run_once"}
    assert "{{" not in str(guard["hosts"]) + str(first)
