"""One tier: named steps that run a command each, timed, with the pytest counts they leave behind."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]


WIDEST = 300


def failure(case: ElementTree.Element) -> str:
    """Return where a test of a JUnit report failed and why, on one line; '' for one that did not fail."""
    for kind in ("failure", "error"):
        if (found := case.find(kind)) is not None:
            reason = " ".join((found.get("message") or found.text or kind).split())
            return f"{case.get('classname')}::{case.get('name')}: {reason}"[:WIDEST]
    return ""


@dataclasses.dataclass
class Tier:
    """What a tier did: seconds, pytest counts, the tests that failed, with their reasons, and the steps that failed."""

    name: str
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failed_tests: list[str] = dataclasses.field(default_factory=list)
    failed_steps: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.failed_steps and not self.failed

    def run(self, step: str, argv: list[str], cwd: Path = ROOT, env: dict[str, str] | None = None) -> bool:
        """Run one command, its output shown as it comes; a non-zero end fails the step. Returns whether it passed."""
        print(f"\n== {self.name}: {step}", flush=True)
        started = time.monotonic()
        try:
            code = subprocess.run(argv, cwd=cwd, env={**os.environ, **(env or {})}, check=False).returncode
        except FileNotFoundError:
            print(f"{argv[0]} is not installed here")
            code = 127
        print(
            f"== {self.name}: {step}: {'ok' if code == 0 else f'FAILED ({code})'} in {time.monotonic() - started:.1f} s"
        )
        if code:
            self.failed_steps.append(step)
        return code == 0

    def output(self, step: str, argv: list[str], cwd: Path, env: dict[str, str]) -> str:
        """Run one command and return what it printed; a non-zero end fails the step and shows it."""
        done = subprocess.run(argv, cwd=cwd, env={**os.environ, **env}, check=False, capture_output=True, text=True)
        print(f"\n== {self.name}: {step}: {f'FAILED ({done.returncode})' if done.returncode else 'ok'}", flush=True)
        if done.returncode:
            print(done.stdout + done.stderr, flush=True)
            self.failed_steps.append(step)
        return done.stdout

    def pytest(
        self,
        step: str,
        arguments: list[str],
        python: str = "python",
        cwd: Path = ROOT,
        env: dict[str, str] | None = None,
    ) -> bool:
        """Run pytest and add its counts to the tier's. A run that collects no test at all fails."""
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "junit.xml"
            known = len(self.failed_steps)
            good = self.run(step, [python, "-m", "pytest", f"--junitxml={report}", *arguments], cwd=cwd, env=env)
            failed = self._count(report)
        if not good and failed:
            del self.failed_steps[known:]  # told by the count of failed tests
        return good

    def counted(self, step: str, argv: list[str], reports: Path, cwd: Path, env: dict[str, str]) -> bool:
        """Run a command that leaves JUnit reports in a folder, and add their counts; none at all fails the step."""
        known = len(self.failed_steps)
        good = self.run(step, argv, cwd=cwd, env=env)
        found = sorted(reports.glob("*.xml"))
        if good and not found:
            self.failed_steps.append(f"{step}: no report")
        if sum(self._count(report) for report in found) and not good:
            del self.failed_steps[known:]
        return good

    def _count(self, report: Path) -> int:
        """Add the counts of a JUnit report; returns how many tests failed."""
        if not report.exists():
            return 0
        failed = 0
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            total, bad, skipped = (int(suite.get(key, 0)) for key in ("tests", "failures", "skipped"))
            bad += int(suite.get("errors", 0))
            self.failed_tests += [told for case in suite.iter("testcase") if (told := failure(case))]
            failed += bad
            self.failed += bad
            self.skipped += skipped
            self.passed += total - bad - skipped
        return failed

    def missing(self, what: str) -> None:
        """Say that a part of this machine is missing: a note for a developer, a failure in CI."""
        print(f"== {self.name}: {what}", flush=True)
        (self.failed_steps if os.environ.get("CI") else self.notes).append(what)
