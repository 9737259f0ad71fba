"""One word for one thing (the vocabulary of the architecture), and nothing in the tree that belongs elsewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ansible_collections.dualwrite.rollback.tests.unit.structure import project

PROSE = ("plugins", "roles", "playbooks", "extensions", "docs", "README.md", "CONTRIBUTING.md")

# What is written nowhere: pattern -> the word that we use.
NEVER_WRITTEN = {
    r"toggl(e|es|ed|ing)\b": "flag",
    r"(feature|flag|dual[-_ ]write)[-_ ]switch": "flag",
    r"feature[-_ ]flag": "flag",
    r"desired[-_ ](state|value|flag)": "declared",
    r"actual[-_ ](state|value|flag)": "effective",
    r"health[-_ ]?checks?\b": "probe",
    r"(?<![.\w/\"-])replicas?\b(?![:\"])": "instance",  # as a field of an object of Kubernetes it is theirs
    r"(?<!volume )(?<!vm )snapshots?\b": "baseline or backup",
}
# What we name nothing of our own: a part of a snake_case or CamelCase name -> the word that we use.
NEVER_NAMED = {
    "toggle": "flag",
    "switch": "flag",
    "replica": "instance",
    "replicas": "instance",
    "snapshot": "baseline or backup",
    "desired": "declared",
    "actual": "effective",
    "provider": "platform",
    "backend": "platform",
    "proof": "evidence",
    "job": "run",
    "tier": "environment",
}


def words_in(line: str) -> list[str]:
    """Tell which words of a line the vocabulary has another word for."""
    return [
        f"{found.group(0)!r}: {use}" for bad, use in NEVER_WRITTEN.items() for found in re.finditer(bad, line, re.I)
    ]


def names_given(source: str) -> Iterator[tuple[int, str]]:
    """Walk through the names that a Python file gives to things of its own (what it calls of others is theirs)."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr


def options_given(options: dict[str, Any]) -> Iterator[str]:
    """Walk through the names of options, suboptions included."""
    for option, spec in options.items():
        yield option
        yield from options_given((spec or {}).get("options") or (spec or {}).get("suboptions") or {})


def wrong_parts(name: str) -> list[str]:
    """Tell which parts of a name the vocabulary has another word for."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")
    return [f"{name}: call it {NEVER_NAMED[part]}" for part in parts if part in NEVER_NAMED]


def test_prose_and_code_use_the_vocabulary() -> None:
    told = [f"{where}: {word}" for where, line in project.lines(project.under(*PROSE)) for word in words_in(line)]
    assert not told, "\n".join(told)


def test_names_use_the_vocabulary() -> None:
    told = []
    for path in project.plugin_sources():
        for number, name in names_given(path.read_text(encoding="utf-8")):
            told += [f"{project.name(path)}:{number}: {wrong}" for wrong in wrong_parts(name)]
    assert not told, "\n".join(told)


def test_role_options_use_the_vocabulary() -> None:
    told = []
    for path in project.under("roles", endings=("argument_specs.yml",)):
        for spec in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            for option in options_given(spec.get("options") or {}):
                told += [f"{project.name(path)}: {wrong}" for wrong in wrong_parts(option)]
    assert not told, "\n".join(told)


@pytest.mark.parametrize(
    "line",
    [
        "the feature toggle",
        "TOGGLES = []",
        "set feature_flag",
        "the flag switch",
        "desired state",
        "an actual value",
        "a health check",
        "every replica holds it",
        "take a snapshot",
    ],
)
def test_a_wrong_word_is_told(line: str) -> None:
    assert words_in(line)


@pytest.mark.parametrize(
    "line",
    [
        "Switch dual-write off",
        "in check mode",
        "tests/",
        "spec.replicas",
        "--replicas=3",
        "replicas: 3",
        "/health/",
        "a systemd service",
    ],
)
def test_a_right_word_is_not(line: str) -> None:
    assert words_in(line) == []


def test_a_wrong_name_is_told() -> None:
    source = "def flag_toggle(provider):\n    self.desired = ReplicaSet = 1\nclass BackendPlatform: pass\n"
    assert {wrong.split(":")[0] for _line, name in names_given(source) for wrong in wrong_parts(name)} == {
        "flag_toggle",
        "provider",
        "desired",
        "ReplicaSet",
        "BackendPlatform",
    }
    assert not list(names_given("import json\njson.dump({}, stream)\nspec.replicas"))
