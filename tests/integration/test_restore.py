"""Scenario 4 on the lab under traffic: a corrupted state is restored from S3, and undone, while users go on."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.lab import traffic as users
from tests.lab.lab import Lab
from tests.lab.objects import BUCKET, Objects
from tests.lab.postgres import DATABASE, USER, binaries
from tests.lab.waiting import wait_until
from tests.support.measure import LEGACY, MAP, VNEXT, figures, held, restart, told
from tests.support.play import Ended, call, environ

Run = Callable[..., Ended]
PREFIX = "staging"
IN_PLACE = {"mode": "in_place", "bin_dir": str(binaries()), "on_old_client": "warn"}


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Objects]:
    """The object store of the backups."""
    made = Objects(tmp_path_factory.mktemp("objects"))
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def run(lab: Lab, objects: Objects, reports: Path, tmp_path: Path) -> Run:
    """Run a playbook of the collection as an operator does, with the backups on S3; their keys stand in a file."""
    store = tmp_path / "store.json"
    store.write_text(json.dumps({"dualwrite_backup_store": objects.store(PREFIX)}))

    def playbook(name: str, *more: str, **variables: Any) -> Ended:
        brisk = {"dualwrite_hold": 1, "dualwrite_watch": 2, "dualwrite_verify_timeout": 20}
        given = {**brisk, "dualwrite_timeout": 40, **variables}
        argv = ["ansible-playbook", f"{name}.yml", "-i", "lab", "-e", f"@{store}", "-e", json.dumps(given), *more]
        return call(argv, reports, environ(reports, DUALWRITE_LAB=str(lab.dir)))

    return playbook


def dump(lab: Lab, objects: Objects, *arguments: str, name: str) -> str:
    """Back the lab up to S3 as an operator does: pg_dump, an upload, the checksum beside it."""
    path = lab.dir / name
    environment = {**os.environ, "PGPASSWORD": lab.postgres.password_file.read_text().strip()}
    argv = [str(binaries() / "pg_dump"), "-h", str(lab.postgres.socket_dir), "-p", str(lab.postgres.port), "-U", USER]
    subprocess.run([*argv, *arguments, "-f", str(path), DATABASE], env=environment, check=True)
    objects.client().upload_file(str(path), BUCKET, f"{PREFIX}/{name}")
    line = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n"
    objects.client().put_object(Bucket=BUCKET, Key=f"{PREFIX}/{name}.sha256", Body=line.encode())
    path.unlink()
    return name


def named(ending: str) -> str:
    """Return a backup's name as the runbook has them."""
    return datetime.now(UTC).strftime(f"deltacrown_lab_%Y%m%d_%H%M{ending}")


def corrupt(lab: Lab) -> None:
    """Do what the bug did: half of the mappings lead nowhere, and names are gone."""
    lab.sql(f"DELETE FROM {MAP} WHERE id % 2 = 0")
    lab.sql(f"UPDATE {VNEXT} SET name = 'CORRUPTED'")
    lab.sql(f"UPDATE {LEGACY} SET name = 'CORRUPTED'")


def unanswered(lab: Lab, since: datetime) -> tuple[float, int]:
    """Return the seconds between the first and the last request that no application answered, and how many.

    A team that was made after the backup is gone after the restore: 404 is an answer.
    """
    seen = [one for one in users.read(lab.paths.log_dir / "traffic.jsonl") if one["status"] in (None, 500, 502, 503)]
    times = sorted(when for one in seen if (when := datetime.fromisoformat(one["time"])) >= since)
    return ((times[-1] - times[0]).total_seconds() if times else 0.0), len(times)


def corrupted(lab: Lab) -> int:
    """How many teams are corrupted."""
    return int(lab.sql(f"SELECT count(*) FROM {VNEXT} WHERE name = 'CORRUPTED'")[0][0])


