"""The tier molecule: every scenario below molecule/ on one fleet of real components, several scenarios at a time."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .dynamic import cluster_programs, system_packages
from .tier import ROOT, Tier

FLEET, MIXED = "default", "mixed"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: what Molecule says at the end of a step
ENDED = re.compile(r"\w+ +\w+ ➜ (?P<step>\w+): Executed: ")


@dataclasses.dataclass
class Ran:
    """How a scenario went: exit code, seconds in all and of each step, and everything that was said."""

    scenario: str
    code: int = 0
    seconds: float = 0.0
    steps: list[str] = dataclasses.field(default_factory=list)
    lines: list[str] = dataclasses.field(default_factory=list)


def molecule(tier: Tier) -> None:
    """Bring the components up once, run each scenario, count it, say what it took, and take the components down."""
    from tests.fleet.fleet import unavailable  # the lab is asked by those who run the tier, not by who lists tiers

    system_packages(tier)
    cluster_programs(tier)
    missing = unavailable()
    for platform, reason in missing.items():
        tier.missing(f"scenario {platform} can't run: {reason}")
    names = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))
    alone = [name for name in names if name not in (FLEET, MIXED, *missing)]
    with tempfile.TemporaryDirectory(prefix="dualwrite-molecule-") as folder:
        state = Path(folder)
        try:
            if tier.run("components up", *_command(state, "create", FLEET)):
                # each has hosts of its own; the mixed one has all of them
                with ThreadPoolExecutor(max_workers=2) as pool:
                    for ran in pool.map(lambda name: _run(state, name), alone):
                        _count(tier, ran)
                if len(alone) > 1:
                    _count(tier, _run(state, MIXED))
        finally:
            tier.run("components down", *_command(state, "destroy", FLEET))


def _command(state: Path, verb: str, scenario: str) -> tuple[list[str], Path, dict[str, str]]:
    """Return arguments, folder and variables of a call of Molecule that knows nothing of an earlier one."""
    argv = [sys.executable, "-m", "molecule", verb, "--scenario-name", scenario]
    if scenario != FLEET:
        argv.append("--no-shared-state")  # create and destroy are not its own, and happen once for all
    if verb == "test":
        argv += ["--destroy", "never"]  # a failed one leaves its hosts as they are
    return argv, ROOT, {"MOLECULE_EPHEMERAL_DIRECTORY": str(state / scenario)}


def _run(state: Path, scenario: str) -> Ran:
    """Run one scenario to its end."""
    argv, cwd, env = _command(state, "test", scenario)
    print(f"== molecule: {scenario} begins", flush=True)
    ran = Ran(scenario)
    began = at = time.monotonic()
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(argv, cwd=cwd, env={**os.environ, **env}, **streams) as process:
        for line in process.stdout or ():
            ran.lines.append(COLOUR.sub("", line).rstrip())
            ended = ENDED.match(ran.lines[-1])
            if ended:
                now = time.monotonic()
                ran.steps.append(f"{ended['step']} {now - at:.1f}")
                at = now
    ran.code, ran.seconds = process.returncode, time.monotonic() - began
    return ran


def _count(tier: Tier, ran: Ran) -> None:
    """Count a scenario as one test; a failed one shows all that it said."""
    tier.passed += ran.code == 0
    tier.failed += ran.code != 0
    if ran.code:
        print("\n".join(ran.lines))
    told = f"{ran.scenario} {'passed' if ran.code == 0 else 'FAILED'} in {ran.seconds:.1f} s ({', '.join(ran.steps)})"
    print(f"== molecule: {told}", flush=True)
    tier.notes.append(told)
