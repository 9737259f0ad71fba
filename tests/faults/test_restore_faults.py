"""Restores whose controller is killed while the application is stopped: the same command goes on from there."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import BRISK, Bench
from tests.faults.expect import lock_of, sentence
from tests.lab.lab import Lab
from tests.lab.postgres import DATABASE, USER, binaries
from tests.lab.waiting import wait_until
from tests.lab.workloads import write_scripts
from tests.support.controller import Controller
from tests.support.measure import FLAG, MAP, VNEXT
from tests.support.play import Ended, call, environ


def databases(lab: Lab) -> list[str]:
    """Return the databases of any name; asked elsewhere, since an exchange ends the sessions of the one in use."""
    with contextlib.closing(lab.postgres.connect(admin=True, database="postgres")) as link, link.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE 'deltacrown%' ORDER BY 1")
        return [name for (name,) in cursor.fetchall()]


def stopped(lab: Lab) -> bool:
    """Whether nothing of the application runs."""
    return not any(lab.status()[name]["up"] for name in ("web", "worker"))


@pytest.fixture
def backup(bench: Bench, tmp_path: Path) -> Iterator[Path]:
    """A backup of the lab with dual-write off, after which mappings were lost; what was put aside goes at the end."""
    lab = bench.lab
    bench.disturbed = True
    lab.set_env(**{FLAG: "false"})
    for workload in ("web", "worker"):
        lab.stop(workload)
        lab.start(workload)
    path = tmp_path / "backups" / "deltacrown_lab_20260101_0000.dump"
    path.parent.mkdir()
    argv = [str(binaries() / "pg_dump"), "-h", str(lab.postgres.socket_dir), "-p", str(lab.postgres.port), "-U", USER]
    secret = {**os.environ, "PGPASSWORD": lab.postgres.password_file.read_text().strip()}
    subprocess.run([*argv, "-Fc", "-f", str(path), DATABASE], env=secret, check=True)
    lab.sql(f"DELETE FROM {MAP}")
    yield path
    for name in databases(lab):
        if name != DATABASE:
            with contextlib.closing(lab.postgres.connect(admin=True, database="postgres")) as link:
                link.cursor().execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def command(lab: Lab, backup: Path) -> list[str]:
    """The restore as an operator calls it."""
    variables: dict[str, Any] = {**BRISK, "dualwrite_backup_store": {"folder": str(backup.parent)}}
    return ["ansible-playbook", "restore_backup.yml", "-i", "lab", "-e", json.dumps(variables)]


MOMENTS: dict[str, Callable[[Lab], bool]] = {
    "stopped": stopped,
    "exchanged": lambda lab: any("_replaced_" in name for name in databases(lab)),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_the_application_is_stopped_the_same_command_goes_on(
    lab: Lab, command: list[str], reports: Path, tmp_path: Path, moment: str
) -> None:
    env = environ(reports, DUALWRITE_LAB=str(lab.dir))
    controller = Controller(command, env, reports, tmp_path / "output")
    try:
        wait_until(lambda: MOMENTS[moment](lab), moment, 150)
    finally:
        controller.kill_all()
    ended: Ended = call(command, reports, env)
    assert ended.rc == 0, ended.text
    assert ended.closed()["hosts"]["lab"] in ("done", "unchanged")
    assert not stopped(lab)
    assert lab.request("GET", "/health/")[1]["status"] == "healthy"
    assert lab.sql(f"SELECT count(*) > 0 FROM {MAP}") == [(True,)]
    assert len([name for name in databases(lab) if "_replaced_" in name]) == 1
    assert len(databases(lab)) == 2
    assert not lock_of(lab).exists()


def asks(lab: Lab, database: str, question: str) -> str:
    """Return a line of shell that ends the start of a workload unless the database answers yes."""
    to = f"-h {lab.postgres.socket_dir} -p {lab.postgres.port} -U {USER} -d {database}"
    answer = f'"$(PGPASSWORD=$(cat {lab.postgres.password_file}) {binaries() / "psql"} {to} -tAc "{question}")"'
    return f"[ {answer} = t ] || {{ echo the schema is too old; exit 3; }}"


def test_a_restore_on_whose_data_the_application_does_not_start_is_taken_back(
    bench: Bench, backup: Path, command: list[str], reports: Path
) -> None:
    """The release of today needs a table that the backup does not have. Before that, a baseline has the last word."""
    lab, env = bench.lab, environ(reports, DUALWRITE_LAB=str(bench.lab.dir))
    numbers = {"mappings": f"SELECT count(*) FROM {MAP}", "teams": f"SELECT count(*) FROM {VNEXT}"}
    folder, before = reports.with_name("baselines"), sorted(one["pid"] for one in lab.instances())
    folder.mkdir()
    told = {"format": 1, "taken": "2026-01-25T17:00:00Z", "tables": {}, "checksums": {}, "invariants": {}}

    def baseline(name: str, most: int) -> list[str]:
        """Say so many of one thing were there."""
        (folder / f"{name}.json").write_text(json.dumps({**told, "invariants": {name: most}}))
        asked = [{"name": name, "query": numbers[name]}]
        given = {"dualwrite_restore_baseline": {"baselines": str(folder), "name": name, "invariants": asked}}
        return ["-e", json.dumps(given)]

    ended = call([*command, *baseline("mappings", 0)], reports, env)
    sentence(ended, "the data is not as in the baseline", "mappings")
    assert sorted(one["pid"] for one in lab.instances()) == before
    lab.sql("CREATE TABLE added_since (id int)")
    bench.before_start("web", asks(lab, DATABASE, "SELECT to_regclass('added_since') IS NOT NULL"))
    try:
        ended = call([*command, *baseline("teams", 10**6)], reports, env)
        assert ended.phase("baseline")["invariants"]["teams"] > 0
        sentence(ended, "The restore was taken back: the application does not start on the restored data")
        reason = ended.closed()["failed_hosts"]["lab"]
        (kept,) = [name for name in databases(lab) if name != DATABASE]
        assert f"It runs on the data that it had; the restored database is kept as {kept}." in reason
        assert lab.sql(f"SELECT count(*) FROM {MAP}") < [(10,)], "only what the traffic has written since"
        assert lab.request("GET", "/health/")[1]["status"] == "healthy"
        with contextlib.closing(lab.postgres.connect(database=kept)) as link, link.cursor() as cursor:
            cursor.execute(f"SELECT count(*) > 0 FROM {MAP}")
            assert cursor.fetchone() == (True,), "it is there to be looked at"
        assert [one["phase"] for one in ended.said()].count("restore") >= 2
        assert not lock_of(lab).exists()
    finally:
        lab.sql("DROP TABLE IF EXISTS added_since")


def test_when_the_way_back_fails_too_one_command_is_named_and_it_does(
    bench: Bench, backup: Path, command: list[str], reports: Path
) -> None:
    """The application starts on neither database until what is in its way is gone."""
    lab = bench.lab
    bench.before_start("web", asks(lab, "postgres", "SELECT NOT bool_or(datname ~ '_replaced_') FROM pg_database"))
    env = environ(reports, DUALWRITE_LAB=str(lab.dir))
    ended = call(command, reports, env)
    line = sentence(ended, "and going back failed too:", "Run: ansible-playbook undo_restore.yml")
    assert line.count("ansible-playbook") == 1
    before = databases(lab)
    write_scripts(lab.paths, True, {})
    again = call(["ansible-playbook", "undo_restore.yml", *command[2:]], reports, env)
    assert again.rc == 0, again.text
    assert lab.request("GET", "/health/")[1]["status"] == "healthy"
    assert databases(lab) == before


def test_in_place_the_command_that_is_named_brings_back_the_data_on_which_the_application_starts(
    bench: Bench, backup: Path, command: list[str], reports: Path
) -> None:
    lab, env = bench.lab, environ(reports, DUALWRITE_LAB=str(bench.lab.dir))
    options = {"mode": "in_place", "bin_dir": str(binaries()), "on_old_client": "warn"}
    in_place = [*command, "-e", json.dumps({"dualwrite_backup_options": options})]
    lab.sql("CREATE TABLE added_since (id int)")
    bench.before_start("web", asks(lab, DATABASE, "SELECT to_regclass('added_since') IS NOT NULL"))
    try:
        ended = call([*in_place, "-e", f"dualwrite_backup={backup.name}"], reports, env)
        assert ended.rc != 0
        saved = ended.phase("exchange")["saved"]
        named = ["-e", f"dualwrite_backup={saved}", "-e", '{"dualwrite_restore_flags": {}}']
        line = f"ansible-playbook restore_backup.yml -e {named[1]} -e '{named[3]}' brings the other data back."
        sentence(ended, "The application does not start", line)
        assert lab.sql("SELECT to_regclass('added_since')") == [(None,)]
        again = call([*in_place, *named], reports, env)
        assert again.rc == 0, again.text
        assert lab.sql("SELECT to_regclass('added_since')") == [("added_since",)]
        assert lab.request("GET", "/health/")[1]["status"] == "healthy"
    finally:
        lab.sql("DROP TABLE IF EXISTS added_since")


def test_a_damaged_backup_ends_the_run_and_the_application_never_stops(
    lab: Lab, backup: Path, command: list[str], reports: Path
) -> None:
    backup.write_bytes(backup.read_bytes()[:-500])
    before = sorted(one["pid"] for one in lab.instances())
    ended = call(command, reports, environ(reports, DUALWRITE_LAB=str(lab.dir)))
    sentence(ended, "the archive can't be read")
    assert "the archive can't be read" in ended.closed()["failed_hosts"]["lab"]
    assert sorted(one["pid"] for one in lab.instances()) == before
    assert databases(lab) == [DATABASE]
    assert not lock_of(lab).exists()


def test_without_a_record_nothing_is_restored_brought_back_or_dropped(lab: Lab, tmp_path: Path) -> None:
    """What exchanges or removes data is not begun where its record can't be written."""
    (tmp_path / "a-file").write_text("where the reports would be")
    before, pids = databases(lab), sorted(one["pid"] for one in lab.instances())
    given = json.dumps({**BRISK, "dualwrite_backup_store": {"folder": str(tmp_path)}})

    def refuse(name: str) -> Ended:
        reports = tmp_path / "a-file" / name
        argv = ["ansible-playbook", f"{name}.yml", "-i", "lab", "-e", given]
        return call(argv, reports, environ(reports, DUALWRITE_LAB=str(lab.dir)))

    with ThreadPoolExecutor() as pool:
        for ended in pool.map(refuse, ("restore_backup", "undo_restore", "drop_replaced")):
            sentence(ended, "and this scenario may not run without its record", "Nothing was changed.")
    assert (databases(lab), sorted(one["pid"] for one in lab.instances())) == (before, pids)
    assert not lock_of(lab).exists()
