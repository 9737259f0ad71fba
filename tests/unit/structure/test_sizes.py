"""Files stay small enough to be read in one sitting."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.tests.unit.structure import project

FILE, MODULE_CODE, ROLE_TASKS, PLAYBOOK = 400, 60, 80, 15
DOCUMENTATION = ("DOCUMENTATION", "EXAMPLES", "RETURN")


def code_lines(source: str) -> int:
    """Count a module's lines that are neither blank, nor comment, nor documentation."""
    documentation: set[int] = set()
    for node in ast.parse(source).body:
        strings = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        named = isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in DOCUMENTATION
        if strings or named:
            documentation.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    numbered = enumerate(source.splitlines(), 1)
    return sum(1 for number, line in numbered if number not in documentation and _says_something(line))


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#") and line.strip() != "---"


def longer_than(limit: int, paths: list[Path]) -> list[str]:
    """Tell which files have more lines than that."""
    sizes = {project.name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    return [f"{name}: {size} lines, at most {limit}" for name, size in sizes.items() if size > limit]


def test_no_file_is_too_long() -> None:
    paths = [path for path in project.files() if path.suffix in (".py", ".yml", ".yaml")]
    assert longer_than(FILE, paths) == []


def test_modules_hold_no_logic() -> None:
    sizes = {project.name(path): code_lines(path.read_text(encoding="utf-8")) for path in project.modules()}
    assert {name: size for name, size in sizes.items() if size > MODULE_CODE} == {}


def test_role_task_files_are_short() -> None:
    paths = [path for path in project.under("roles", endings=(".yml",)) if path.parent.name == "tasks"]
    assert paths
    assert longer_than(ROLE_TASKS, paths) == []


def test_playbooks_only_name_what_they_run() -> None:
    paths = [path for path in project.under("playbooks", endings=(".yml",)) if path.parent.name == "playbooks"]
    sizes = {
        project.name(path): sum(map(_says_something, path.read_text(encoding="utf-8").splitlines())) for path in paths
    }
    assert sizes
    assert {name: size for name, size in sizes.items() if size > PLAYBOOK} == {}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('"""A module.\n\nMore.\n"""\nDOCUMENTATION = r"""\na: 1\nb: 2\n"""\n\n# why\nimport os\n\nrun(os)\n', 2),
        ("x = '''\na\nb\n'''\n", 4),
    ],
)
def test_code_is_what_is_counted(source: str, expected: int) -> None:
    assert code_lines(source) == expected


def test_a_long_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "ROOT", tmp_path)
    (tmp_path / "long.py").write_text("x = 1\n" * 401, encoding="utf-8")
    assert longer_than(400, [tmp_path / "long.py"]) == ["long.py: 401 lines, at most 400"]
