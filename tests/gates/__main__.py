"""Run one tier, or all of them with a table of their times: python -m tests.gates <tier>|all."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from . import dynamic, molecule, role_docs, static
from .tier import ROOT, Tier

TIERS: dict[str, Callable[[Tier], None]] = {
    "system-packages": dynamic.system_packages,
    "lint": static.lint,
    "sanity": static.sanity,
    "docs-lint": static.docs_lint,
    "build": static.build,
    "units": dynamic.units,
    "lab-tests": dynamic.lab_tests,
    "integration": dynamic.integration,
    "faults": dynamic.faults,
    "molecule": molecule.molecule,
    "compat": dynamic.compat,
}


def run_tier(name: str) -> Tier:
    """Run one tier to its end and say how it went; a tier that breaks is a failed tier, the others go on."""
    tier = Tier(name)
    started = time.monotonic()
    try:
        TIERS[name](tier)
    except Exception as error:  # the next tiers still have something to say
        tier.failed_steps.append(f"{type(error).__name__}: {error}")
    tier.seconds = time.monotonic() - started
    return tier


def table(tiers: list[Tier]) -> str:
    """Lay the tiers out: seconds, counts of tests, and every step that failed or could not run."""
    lines = [f"{'tier':<16}{'seconds':>8}{'passed':>8}{'failed':>8}{'skipped':>9}  result"]
    for tier in tiers:
        counts = f"{tier.passed:>8}{tier.failed:>8}{tier.skipped:>9}"
        lines.append(f"{tier.name:<16}{tier.seconds:>8.1f}{counts}  {'ok' if tier.ok else 'FAILED'}")
        lines += [f"{'':<16}  failed: {step}" for step in tier.failed_steps]
        lines += [f"{'':<16}  note: {note}" for note in tier.notes]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["role-docs"]:
        return role_docs.main(arguments[1:])
    if len(arguments) != 1 or arguments[0] not in [*TIERS, "all"]:
        print(f"usage: python -m tests.gates {'|'.join(TIERS)}|all|role-docs", file=sys.stderr)
        return 2
    os.chdir(ROOT)
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    tiers = []
    for name in TIERS if arguments[0] == "all" else arguments:
        tiers.append(run_tier(name))
        if name == "system-packages" and arguments[0] == "all":
            dynamic.begin_cluster_programs()
    passed, failed = sum(tier.passed for tier in tiers), sum(tier.failed + len(tier.failed_steps) for tier in tiers)
    print(f"\n{table(tiers)}\n\n{passed} passed, {failed} failed", flush=True)
    return 0 if all(tier.ok for tier in tiers) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
