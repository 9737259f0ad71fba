"""What the tests measure at the lab: the last dual-write, failed requests, from an alert to its end, a bare restart."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.lab.alerts import Alerting
from tests.lab.lab import Lab
from tests.lab.waiting import wait_until
from tests.support.play import PLAYBOOKS, Ended, environ, newest_run

FLAG = "TEAM_VNEXT_DUAL_WRITE_ENABLED"
STRICT = "TEAM_VNEXT_DUAL_WRITE_STRICT_MODE"
WORKLOADS = ("web", "worker")
PROCESSES = 5
#: one line per test, for the end of pytest's output
FIGURES: list[str] = []
VNEXT, LEGACY, MAP = "organizations_team", "teams_team", "organizations_teammigrationmap"


@dataclass(frozen=True)
class State:
    """What a run could change at the lab: the env file's bytes and every process with what it holds."""

    env: bytes
    processes: frozenset[tuple[int, int, str]]

    @classmethod
    def of(cls, lab: Lab) -> State:
        """Look at a lab."""
        told = ((one["pid"], one["start_time"], one["flags"][FLAG]) for one in lab.instances())
        env_file = lab.paths.env_file  # a test may have put a folder in its place
        return cls(env_file.read_bytes() if env_file.is_file() else b"", frozenset(told))


def held(lab: Lab) -> list[str]:
    """Return what each live process of the application says that it holds for the flag."""
    return [one["flags"][FLAG] for one in lab.instances()]


def restart(lab: Lab, value: str) -> None:
    """Do what the runbook's page does: edit the file, stop, start."""
    lab.set_env(**{FLAG: value})
    for workload in WORKLOADS:
        lab.stop(workload)
        lab.start(workload)


def await_dual_writes(lab: Lab, number: int = 10) -> None:
    """Wait until this many more teams were written to both models."""
    start = lab.counts()[MAP]
    wait_until(lambda: lab.counts()[MAP] >= start + number, f"{number} dual writes of the traffic")


def dual_writing(lab: Lab) -> None:
    """Have every process of the lab dual-write, under traffic."""
    if held(lab) != ["true"] * PROCESSES:
        restart(lab, "true")
        wait_until(lambda: held(lab) == ["true"] * PROCESSES, "five processes to hold dual-write on")
    await_dual_writes(lab)


def to_last_dual_write(lab: Lab, called: datetime) -> float:
    """Return the seconds from a command to the last row that dual-write wrote, 0 when none came after it."""
    last = lab.last_dual_write()
    return max(0.0, (last - called).total_seconds()) if last else 0.0


def bare_restart(lab: Lab) -> tuple[float, float]:
    """Switch a dual-writing lab off the bare way; return seconds to the last dual-write and in all."""
    called = datetime.now(UTC)
    restart(lab, "false")
    took = (datetime.now(UTC) - called).total_seconds()
    return to_last_dual_write(lab, called), took


@dataclass(frozen=True)
class Healing:
    """When what happened, from the first failed request to the report, and the run that has healed it."""

    first_failure: datetime
    alert: datetime
    event: datetime
    triage: datetime
    planned: datetime
    flag_off: datetime
    last_failure: datetime
    proved: datetime
    failed: int
    outcome: str
    run: Ended

    def since_first_failure(self) -> dict[str, float]:
        """Return the seconds after the first failed request, by what happened then."""
        moments = {
            "the first request fails": self.first_failure,
            "the alert fires in Prometheus": self.alert,
            "the rulebook has it": self.event,
            "triage begins": self.triage,
            "measured and planned, the run opens": self.planned,
            "strict mode is off in every process": self.flag_off,
            "the last request has failed": self.last_failure,
            "proved, and the report is written": self.proved,
        }
        return {words: (moment - self.first_failure).total_seconds() for words, moment in moments.items()}


