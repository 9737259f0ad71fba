"""Each role's defaults, argument specs and README say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.dualwrite.rollback.tests.gates import role_docs
from ansible_collections.dualwrite.rollback.tests.unit.structure import project

ROLES = sorted(path for path in (project.ROOT / "roles").iterdir() if path.is_dir())


def differences(specs: dict[str, Any], defaults: dict[str, Any]) -> list[str]:
    """Tell where defaults and argument specs (entry point -> spec) disagree; a name with __ is internal."""
    told = []
    options: dict[str, Any] = {}
    for entry, spec in specs.items():
        for name, option in (spec.get("options") or {}).items():
            if options.setdefault(name, option) != option:
                told.append(f"{name}: two entry points ({entry} is one) specify it differently")
    public = {name: value for name, value in defaults.items() if not name.startswith("__")}
    told += [f"{name}: in defaults, in no argument spec" for name in public if name not in options]
    for name, option in options.items():
        if option.get("required") and name in public:
            told.append(f"{name}: is required and has a default")
        elif isinstance(public.get(name), str) and "{{" in public[name]:
            # antsibull-docs holds a spec's default against its type, which a template is not.
            if "default" in option:
                told.append(f"{name}: its default is a template: it stands in defaults/main.yml only")
        elif "default" not in option:
            if name in public:
                told.append(f"{name}: has a default that its spec does not know")
        elif name not in public:
            told.append(f"{name}: its spec has a default, defaults/main.yml has none")
        elif public[name] != option["default"]:
            told.append(f"{name}: {json.dumps(public[name])} in defaults, {json.dumps(option['default'])} in its spec")
    return told


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_equal_argument_specs(role: Path) -> None:
    assert differences(role_docs.entry_points(role), role_docs.defaults(role)) == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_readme_shows_the_options(role: Path) -> None:
    current = (role / "README.md").read_text(encoding="utf-8")
    assert current == role_docs.rendered(role), f"run scripts/role-docs: {role.name}/README.md is out of date"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_entry_point_is_a_task_file_with_a_spec(role: Path) -> None:
    specs = set(role_docs.entry_points(role))
    files = {path.stem for path in (role / "tasks").glob("*.yml")}
    assert specs <= files, f"specs without tasks: {sorted(specs - files)}"
    assert "main" in specs


@pytest.mark.parametrize(
    ("specs", "defaults"),
    [
        ({"main": {"options": {}}}, {"r_extra": 1}),
        ({"main": {"options": {"r_a": {"default": 1}}}}, {}),
        ({"main": {"options": {"r_a": {"default": 1}}}}, {"r_a": 2}),
        ({"main": {"options": {"r_a": {"required": True}}}}, {"r_a": 2}),
        ({"main": {"options": {"r_a": {"required": True}}}}, {"r_a": "{{ b }}"}),
        ({"main": {"options": {"r_a": {"default": "{{ b }}"}}}}, {"r_a": "{{ b }}"}),
        ({"main": {"options": {"r_a": {"type": "int"}}}, "undo": {"options": {"r_a": {"type": "str"}}}}, {}),
    ],
)
def test_a_difference_is_told(specs: dict[str, Any], defaults: dict[str, Any]) -> None:
    assert differences(specs, defaults)


def test_a_stale_readme_is_told(tmp_path: Path) -> None:
    role = tmp_path / "sample"
    (role / "meta").mkdir(parents=True)
    spec = {"short_description": "Try it.", "options": {"sample_a": {"type": "int", "default": 1, "description": "A."}}}
    (role / "meta" / "argument_specs.yml").write_text(yaml.safe_dump({"argument_specs": {"main": spec}}))
    (role / "README.md").write_text(f"# sample\n\n{role_docs.START}\n{role_docs.END}\n")
    assert "| `sample_a` | int | `1` | A. |" in role_docs.rendered(role)
    (role / "README.md").write_text("# sample\n")
    with pytest.raises(ValueError, match="needs these two lines"):
        role_docs.rendered(role)
