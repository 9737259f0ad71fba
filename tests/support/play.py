"""Run a playbook as an operator does and look at what it left behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = ROOT / "playbooks"
PLAYBOOK = "rollback_dual_write.yml"
#: what one line of the collection's callback looks like: [12.3 s of 300 s] phase  host  words
PHASE_LINE = re.compile(r"\[ *(?P<at>\d+\.\d) s of \d+ s\] (?P<phase>\S+) +(?P<host>\S+)  (?P<words>.+)")
RECAP = re.compile(r"^(?P<host>\S+) +: +(?P<counts>ok=\d+ .*)$", re.MULTILINE)


@dataclass(frozen=True)
class Ended:
    """How a playbook run ended: exit code, what the operator saw, when it was called, how long it took, its reports."""

    rc: int
    text: str
    called: datetime
    reports: Path
    took: float = 0.0
    newest: Path | None = None  # the folder of the newest run when this one had ended

    @property
    def run_folder(self) -> Path:
        """The folder of this run; it is the newest one below the reports."""
        found = self.newest or newest_run(self.reports)
        assert found, f"no run has left a record below {self.reports}:\n{self.text}"
        return found

    def entries(self) -> list[dict[str, Any]]:
        """The record, entry by entry."""
        return [json.loads(line) for line in (self.run_folder / "record.jsonl").read_text().splitlines()]

    def phase(self, name: str, host: str | None = None) -> dict[str, Any]:
        """The result of the last entry of one phase, of this host or of any."""
        found = [one for one in self.entries() if one["type"] == "phase" and one["data"]["phase"] == name]
        return next(one["data"]["result"] for one in reversed(found) if host in (None, one["host"]))

    def closed(self) -> dict[str, Any]:
        """The data of the entry that closed the run: outcome, hosts, failed_hosts, spent, budget."""
        last = self.entries()[-1]
        assert last["type"] == "close", f"the run was not closed, its last entry is {last}"
        return last["data"]

    def moment(self, phase: str, key: str) -> datetime:
        """A time that a phase told."""
        return datetime.fromisoformat(self.phase(phase)[key])

    def lines(self) -> list[str]:
        """What the operator saw, without empty lines."""
        return [line for line in self.text.splitlines() if line.strip()]

    def said(self) -> list[dict[str, str]]:
        """The lines of the collection's callback: at, phase, host and words of each."""
        return [found.groupdict() for line in self.lines() if (found := PHASE_LINE.fullmatch(line))]

    def recap(self) -> dict[str, dict[str, int]]:
        """Ansible's own counts per host, of a run with its default callback."""
        counts = {}
        for found in RECAP.finditer(self.text):
            words = (word.split("=") for word in found["counts"].split())
            counts[found["host"]] = {name: int(number) for name, number in words}
        return counts


def newest_run(reports: Path) -> Path | None:
    """Return the folder of the newest run below the reports, None without any."""
    return max((path.parent for path in reports.glob("*/*/record.jsonl")), key=lambda path: path.name, default=None)


def environ(reports: Path | None = None, **more: str) -> dict[str, str]:
    """Return the environment of an operator who stands in the project's playbooks folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "DUALWRITE_"))}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ANSIBLE_NOCOLOR": "1",
        **({"DUALWRITE_REPORTS": str(reports)} if reports else {}),
        **more,
    }


def command(inventory: str, more: Sequence[str] = ()) -> list[str]:
    """Return the literal command of the README, with further arguments."""
    return ["ansible-playbook", PLAYBOOK, "-i", inventory, *more]


def play(reports: Path, *more: str, inventory: str = "lab", timeout: float = 180, **variables: str) -> Ended:
    """Run the rollback playbook from the playbooks folder; ``variables`` are environment variables."""
    return call(command(inventory, more), reports, environ(reports, **variables), timeout=timeout)


def call(
    argv: Sequence[str], reports: Path, env: Mapping[str, str], cwd: Path = PLAYBOOKS, timeout: float = 180
) -> Ended:
    """Run any command of Ansible's to its end."""
    called = datetime.now(UTC)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(argv, cwd=cwd, env=env, **streams, check=False, timeout=timeout)
    took = (datetime.now(UTC) - called).total_seconds()
    return Ended(done.returncode, done.stdout, called, reports, took, newest_run(reports))
