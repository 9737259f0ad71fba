"""Tiers that run the product: units, lab-tests, integration, faults, compat."""

from __future__ import annotations

import os
import sys

from . import pythons
from .tier import ROOT, Tier
from .tree import copied_tree, offline_pip

CLUSTER_BUILD = [sys.executable, "-m", "tests.lab.cluster", "build"]
TOUCHING_ANSIBLE = ["tests/unit/callback", "tests/unit/structure"]
# Most tests wait most of the time. The tests of a file, or of a component of the lab, stay in one process.
TWO_AT_A_TIME = ["-n", "2", "--dist", "loadfile"]
# What the Python that runs pytest makes a difference for.
EVERY_UNIT = ["tests/unit", "-m", "not component", *TWO_AT_A_TIME]


def units(tier: Tier) -> None:
    """Unit tests: plain Python, and the contract of platforms on real components."""
    system_packages(tier)
    cluster_programs(tier)
    tier.pytest("pytest", ["tests/unit", *TWO_AT_A_TIME])


def system_packages(tier: Tier) -> None:
    """Install what the real parts need; where that can't be done the tests that need it say so themselves."""
    if not tier.run("system packages", [str(ROOT / "scripts" / "system-packages")]) and not os.environ.get("CI"):
        tier.failed_steps.remove("system packages")
        tier.notes.append("system packages are missing (see above)")


def cluster_programs(tier: Tier) -> None:
    """Build Kubernetes's programs where the cache has none; where that can't be done its tests say so themselves."""
    step = "cluster build"
    if not tier.run(step, CLUSTER_BUILD) and not os.environ.get("CI"):
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
    tier.pytest("pytest", ["tests/integration", "tests/docs", *TWO_AT_A_TIME])


def faults(tier: Tier) -> None:
    """Bad input, kills at each phase, locks, failing restarts: one sentence, a non-zero end, nothing lost.

    One at a time: these wait for moments that last a fraction of a second.
    """
    system_packages(tier)
    tier.pytest("pytest", ["tests/faults"])


def compat(tier: Tier) -> None:
    """The oldest and the newest ansible-core that are promised, and the oldest and the newest Python.

    Below the modules nothing knows Ansible, so there only another Python can make a difference: all unit tests run on
    the oldest and on the newest, save those that a host or an engine of the lab runs with its own; on the newest by
    ansible-test, in a copy of the tree (its own rules, nothing of ours around it). Where just ansible-core is another
    one, what touches Ansible runs: the callback, and what the structure tests load of plugins and roles. A rollback
    from end to end runs under both, and `sanity` looks at the modules under both.
    """
    for core in pythons.controllers(tier):
        tier.run(f"{core.label}: version", ["ansible", "--version"], env=core.env)
        if core.version == sys.version_info[:2]:
            tier.pytest(f"{core.label}: unit tests", TOUCHING_ANSIBLE, python=core.python, env=core.env)
        else:
            _ansible_test_units(tier, core)
        tier.pytest(f"{core.label}: end to end", ["tests/integration", "-m", "smoke"], python=core.python, env=core.env)
    for target in pythons.targets(tier):
        tier.pytest(f"{target.label}: unit tests", EVERY_UNIT, python=target.python, env=target.env)


def _ansible_test_units(tier: Tier, core: pythons.Environment) -> None:
    offline_pip(core.python)
    # --local: the programs of that environment, which hold what the tests import.
    version = f"{core.version[0]}.{core.version[1]}"
    command = ["ansible-test", "units", "--color", "no", "--local", "--python", version]
    with copied_tree() as tree:
        reports = tree / "tests" / "output" / "junit"
        tier.counted(f"{core.label}: ansible-test units", command, reports, cwd=tree, env=core.env)
