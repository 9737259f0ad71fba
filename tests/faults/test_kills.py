"""The controller is killed with SIGKILL; the same command run again finishes the job and says what it found."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.fence import fence_files
from tests.faults.conftest import extra
from tests.faults.expect import canary_since, chain_of, lock_of, proved
from tests.lab.lab import Lab
from tests.lab.waiting import wait_until
from tests.support.controller import Controller, another_change, at_files
from tests.support.measure import FLAG, canaries, held
from tests.support.play import command, environ


@pytest.fixture
def controller(lab: Lab, reports: Path, tmp_path: Path) -> Iterator[Controller]:
    """A rollback under way."""
    argv = command("lab", extra({"dualwrite_hold": 2}))
    started = Controller(argv, environ(reports, DUALWRITE_LAB=str(lab.dir)), reports, tmp_path / "output")
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.kill_all()


def _fence(lab: Lab) -> str:
    """Return the file with which the module flag keeps changes of the lab's web workload apart."""
    return fence_files([f"pidfile {lab.paths.pidfile('web')}"])[0]


def _at_fence(lab: Lab) -> list[int]:
    """Return the processes that change the lab's web workload or wait for it."""
    return at_files([_fence(lab)])


def _off(lab: Lab) -> bool:
    return f"{FLAG}=false\n" in lab.paths.env_file.read_text()


#: phase -> whether it has been reached
MOMENTS: dict[str, Callable[[Controller, Lab], bool]] = {
    "after-open": lambda one, lab: "open" in one.phases(),
    "locked": lambda one, lab: lock_of(lab).exists(),
    "flag-before-the-edit": lambda one, lab: bool(set(_at_fence(lab)) & set(one.family())),
    "flag-after-the-edit": lambda one, lab: _off(lab),
    "roll": lambda one, lab: any(lab.paths.run_dir.glob("*.restarting")),
    "verify": lambda one, lab: canary_since(lab, one.began),
    "before-close": lambda one, lab: "verify" in one.phases(),
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
    with another_change([_fence(lab)]) if moment == "flag-before-the-edit" else contextlib.nullcontext():
        wait_until(lambda: MOMENTS[moment](controller, lab), moment, 60)
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