def test_a_corrupted_state_is_restored_from_s3_under_traffic_and_undone(lab, objects, run):
    refused = run("restore_backup")
    assert refused.rc != 0
    assert "Switch it off first (ansible-playbook rollback_dual_write.yml)" in refused.closed()["failed_hosts"]["lab"]

    restart(lab, "false")
    wait_until(lambda: held(lab) == ["false"] * 5, "five processes to hold dual-write off")
    backup = dump(lab, objects, "-Fc", name=named(".dump"))
    good = lab.counts()
    corrupt(lab)
    checked = run("restore_backup", "--check")
    assert checked.rc == 0, checked.text
    assert f"would be loaded beside {DATABASE}: {backup}" in checked.text
    assert corrupted(lab) > 0

    ended = run("restore_backup")
    assert ended.rc == 0, ended.text
    assert ended.closed()["hosts"] == {"lab": "done"}
    assert corrupted(lab) == 0
    assert lab.counts()[MAP] == good[MAP]
    assert lab.counts()[VNEXT] >= good[VNEXT]
    exchanged = ended.phase("exchange")
    assert exchanged["swap"]["seconds"] < 1
    seconds, failed = unanswered(lab, ended.called)
    # stop, exchange and start alone: what comes before them, and that is most of the time, costs no request
    assert seconds < ended.took / 2
    assert failed < lab.traffic_summary(since=ended.called)["sent"] / 2
    assert "progress" in [one["phase"] for one in ended.said()]
    assert backup in told(ended.run_folder, "incident.md").replace("\\", "")
    figures(restore_in_all=ended.took, swap=exchanged["swap"]["seconds"], requests_fail_for=seconds, failed=failed)

    restart(lab, "true")  # the migration has gone on meanwhile
    undone = run("undo_restore")
    assert undone.rc == 0, undone.text
    assert corrupted(lab) > 0
    again = run("drop_replaced", dualwrite_replaced=undone.phase("exchange")["replaced"])
    assert again.rc == 0, again.text
    left = lab.sql("SELECT datname FROM pg_database WHERE datname LIKE 'deltacrown%'")
    assert left == [(DATABASE,)]


def test_in_place_the_restored_data_is_asked_and_the_copy_of_what_was_there_comes_back_by_one_command(
    lab, objects, run
):
    restart(lab, "false")
    wait_until(lambda: held(lab) == ["false"] * 5, "five processes to hold dual-write off")
    lab.sql(f"UPDATE {VNEXT} SET name = 'mended' WHERE name = 'CORRUPTED'")  # what the test before has left
    backup = dump(lab, objects, "-Fc", name=named("_whole.dump"))
    corrupt(lab)
    # the data that is to be replaced would not pass
    query = f"SELECT count(*) FROM {VNEXT} WHERE name = 'CORRUPTED'"
    asked = [{"name": "no name is corrupted", "kind": "sql", "query": query, "equals": 0}]
    in_place = {"dualwrite_backup": backup, "dualwrite_backup_options": IN_PLACE}
    ended = run("restore_backup", **in_place, dualwrite_restore_probes=asked)
    assert ended.rc == 0, ended.text
    assert corrupted(lab) == 0

    lab.sql("CREATE TABLE added_since (id int)")  # users rename teams meanwhile
    asked = [{"name": "what no backup holds", "kind": "sql", "query": "SELECT 1", "equals": 2}]
    refused = run("restore_backup", **in_place, dualwrite_restore_probes=asked)
    assert refused.rc != 0
    said = refused.closed()["failed_hosts"]["lab"]
    assert "The database was replaced in place, and what must be true of it is not" in said
    assert "what no backup holds" in said
    saved = refused.phase("exchange")["saved"]
    assert f"Run: ansible-playbook restore_backup.yml -e dualwrite_backup={saved} -e '" in said
    added = "SELECT to_regclass('added_since') IS NOT NULL"
    assert lab.sql(added) == [(False,)]
    back = run("restore_backup", **{**in_place, "dualwrite_backup": saved, "dualwrite_restore_flags": {}})
    assert back.rc == 0, back.text
    assert lab.sql(added) == [(True,)]
