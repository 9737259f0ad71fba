"""Run one tier, or all of them with a table of their times: python -m tests.gates <tier>|all.

Tiers that run the product mostly wait, for processes, pods and deadlines; those that look at files mostly compute. So
``all`` runs these beside those, and first of all builds Kubernetes's programs there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from . import dynamic, molecule, role_docs, static
from .aside import Aside
from .tier import ROOT, Tier

# In the order in which `all` runs them: what needs a cluster comes late, when its programs are built.
TIERS: dict[str, Callable[[Tier], None]] = {
    "system-packages": dynamic.system_packages,
    "faults": dynamic.faults,
    "compat": dynamic.compat,
    "units": dynamic.units,
    "lab-tests": dynamic.lab_tests,
    "integration": dynamic.integration,
    "molecule": molecule.molecule,
    "lint": static.lint,
    "docs-lint": static.docs_lint,
    "build": static.build,
    "sanity": static.sanity,
}
# No limit of time is tried in these: `all` runs them beside the others.
ASIDE = ("lint", "docs-lint", "build", "sanity")
CLUSTER_BUILD = "cluster build"


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
    """Lay the tiers out: seconds, counts of tests, and every step and test that failed or could not run."""
    lines = [f"{'tier':<16}{'seconds':>8}{'passed':>8}{'failed':>8}{'skipped':>9}  result"]
    for tier in tiers:
        counts = f"{tier.passed:>8}{tier.failed:>8}{tier.skipped:>9}"
        lines.append(f"{tier.name:<16}{tier.seconds:>8.1f}{counts}  {'ok' if tier.ok else 'FAILED'}")
        lines += [f"{'':<16}  failed: {what}" for what in [*tier.failed_steps, *tier.failed_tests]]
        lines += [f"{'':<16}  note: {note}" for note in tier.notes]
    return "\n".join(lines)


def run_all() -> list[Tier]:
    """Run every tier, those that only look at files beside the others, and return them in the order of the table."""
    tiers = {}
    first, *others = [name for name in TIERS if name not in ASIDE]
    tiers[first] = run_tier(first)
    with tempfile.TemporaryDirectory(prefix="dualwrite-tiers-") as folder:
        reports = {name: Path(folder) / name for name in ASIDE if name in TIERS}
        gate = [sys.executable, "-m", "tests.gates"]
        programs = {CLUSTER_BUILD: dynamic.CLUSTER_BUILD} if first == "system-packages" else {}
        programs |= {name: [*gate, name, "--report", str(report)] for name, report in reports.items()}
        with Aside(programs) as aside:
            for name in others:
                tiers[name] = run_tier(name)
                aside.tell()
            aside.tell(wait=True)
        tiers |= {name: read_report(report, name) for name, report in reports.items()}
    return [tiers[name] for name in TIERS]


def read_report(report: Path, name: str) -> Tier:
    """Return the tier that a program of its own has run; one that left no report has failed."""
    if not report.exists():
        return Tier(name, failed_steps=["it ended before its report"])
    return Tier(**json.loads(report.read_text(encoding="utf-8")))


def end_all(number: int, frame: FrameType | None) -> None:
    """Let a signal end this program as an error does, so that what runs beside it ends too."""
    sys.exit(128 + number)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["role-docs"]:
        return role_docs.main(arguments[1:])
    name, *more = arguments or [""]
    if name not in [*TIERS, "all"] or (more and (name == "all" or len(more) != 2 or more[0] != "--report")):
        print(f"usage: python -m tests.gates {'|'.join(TIERS)} [--report FILE]|all|role-docs", file=sys.stderr)
        return 2
    os.chdir(ROOT)
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    tiers = run_all() if name == "all" else [run_tier(name)]
    if more:
        Path(more[1]).write_text(json.dumps(dataclasses.asdict(tiers[0])), encoding="utf-8")
        return 0 if tiers[0].ok else 1
    passed, failed = sum(tier.passed for tier in tiers), sum(tier.failed + len(tier.failed_steps) for tier in tiers)
    print(f"\n{table(tiers)}\n\n{passed} passed, {failed} failed", flush=True)
    return 0 if all(tier.ok for tier in tiers) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end_all)
    sys.exit(main(sys.argv[1:]))
