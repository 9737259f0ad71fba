"""Imports point one way, adapters stand in dicts, and a target pays only for the clients that it uses."""

from __future__ import annotations

import ast
import sys

import pytest

from ansible_collections.dualwrite.rollback.tests.unit.structure import imports, project


def test_imports_point_one_way() -> None:
    told = []
    for path in project.plugin_sources():
        dotted = ".".join(path.relative_to(project.PLUGINS).with_suffix("").parts)
        told += imports.violations(path.read_text(encoding="utf-8"), dotted)
    assert not told, "\n".join(told)


def test_every_layer_has_a_rule() -> None:
    found = {imports.layer(".".join(path.relative_to(project.PLUGINS).parts)) for path in project.plugin_sources()}
    assert {layer.replace(".py", "") for layer in found} <= set(imports.MAY_IMPORT)


@pytest.mark.parametrize(
    ("dotted", "source"),
    [
        ("modules.flag", "from ..module_utils.platforms.base import Platform"),
        ("modules.flag", "from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import Refused"),
        ("module_utils.platforms.systemd", "from ..probes.http import Http"),
        ("module_utils.platforms.systemd", "from .. import probes"),
        ("module_utils.core.errors", "from ..run import record"),
        ("module_utils.stores.local", "from ..run.record import Record"),
        ("module_utils.probes.sql", "from ansible.module_utils.basic import AnsibleModule"),
        ("module_utils.probes.registry", "import importlib"),
        ("module_utils.probes.registry", "adapter = __import__('http')"),
        ("module_utils.probes.http", "def ask():\n    from ..core.errors import Refused"),
        pytest.param(
            "module_utils.probes.sql",
            "import psycopg2",
            marks=pytest.mark.skipif(sys.version_info < (3, 10), reason="Python 3.9 has no list of its own packages"),
        ),
    ],
)
def test_a_wrong_import_is_told(dotted: str, source: str) -> None:
    assert imports.violations(source, dotted)


@pytest.mark.parametrize(
    ("dotted", "source"),
    [
        ("modules.flag", "from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run"),
        ("module_utils.steps.flag", "from ..platforms.registry import PLATFORMS\nfrom ..core.errors import Refused"),
        ("module_utils.probes.sql", "import json\n\ndef ask():\n    import psycopg2"),
        ("module_utils.edge", "from ansible.module_utils.basic import AnsibleModule"),
        ("module_utils.run.report", "from . import record\nfrom .record import Record"),
    ],
)
def test_a_right_import_is_not(dotted: str, source: str) -> None:
    assert imports.violations(source, dotted) == []


@pytest.mark.parametrize("domain", ["platforms", "probes"])
def test_adapters_stand_in_a_dict(domain: str) -> None:
    registry = project.PLUGINS / "module_utils" / domain / "registry.py"
    tree = ast.parse(registry.read_text(encoding="utf-8"))
    values = [node.value for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign))]
    named = [[getattr(key, "value", None) for key in value.keys] for value in values if isinstance(value, ast.Dict)]
    assert any(keys and all(isinstance(key, str) for key in keys) for keys in named)
