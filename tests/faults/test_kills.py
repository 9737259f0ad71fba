"""The controller is killed with SIGKILL; the same command run again finishes the job and says what it found."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.fence import fence_files
from tests.faults.conftest import extra
from tests.faults.expect import canary_since, chain_of, lock_of, proved
from tests.lab.lab import Lab
from tests.lab.waiting import wait_until
from tests.support.measure import FLAG, canaries, held
from tests.support.play import PLAYBOOKS, command, environ


class Controller:
    """An ansible-playbook process in a session of its own, as a terminal or a job runner starts it."""

    def __init__(self, lab: Lab, reports: Path, output: Path) -> None:
        self.lab, self.reports = lab, reports
        self.began = datetime.now(UTC)
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                command("lab", extra({"dualwrite_hold": 2})),
                cwd=PLAYBOOKS,
                env=environ(reports, DUALWRITE_LAB=str(lab.dir)),
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def phases(self) -> list[str]:
        """Return the entries of its record so far: "open", or the phase's name."""
        with contextlib.suppress(ValueError):
            for path in self.reports.glob("*/*/record.jsonl"):
                entries = [json.loads(line) for line in path.read_text().splitlines()]
                return [str(entry["data"].get("phase") or entry["type"]) for entry in entries]
        return []

    def family(self) -> list[int]:
        """Return its process and all below it, forks and modules that left its session too, but nothing of the lab."""
        found, known = [], {self.process.pid}
        for pid, parent in sorted(_parents().items()):
            if pid in known or parent in known:
                known.add(pid)
                if not _is_of_lab(pid):
                    found.append(pid)
        return found

    def kill_group(self) -> None:
        """Kill what one signal to the process group reaches; a module that runs on the target goes on there."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def kill_all(self) -> None:
        """Kill it, its forks and the module on the target at one moment: each is stopped before any is ended."""
        stopped: list[int] = []
        while new := [pid for pid in self.family() if pid not in stopped]:
            for pid in new:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            stopped += new
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def _parents() -> dict[int, int]:
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return parents


def _is_of_lab(pid: int) -> bool:
    try:
        return b"LAB_MEMBER_OF=" in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return True


@pytest.fixture
def controller(lab: Lab, reports: Path, tmp_path: Path) -> Iterator[Controller]:
    """A rollback under way."""
    started = Controller(lab, reports, tmp_path / "output")
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.kill_all()


def _fence(lab: Lab) -> str:
    """Return the file with which the module flag keeps changes of the lab's web workload apart."""
    return fence_files([f"pidfile {lab.paths.pidfile('web')}"])[0]


@contextlib.contextmanager
def another_change(lab: Lab) -> Iterator[None]:
    """Hold what keeps changes of the lab's web workload apart, as another change would."""
    with open(_fence(lab), "a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _at_fence(lab: Lab) -> list[int]:
    """Return the processes that change the lab's web workload or wait for it."""
    found = []
    for pid in _parents():
        with contextlib.suppress(OSError):
            if any(os.readlink(link) == _fence(lab) for link in Path(f"/proc/{pid}/fd").iterdir()):
                found.append(pid)
    return found


def _off(lab: Lab) -> bool:
    return f"{FLAG}=false\n" in lab.paths.env_file.read_text()


#: phase -> whether it has been reached
MOMENTS: dict[str, Callable[[Controller], bool]] = {
    "after-open": lambda one: "open" in one.phases(),
    "locked": lambda one: lock_of(one.lab).exists(),
    "flag-before-the-edit": lambda one: bool(set(_at_fence(one.lab)) & set(one.family())),
    "flag-after-the-edit": lambda one: _off(one.lab),
    "roll": lambda one: any(one.lab.paths.run_dir.glob("*.restarting")),
    "verify": lambda one: canary_since(one.lab, one.began),
    "before-close": lambda one: "verify" in one.phases(),
}


def _finishes(controller: Controller, rollback: Callable, lab: Lab) -> None:
    """Assert that the same command again ends the job, and that both records tell what happened."""
    (dead,) = [path.parent for path in controller.reports.glob("*/*/record.jsonl")]
    was_locked = lock_of(lab).exists()
    ended = rollback()
    proved(ended, lab)
    assert "resumes 1 interrupted run(s)" in ended.text
    opened = chain_of(ended.run_folder).entries[0]["data"]
    assert opened["resumes"] == [dead.name]
    if was_locked:
        assert ended.phase("lock")["taken_over"]["run_id"] == dead.name
        assert f"taken over from {dead.name}" in ended.text
    kinds = [entry["type"] for entry in chain_of(dead).entries]
    assert kinds[-2:] == ["interrupted", "takeover"]
    assert kinds.count("interrupted") == 1
    assert chain_of(dead).entries[-1]["data"]["by"] == ended.run_folder.name
    assert not list(lab.paths.run_dir.glob("*.restarting"))
    assert lab.paths.env_file.read_text().count(FLAG) == 1
    assert canaries(lab) == 0
    assert lab.request("GET", "/health/")[1]["status"] == "healthy"


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_the_same_command_finishes(lab, rollback, controller, moment):
    before = lab.paths.env_file.read_bytes()
    with another_change(lab) if moment == "flag-before-the-edit" else contextlib.nullcontext():
        wait_until(lambda: MOMENTS[moment](controller), moment, 60)
        controller.kill_all()
    assert "close" not in controller.phases()
    if moment in ("after-open", "locked", "flag-before-the-edit"):
        assert lab.paths.env_file.read_bytes() == before
        assert held(lab) == ["true"] * 5
    _finishes(controller, rollback, lab)


def test_a_module_that_outlives_its_controller_is_waited_for(lab, rollback, controller):
    """As over ssh: the controller is gone, what it started on the target works on."""
    wait_until(lambda: _off(lab), "the edit", 60)
    controller.kill_group()
    assert any(Path(f"/proc/{pid}").exists() for pid in _at_fence(lab)), "nothing was left to wait for"
    _finishes(controller, rollback, lab)