@contextmanager
def alert_drill(lab: Lab, alerting: Alerting) -> Iterator[subprocess.Popen[bytes]]:
    """Run the drill of the alert chain: it sets the fault up, waits for whoever heals it, and puts everything back."""
    argv = ["ansible-playbook", "drill.yml", "-i", str(alerting.inventory), "-e", "dualwrite_drill=alert_chain"]
    environment = environ(alerting.reports, DUALWRITE_LAB=str(lab.dir))
    with (alerting.folder / "drill.log").open("wb") as log:
        drill = subprocess.Popen(argv, cwd=PLAYBOOKS, env=environment, stdout=log, stderr=log)
    try:
        yield drill
    finally:
        drill.terminate()
        drill.wait()


def drill_said(alerting: Alerting) -> str:
    """Return what the drill has printed."""
    return (alerting.folder / "drill.log").read_text(errors="replace")


def newest_ledger_entry(lab: Lab) -> Path:
    """Return the file of the lab's newest drill."""
    return max((lab.dir / "drills").glob("*/*.json"), key=lambda path: path.name)


def await_healing(lab: Lab, alerting: Alerting, called: datetime, alert: str, seconds: float = 120) -> Healing:
    """Wait until a rulebook has healed what made requests fail since ``called``; return when what happened."""
    earlier = newest_run(alerting.reports)
    fired = wait_until(lambda: alerting.firing(alert), f"the alert {alert} to fire", seconds)

    def ended() -> bool:
        newest = newest_run(alerting.reports)
        return newest != earlier and f"report: {newest}" in alerting.told()

    wait_until(ended, f"the end of the playbook that the alert starts (see {alerting.log})", seconds)
    run = Ended(0, alerting.told(), called, alerting.reports, newest=newest_run(alerting.reports))
    entries = run.entries()
    opened, closed = entries[0], next(one for one in reversed(entries) if one["type"] == "close")
    flag_off = run.moment("flag", "roll_ended")
    wait_until(lambda: lab.traffic_summary(since=flag_off)["sent"] > 20, "more traffic")
    traffic = lab.traffic_summary(since=called)
    return Healing(
        first_failure=datetime.fromisoformat(traffic["first_failure"]),
        alert=fired,
        event=min(moment for moment in alerting.received() if moment > fired),
        triage=datetime.fromisoformat(opened["data"]["command_started"]),
        planned=datetime.fromisoformat(opened["at"]),
        flag_off=flag_off,
        last_failure=datetime.fromisoformat(traffic["last_failure"]),
        proved=datetime.fromisoformat(closed["at"]),
        failed=int(traffic["failed"]),
        outcome=str(closed["data"]["outcome"]),
        run=run,
    )


def canaries(lab: Lab) -> int:
    """Return how many teams of a canary are left in either model."""
    query = f"SELECT (SELECT count(*) FROM {VNEXT} WHERE slug LIKE %(like)s)"
    query += f" + (SELECT count(*) FROM {LEGACY} WHERE name LIKE %(like)s)"
    return int(lab.sql(query, {"like": "dualwrite-canary-%"})[0][0])


def secrets_of(env_file: str) -> list[str]:
    """Return the values of an env file that nobody else may read."""
    values = (line.partition("=") for line in env_file.splitlines())
    words = ("SECRET", "TOKEN", "PASSWORD")
    return [value.strip("'\"") for name, dummy, value in values if any(word in name for word in words)]


def told(folder: Path, name: str) -> str:
    """Return the text of a report's file."""
    return (folder / name).read_text(encoding="utf-8")


def figures(**numbers: Any) -> None:
    """Keep and print a test's main figures in one line; seconds are floats."""
    shown = (f"{value:.1f} s" if isinstance(value, float) else str(value) for value in numbers.values())
    line = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in zip(numbers, shown, strict=True))
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition("::")[2].partition(" ")[0]
    FIGURES.append(f"{test}: {line}")
    print(f"\n{line}")
