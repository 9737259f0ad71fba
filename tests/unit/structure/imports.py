"""The direction of imports, as a table and as functions of a file's text."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

OURS = "ansible_collections.dualwrite.rollback.plugins."
DOMAINS = ("platforms", "probes", "postgres", "backups", "run", "triage", "notices", "drill")
# layer -> what it may import of ours, besides itself
MAY_IMPORT: dict[str, set[str]] = {
    "modules": {"edge", "options", "steps"},
    "action": {"modules", "options", "steps", "core"},  # an edge of its own, with the module's argument spec
    "callback": {"steps", "core"},
    "filter": {"drill"},
    "doc_fragments": set(),
    "edge": {"core"},
    "options": {"core"},
    "steps": {*DOMAINS, "stores", "core"},
    **{domain: {"stores", "core"} for domain in DOMAINS},
    "stores": {"core"},
    "core": set(),
}
IMPORT_ANSIBLE = ("edge", "action", "callback")


def layer(dotted: str) -> str:
    """Name the layer of a dotted path below plugins: module_utils.core.errors -> core, modules.flag -> modules."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == "module_utils" and len(parts) > 1 else parts[0]


def imported(tree: ast.AST, dotted: str) -> Iterator[tuple[ast.stmt, str]]:
    """Walk through the imports of a file: the statement, and the absolute dotted name (ours relative to plugins)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name.replace(OURS, ".", 1) if alias.name.startswith(OURS) else alias.name
        elif isinstance(node, ast.ImportFrom):
            package = node.module or ""
            if node.level:
                above = dotted.split(".")[: -node.level]
                package = "." + ".".join([*above, *([package] if package else [])])
            elif (package + ".").startswith(OURS):
                package = "." + package[len(OURS) :]
            for alias in node.names:
                yield node, f"{package}.{alias.name}"


def violations(source: str, dotted: str) -> list[str]:
    """Tell what a file of the collection imports against the rules; dotted is its path below plugins."""
    tree = ast.parse(source)
    mine = layer(dotted)
    top_level = {id(node) for node in tree.body}
    typing_only = {id(node) for block in tree.body if _is_type_checking(block) for node in ast.walk(block)}
    told = []
    for node, target in imported(tree, dotted):
        where = f"{dotted}:{node.lineno}"
        first = target.split(".")[0]
        if target.startswith("."):
            theirs = layer(target[1:])
            if theirs != mine and theirs not in MAY_IMPORT.get(mine, set()):
                told.append(f"{where}: {mine} imports {theirs}")
            if id(node) not in top_level | typing_only:
                told.append(
                    f"{where}: our own code is imported inside a function: a typo would surface on the target only"
                )
        elif first in ("ansible", "ansible_collections"):
            if mine not in IMPORT_ANSIBLE:
                told.append(f"{where}: {mine} imports {target}; only {', '.join(IMPORT_ANSIBLE)} may")
        elif first in ("importlib", "pkgutil", "imp"):
            told.append(f"{where}: {first} finds nothing on a target; name the adapters in a dict")
        elif id(node) in top_level and not is_standard(first):
            told.append(f"{where}: {first} is imported by everyone who imports this file; import it where it is used")
    if mine != "core":  # translate.require asks whether a client is installed, and says what to install
        told += [
            f"{dotted}:{node.lineno}: __import__ finds nothing on a target"
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and node.id == "__import__"
        ]
    return told


def is_standard(package: str) -> bool:
    """Tell whether a package comes with Python (which Python 3.9 can't answer: there nothing is held against it)."""
    return package in getattr(sys, "stdlib_module_names", {package})


def _is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
