"""What every file of plugins/ carries: licence, docstrings, attributes of check and diff mode, its action group."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.dualwrite.rollback.tests.unit.structure import project

ATTRIBUTES = ("check_mode", "diff_mode")
FRAGMENT = "dualwrite.rollback."


def documentation(path: Path, variable: str = "DOCUMENTATION") -> dict[str, Any]:
    """Read the documentation string of a module or a fragment (there it is the attribute of a class)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == variable:
            return dict(yaml.safe_load(ast.literal_eval(node.value)))
    raise AssertionError(f"{project.name(path)} has no {variable}")


def attributes(path: Path) -> dict[str, Any]:
    """Collect a module's attributes, those of its own fragments included; its own words win."""
    own = documentation(path)
    found: dict[str, Any] = {}
    for reference in own.get("extends_documentation_fragment", []):
        if reference.startswith(FRAGMENT):
            name, _dot, variable = reference[len(FRAGMENT) :].partition(".")
            fragment = project.PLUGINS / "doc_fragments" / f"{name}.py"
            found.update(documentation(fragment, variable.upper() or "DOCUMENTATION").get("attributes", {}))
    for name, attribute in own.get("attributes", {}).items():
        found[name] = {**found.get(name, {}), **attribute}
    return found


def test_every_file_says_its_licence() -> None:
    told = []
    for path in project.plugin_sources():
        head = path.read_text(encoding="utf-8").splitlines()[:6]
        wanted = ("# GNU General Public License v3.0+", "# SPDX-License-Identifier: GPL-3.0-or-later")
        if not all(any(line.startswith(start) for line in head) for start in wanted):
            told.append(project.name(path))
    assert told == []


def test_every_public_function_and_class_says_what_it_does() -> None:
    told = []
    for path in project.under("plugins/module_utils", endings=(".py",)):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            named = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
            if named and not ast.get_docstring(node):
                told.append(f"{project.name(path)}:{node.lineno}: {node.name}")
        if not ast.get_docstring(tree):
            told.append(project.name(path))
    assert told == []


def test_every_module_answers_for_check_and_diff_mode() -> None:
    told = []
    for path in project.modules():
        found = attributes(path)
        told += [
            f"{project.name(path)}: {name} has no support level"
            for name in ATTRIBUTES
            if found.get(name, {}).get("support") not in ("full", "partial", "none", "N/A")
        ]
    assert told == []


def test_the_action_group_holds_every_module() -> None:
    runtime = yaml.safe_load((project.ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    group = [entry for entry in runtime["action_groups"]["dualwrite"] if isinstance(entry, str)]
    assert sorted(group) == sorted(path.stem for path in project.modules())
