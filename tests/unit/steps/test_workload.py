"""The step of the module workload, with real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    CommandFailed,
    DeadlinePassed,
    InvalidInput,
    Refused,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.run.lock import FileLock
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.workload import set_workloads
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import FLAG, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


def params(state: str, *workloads: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"state": state, "workloads": list(workloads), "timeout": 20, **more}


def test_all_are_stopped_at_once_and_the_diff_shows_how_many_ran(shop: Shop) -> None:
    told = set_workloads(params("stopped", shop.running("web"), shop.running("worker", "--workers", "1")))
    assert told["summary"] == "stopped: web, worker; instances: web 0, worker 0"
    assert [(one["before_header"], one["before"], one["after"]) for one in told["diff"]] == [
        ("web", "3 instances\n", "0 instances\n"),
        ("worker", "2 instances\n", "0 instances\n"),
    ]
    assert shop.mine() == []


def test_a_stop_that_was_killed_is_finished_and_started_by_the_next_calls(shop: Shop) -> None:
    """What ran is written down before anything is stopped."""
    web = shop.running("web")
    (shop.folder / "web.pid.stopped").write_text('{"running": true}\n')
    for process in shop.mine():
        shop.kill(process)
    (shop.folder / "web.pid").unlink()
    assert set_workloads(params("stopped", web))["changed"] is False
    assert set_workloads(params("started", web))["after"]["web"]["instances"] > 0
    assert not (shop.folder / "web.pid.stopped").exists()


def test_check_mode_does_nothing(shop: Shop) -> None:
    web = shop.running("web")
    before = {one.id for one in shop.mine()}
    told = set_workloads(params("restarted", web), check=True)
    assert told["summary"] == "would be restarted: web; instances: web 3"
    assert {one.id for one in shop.mine()} == before
    assert not (shop.folder / "web.pid.stopped").exists()


def test_one_that_does_not_stop_is_named_and_the_others_are_stopped(shop: Shop) -> None:
    web, worker = shop.running("web", "--ignore-term"), shop.running("worker")
    with pytest.raises(DeadlinePassed, match=f"workload 'web'.*pid {shop.pid('web')}.* still ran") as caught:
        set_workloads(params("stopped", web, worker, timeout=2))
    assert caught.value.evidence["after"]["worker"] == {"instances": 0}
    assert caught.value.evidence["changed"] is True


def test_one_that_does_not_start_says_why(shop: Shop) -> None:
    web = shop.running("web", "--fail-when", f"{FLAG}=false")
    set_workloads(params("stopped", web))
    shop.env_file.write_text(shop.env_file.read_text().replace(f"{FLAG}=true", f"{FLAG}=false"))
    with pytest.raises(CommandFailed, match="workload 'web': the workload did not start.*refusing to start"):
        set_workloads(params("started", web))


def test_another_target_another_runs_lock_and_no_workload_are_refused(shop: Shop, tmp_path: Path) -> None:
    web = shop.running("web")
    with pytest.raises(Refused, match="not the target that was meant: its hostname is"):
        set_workloads(params("stopped", web, identity={"hostname": "another"}))
    path = str(tmp_path / "lab.lock")
    FileLock(path).acquire({"run_id": "theirs", "owner": "bob"})
    with pytest.raises(Refused, match="run theirs of bob holds the lock, not run mine"):
        set_workloads(params("stopped", web, lock_file=path, run_id="mine"))
    with pytest.raises(InvalidInput, match="no workload is given"):
        set_workloads(params("stopped"))
    assert len(shop.mine()) == 3
