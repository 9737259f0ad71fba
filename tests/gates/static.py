"""Tiers that look at the files without running the product: lint, sanity, docs-lint, build."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from . import pythons
from .tier import ROOT, Tier
from .tree import copied_tree, offline_pip, project_files

PACKAGE = "ansible_collections.dualwrite.rollback.plugins.module_utils"
# Sanity tests that need a program from outside PyPI: test -> (program, what kind of file it looks at).
NEEDS_PROGRAM = {"shellcheck": ("shellcheck", (".sh",)), "pslint": ("pwsh", (".ps1", ".psm1", ".psd1"))}


def lint(tier: Tier) -> None:
    """ruff, yamllint, ansible-lint with the production profile, mypy --strict on module_utils, shellcheck."""
    tier.run("ruff check", ["ruff", "check", "--output-format", "concise", "."])
    tier.run("ruff format", ["ruff", "format", "--check", "."])
    tier.run("yamllint", ["yamllint", "--strict", "."])
    tier.run("ansible-lint", ["ansible-lint", "--offline", "--profile", "production", "--nocolor", "-q"])
    tier.run("mypy", ["mypy", "-p", PACKAGE])
    scripts = [name for name in project_files() if _is_shell(ROOT / name)]
    if shutil.which("shellcheck"):
        tier.run("shellcheck", ["shellcheck", *scripts])
    else:
        tier.missing("shellcheck is not installed: shell scripts are not checked (scripts/system-packages installs it)")


def _is_shell(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as stream:
        first = stream.readline(80)
    return first.startswith(b"#!") and b"sh" in first


def sanity(tier: Tier) -> None:
    """ansible-test sanity without an ignore file; modules compiled and imported on each Python of the machine.

    Then what can differ of it under the oldest and the newest ansible-core that are promised.
    """
    offline_pip(sys.executable)
    with copied_tree() as tree:
        skipped = []
        for test, (program, endings) in NEEDS_PROGRAM.items():
            if shutil.which(program):
                continue
            skipped += ["--skip-test", test]
            files = [name for name in project_files() if name.endswith(endings)]
            if files:
                tier.missing(f"sanity test {test} can't run: {program} is not installed, and there is {files[0]}")
            else:
                tier.notes.append(f"{test} not run: no {program} here, and no file of its kind in the tree")
        # compile and import run on every Python that ansible-test finds: offer the ones outside PATH too, and first,
        # because a pyenv shim on PATH exists for versions that it then refuses to run.
        others = {version: path for version, path in pythons.available().items() if version != sys.version_info[:2]}
        links = pythons.linked(tree.parents[2] / "bin", others)
        path = os.pathsep.join([str(Path(sys.executable).parent), str(links), os.environ["PATH"]])
        command = ["ansible-test", "sanity", "--color", "no", "--python", "default", *skipped]
        tier.run("ansible-test sanity", command, cwd=tree, env={"PATH": path})
    checks = [word for test in ("validate-modules", "import", "compile") for word in ("--test", test)]
    for core in pythons.controllers(tier):
        offline_pip(core.python)
        python = f"{core.version[0]}.{core.version[1]}"
        command = ["ansible-test", "sanity", "--color", "no", "--python", python, *checks]
        with copied_tree() as tree:
            tier.run(f"{core.label}: sanity", command, cwd=tree, env=core.env)


def docs_lint(tier: Tier) -> None:
    """Every reference and example in the documentation; every changelog fragment; the site."""
    with copied_tree() as tree:
        env = {"ANSIBLE_COLLECTIONS_PATH": str(tree.parents[2]), "PYTHONPATH": str(tree.parents[2])}
        check = [
            "lint-collection-docs",
            "--plugin-docs",
            "--validate-collection-refs=self",
            "--disallow-unknown-collection-refs",
        ]
        tier.run("antsibull-docs", ["antsibull-docs", *check, str(tree)], env=env)
        tier.run("antsibull-changelog", ["antsibull-changelog", "lint"], cwd=tree)
    tier.pytest("site", ["tests/site"])


def build(tier: Tier) -> None:
    """Build the artifact from the project's files, install it into an empty path and use it from there."""
    with copied_tree() as tree, tempfile.TemporaryDirectory(prefix="dualwrite-installed-") as folder:
        empty = Path(folder)
        if not tier.run("build", ["ansible-galaxy", "collection", "build", "--output-path", str(empty)], cwd=tree):
            return
        artifact = next(empty.glob("dualwrite-rollback-*.tar.gz"))
        (empty / "ansible.cfg").touch()
        collections = str(empty / "collections")
        env = {
            "ANSIBLE_COLLECTIONS_PATH": collections,
            "ANSIBLE_CONFIG": str(empty / "ansible.cfg"),
            "PYTHONPATH": "",
        }
        install = ["ansible-galaxy", "collection", "install", "--offline", str(artifact), "-p", collections]
        if not tier.run("install", install, cwd=empty, env=env):
            return
        inventory = str(ROOT / "inventories" / "staging")
        playbook = ["ansible-playbook", "dualwrite.rollback.rollback_dual_write", "-i", inventory]
        tier.run("playbook by its full name", [*playbook, "--syntax-check"], cwd=empty, env=env)
        modules = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("[a-z]*.py"))
        names = {f"dualwrite.rollback.{name}" for name in modules}
        asked = ["ansible-doc", "--json", "-t", "module", *sorted(names)]
        told = json.loads(tier.output("module documentation", asked, cwd=empty, env=env) or "{}")
        if names - set(told) or not names:  # ansible-doc only warns of a module that it does not find
            tier.failed_steps.append(f"no module documentation: {', '.join(sorted(names - set(told))) or 'no module'}")
