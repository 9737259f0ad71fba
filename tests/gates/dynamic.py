"""Tiers that run the product: units, lab-tests, integration, faults, compat."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from . import pythons
from .tier import ROOT, Tier
from .tree import copied_tree, offline_pip

COLLECTIONS = str(ROOT / ".cache" / "collections")
OLDEST_TARGET = (3, 9)
# A host or an engine of the lab runs the collection's code with its own Python, whichever runs pytest.
WITHOUT_COMPONENTS = ("-m", "not component")


def units(tier: Tier) -> None:
    """Unit tests by pytest, then by ansible-test in a copy of the tree (its own rules, nothing of ours around it)."""
    system_packages(tier)
    tier.pytest("pytest", ["tests/unit", "-m", "not cluster"])
    cluster_programs(tier)
    tier.pytest("pytest on a cluster", ["tests/unit/contract", "-m", "cluster"])
    with copied_tree() as tree:
        offline_pip(sys.executable)
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        # --local: the tools of .venv, which hold what the tests import.
        tier.run(
            "ansible-test units", ["ansible-test", "units", "--color", "no", "--local", "--python", version], cwd=tree
        )


def system_packages(tier: Tier) -> None:
    """Install what the real parts need; where that can't be done the tests that need it say so themselves."""
    if not tier.run("system packages", [str(ROOT / "scripts" / "system-packages")]) and not os.environ.get("CI"):
        tier.failed_steps.remove("system packages")
        tier.notes.append("system packages are missing (see above)")


def begin_cluster_programs() -> None:
    """Begin to build Kubernetes's programs beside the tiers that don't need them, with what these leave of the cores.

    ``cluster_programs`` waits for it, and builds anew what has failed.
    """
    argv = ["nice", "-n", "19", sys.executable, "-m", "tests.lab.cluster", "build"]
    subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def cluster_programs(tier: Tier) -> None:
    """Build Kubernetes's programs where the cache has none; where that can't be done its tests say so themselves."""
    step = "cluster build"
    if not tier.run(step, [sys.executable, "-m", "tests.lab.cluster", "build"]) and not os.environ.get("CI"):
        tier.failed_steps.remove(step)
        tier.notes.append("no Kubernetes cluster can be had (see above)")


def lab_tests(tier: Tier) -> None:
    """The lab's own tests: what the others measure with must be right."""
    system_packages(tier)
    cluster_programs(tier)
    tier.pytest("pytest", ["tests/lab_tests"])


def integration(tier: Tier) -> None:
    """Real applications, real databases, real playbooks; and what the pages and examples tell to do."""
    system_packages(tier)
    cluster_programs(tier)
    tier.pytest("pytest", ["tests/integration", "tests/docs"])


def faults(tier: Tier) -> None:
    """Bad input, kills at each phase, locks, failing restarts: one sentence, a non-zero end, nothing lost."""
    system_packages(tier)
    tier.pytest("pytest", ["tests/faults"])


def compat(tier: Tier) -> None:
    """The oldest and the newest ansible-core that are promised, and the oldest Python of a target."""
    found = pythons.available()
    oldest = next((version for version in ((3, 11), (3, 12), (3, 10)) if version in found), None)
    newest = max((version for version in found if version >= (3, 12)), default=None)
    if oldest is None:
        tier.missing("no Python 3.10 to 3.12 on this machine: ansible-core 2.16 is not tried")
    else:
        _controller(tier, "ansible-core 2.16", "ansible-core>=2.16.0,<2.17", oldest, found)
    if newest is None:
        tier.notes.append("no Python 3.12 or newer on this machine: the newest ansible-core is not tried")
    else:
        _controller(tier, "newest ansible-core", "ansible-core>=2.20", newest, found)
    if OLDEST_TARGET in found:
        _target(tier, found[OLDEST_TARGET])
    else:
        tier.notes.append("no Python 3.9 on this machine: the oldest Python of a target is not tried")


def _prepared(
    tier: Tier, label: str, requirement: str, python: str, version: tuple[int, int], needs: str = "compat.in"
) -> Path | None:
    name = f"{label.replace(' ', '-')}-py{version[0]}.{version[1]}"
    wanted = [requirement, "--requirement", str(ROOT / "requirements" / needs)]
    folder = pythons.environment(name, python, wanted)
    if folder is None:
        tier.failed_steps.append(f"{label}: environment")
    return folder


def _around(folder: Path) -> dict[str, str]:
    """The child's variables when it runs with another environment's programs."""
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    return {"PATH": path, "PYTHONPATH": COLLECTIONS, "ANSIBLE_COLLECTIONS_PATH": COLLECTIONS}


def _controller(
    tier: Tier, label: str, requirement: str, version: tuple[int, int], found: dict[tuple[int, int], str]
) -> None:
    folder = _prepared(tier, label, requirement, found[version], version)
    if folder is None:
        return
    python, env = str(folder / "python"), _around(folder)
    tier.run(f"{label}: version", ["ansible", "--version"], env=env)
    tier.pytest(f"{label}: unit tests", ["tests/unit", *WITHOUT_COMPONENTS], python=python, env=env)
    offline_pip(python)
    checks = [word for test in ("validate-modules", "import", "compile") for word in ("--test", test)]
    command = ["ansible-test", "sanity", "--color", "no", "--python", f"{version[0]}.{version[1]}", *checks]
    with copied_tree() as tree:
        tier.run(f"{label}: sanity", command, cwd=tree, env=env)
    tier.pytest(f"{label}: end to end", ["tests/integration", "-m", "smoke"], python=python, env=env)


def _target(tier: Tier, python: str) -> None:
    """module_utils travels to hosts with an older Python than the controller's: its unit tests run there too."""
    folder = _prepared(tier, "target", "ansible-core>=2.15,<2.16", python, OLDEST_TARGET, "target.in")
    if folder is not None:
        units = ["tests/unit", *WITHOUT_COMPONENTS]
        tier.pytest("Python 3.9: unit tests", units, python=str(folder / "python"), env=_around(folder))
