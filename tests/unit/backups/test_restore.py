"""A database is restored beside the one in use and exchanged for it, and back."""

from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.postgres.databases import Databases

FORMATS = {
    "shop.sql": (),
    "shop.sql.gz": ("-Z", "gzip"),
    "shop.sql.zst": ("-Z", "zstd"),
    "shop.dump": ("-Fc",),
    "shop.tar": ("-Ft",),
    "shop_folder": ("-Fd", "-j", "2"),
}


def corrupt(shop: Any) -> None:
    """Lose data, as the bug did that is to be restored from."""
    shop.sql("DELETE FROM members; DELETE FROM teams WHERE id > 5; UPDATE teams SET name = 'broken ' || id")


@pytest.mark.parametrize(
    ("name", "verification"),
    [*((name, "before") for name in FORMATS), ("shop.sql.gz", "during"), ("shop.dump", "during")],
)
def test_every_format_comes_back_whole(shop: Any, name: str, verification: str) -> None:
    if name.endswith(".zst"):
        compressed_by_zstd(shop.dump("shop.sql"))
    elif name.endswith(".gz"):
        path = shop.dump("shop.sql")
        (path.parent / name).write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    else:
        shop.dump(name, *FORMATS[name])
    corrupt(shop)
    done = shop.restore(verification=verification)
    assert done["changed"]
    assert shop.teams() == 200
    assert shop.sql("SELECT count(*) FROM members")[0][0] == 200
    own = "conrelid::regclass::text IN ('teams', 'members')"
    assert shop.sql(f"SELECT count(*) FROM pg_constraint WHERE contype IN ('p', 'f') AND {own}")[0][0] == 3
    assert bytes(shop.sql("SELECT lo_get(4711)")[0][0]) == b"a large object"
    assert shop.sql("SELECT nextval('teams_id_seq')")[0][0] == 201
    assert shop.sql("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'")[0][0] == 1
    assert shop.sql("SELECT count(*) FROM pg_stats WHERE tablename = 'teams'")[0][0] > 0
    assert done["tables"]["teams"]["backup"] == 200
    assert done["swap"]["seconds"] < 1
    assert shop.sql("SELECT count(*) FROM teams", done["replaced"])[0][0] == 5


def compressed_by_zstd(path: Path) -> None:
    import zstandard

    path.with_name(path.name + ".zst").write_bytes(zstandard.ZstdCompressor().compress(path.read_bytes()))
    path.unlink()


@pytest.mark.parametrize("mode", ["side", "in_place"])
@pytest.mark.parametrize("arguments", [(), ("--inserts", "--disable-dollar-quoting")])
def test_a_function_that_writes_of_tables_comes_back(shop: Any, mode: str, arguments: tuple[str, ...]) -> None:
    """What reads like a statement in its body is no table of the backup."""
    body = "\nBEGIN EXECUTE $q$\nCREATE TABLE made (id int);\n$q$; -- it's so\nEND\n"
    shop.sql(f"CREATE FUNCTION make() RETURNS void LANGUAGE plpgsql AS $body${body}$body$")
    shop.sql("COMMENT ON FUNCTION make() IS 'as in\nCREATE TABLE noted (\n  ADD CONSTRAINT noted PRIMARY KEY (id)'")
    shop.sql("INSERT INTO teams (name) VALUES ('it''s $$\nCREATE TABLE of_a_row (')")
    shop.dump("shop.sql", *arguments)
    shop.sql("DROP FUNCTION make()")
    corrupt(shop)
    in_place = {"mode": mode, "state": "swapped", "backup": "shop.sql"}
    assert shop.restore(**(in_place if mode == "in_place" else {}))["changed"]
    assert shop.teams() == 201
    assert shop.sql("SELECT prosrc FROM pg_proc WHERE proname = 'make'")[0][0] == body


def test_an_archive_that_nobody_has_added_up_bears_no_checksum_and_another_one_is_no_old_acquaintance(
    shop: Any,
) -> None:
    path = shop.dump("shop.dump", "-Fc")
    loaded = shop.restore(state="loaded", verification="during")
    assert loaded["backup"]["checksum"] == ""
    assert not shop.restore(state="loaded", verification="during")["changed"]
    shop.sql("INSERT INTO teams (name) SELECT 'later ' || i FROM generate_series(1, 50) i")
    path.unlink()
    shop.dump("shop.dump", "-Fc")
    again = shop.restore(state="loaded", verification="during")
    assert again["changed"]
    assert again["tables"]["teams"]["backup"] == 250


def test_the_database_is_set_as_before(shop: Any) -> None:
    name = shop.name
    shop.sql(f"ALTER DATABASE {name} SET statement_timeout = '31s'")
    shop.sql(f'ALTER DATABASE {name} SET search_path = "$user", public, pg_catalog')
    shop.sql(
        f"ALTER DATABASE {name} SET default_transaction_read_only = off; ALTER DATABASE {name} CONNECTION LIMIT 50"
    )
    shop.sql(f"COMMENT ON DATABASE {name} IS 'the shop''s own'; REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    shop.sql(f"GRANT CONNECT ON DATABASE {name} TO pg_monitor")
    shop.admin("postgres", f"ALTER ROLE {shop.user} IN DATABASE {name} SET work_mem = '5MB'")
    shop.dump("shop.dump", "-Fc")
    facts = "SELECT datacl::text, datconnlimit, datdba, shobj_description(oid, 'pg_database') FROM pg_database"
    facts += f" WHERE datname = '{name}'"
    before = shop.admin("postgres", facts)
    done = shop.restore()
    after = shop.admin("postgres", facts)
    assert sorted(after[0][0].strip("{}").split(",")) == sorted(before[0][0].strip("{}").split(","))
    assert after[0][1:] == before[0][1:]
    assert shop.sql("SHOW statement_timeout")[0][0] == "31s"
    assert shop.sql("SHOW search_path")[0][0] == '"$user", public, pg_catalog'
    assert shop.sql("SHOW work_mem")[0][0] == "5MB"
    shop.restore(state="undone")
    assert shop.admin("postgres", facts) == before
    assert done["replaced"] not in shop.databases()


@pytest.mark.parametrize("mode", ["side", "in_place"])
def test_a_backup_of_another_database_is_restored_with_a_warning(shop: Any, mode: str) -> None:
    other = f"{shop.name}_copy"
    shop.sql(f"CREATE DATABASE {other}", "postgres")
    shop.dump("shop.dump", "-Fc")
    state = {"mode": mode, "state": "swapped" if mode == "in_place" else "restored", "backup": "shop.dump"}
    warned = f"the backup shop.dump is of the database '{shop.name}', not of '{other}'"
    for check in (True, False):
        notes = shop.restore(check, login_db=other, **state)["notes"]
        assert [note for note in notes if note.startswith(warned)], notes
    assert shop.sql("SELECT count(*) FROM teams", other)[0][0] == 200
    assert not [note for note in shop.restore(True, **state)["notes"] if "is of the database" in note]


def test_undo_brings_the_replaced_database_back_and_only_once(shop: Any) -> None:
    shop.dump("shop.dump", "-Fc")
    shop.restore()  # what this one puts aside is not what a second undo may bring back
    corrupt(shop)
    shop.restore()
    back = shop.restore(state="undone")
    assert back["changed"]
    assert shop.teams() == 5
    assert not shop.restore(state="undone")["changed"]
    assert shop.teams() == 5
    with pytest.raises(Exception, match="no database is kept"):
        shop.restore(state="undone", replaced="another")


def test_a_replaced_database_is_dropped_on_purpose_only(shop: Any) -> None:
    shop.dump("shop.dump", "-Fc")
    done = shop.restore()
    assert not shop.restore(state="dropped")["changed"]
    assert done["replaced"] in shop.databases()
    with pytest.raises(Exception, match="was not put aside"):
        shop.restore(state="dropped", replaced="postgres")
    assert shop.restore(True, state="dropped", replaced=done["replaced"])["dropped"] == [done["replaced"]]
    assert done["replaced"] in shop.databases()
    assert shop.restore(state="dropped", replaced=done["replaced"])["changed"]
    assert shop.databases() == [shop.name]
    assert not shop.restore(state="dropped", replaced=done["replaced"])["changed"]
    shop.restore(keep_days=0)
    assert len(shop.restore(state="dropped")["dropped"]) == 1


def test_what_a_run_has_left_is_dropped_by_its_name(shop: Any) -> None:
    """A drill that was killed leaves what it had put aside, and perhaps one that it was loading."""
    shop.dump("shop.dump", "-Fc")
    of_another = shop.restore(run_id="emergency")["replaced"]
    of_the_drill = shop.restore(run_id="drill-1")["replaced"]
    assert shop.restore(state="dropped", of_runs=["drill-3"])["summary"].startswith(
        "nothing is left of drill-3; kept: "
    )
    shop.restore(state="loaded", run_id="drill-2")
    told = shop.restore(True, state="dropped", of_runs=["drill-1", "drill-2"])
    assert set(told["dropped"]) == {of_the_drill, f"{shop.name}_restoring"}
    assert len(shop.databases()) == 4
    assert shop.restore(state="dropped", of_runs=["drill-1", "drill-2"])["kept"] == [of_another]
    assert shop.databases() == [shop.name, of_another]


def test_check_mode_verifies_and_changes_nothing(shop: Any) -> None:
    shop.dump("shop.dump", "-Fc")
    told = shop.restore(True)
    assert told["changed"]
    assert "would be loaded" in told["summary"]
    assert told["backup"]["contents"]["tables"] == 2
    assert shop.databases() == [shop.name]


def test_what_is_loaded_already_is_not_loaded_again(shop: Any) -> None:
    shop.dump("shop.dump", "-Fc")
    assert shop.restore(state="loaded")["changed"]
    assert not shop.restore(state="loaded")["changed"]
    assert shop.restore(state="swapped", run_id="one")["changed"]
    assert not shop.restore(state="swapped", run_id="two", resumes=["one"])["changed"]
    assert not shop.restore(state="restored", run_id="one")["changed"]
    with pytest.raises(Exception, match="no restored database is ready"):
        shop.restore(state="swapped", run_id="three")


def test_a_session_that_comes_back_at_once_does_not_hold_the_exchange(shop: Any) -> None:
    import threading

    import psycopg2

    shop.dump("shop.dump", "-Fc")
    corrupt(shop)
    shop.restore(state="loaded")
    stop, failures, seen = threading.Event(), [], []

    def come_back() -> None:
        while not stop.is_set():
            try:
                with shop.server.connect(database=shop.name) as link, link.cursor() as cursor:
                    while not stop.is_set():
                        cursor.execute("SELECT count(*) FROM teams")
                        seen.append(cursor.fetchone()[0])
            except psycopg2.Error as error:
                failures.append(str(error))

    threads = [threading.Thread(target=come_back) for dummy in range(8)]
    for one in threads:
        one.start()
    try:
        done = shop.restore(state="swapped")
    finally:
        stop.set()
        for one in threads:
            one.join()
    assert done["swap"]["sessions"] >= 8
    assert done["swap"]["seconds"] < 2
    assert len(failures) < 40
    assert seen[0] == 5
    assert shop.teams() == 200


def test_a_backup_made_by_ourselves_is_one_that_a_restore_takes(shop: Any) -> None:
    saved = shop.restore(state="saved")
    corrupt(shop)
    listed = shop.info(verify=True)
    assert listed["chosen"]["name"] == saved["saved"]
    assert listed["chosen"]["checksum"] == saved["checksum"]
    shop.restore()
    assert shop.teams() == 200


@pytest.mark.parametrize("name", ["shop.dump", "shop.sql"])
def test_in_place_saves_first_and_comes_back_whole(shop: Any, name: str) -> None:
    shop.dump(name, *FORMATS[name])
    corrupt(shop)
    shop.sql("CREATE TABLE newer (id int)")
    shop.admin("postgres", f"ALTER ROLE {shop.user} NOCREATEDB")
    try:
        with pytest.raises(Exception, match="may not create databases"):
            shop.restore(backup=name)
        done = shop.restore(state="swapped", mode="in_place", backup=name)
    finally:
        shop.admin("postgres", f"ALTER ROLE {shop.user} CREATEDB")
    assert shop.teams() == 200
    assert shop.sql("SELECT to_regclass('newer')")[0][0] is None
    assert (shop.backups / done["saved"]).exists()
    assert bytes(shop.sql("SELECT lo_get(4711)")[0][0]) == b"a large object"
    assert shop.databases() == [shop.name]


def test_a_load_is_watched_from_elsewhere(shop: Any) -> None:
    import threading

    shop.sql(
        "INSERT INTO teams (name, note) SELECT 'more ' || i, repeat(md5(i::text), 40) FROM generate_series(1, 25000) i"
    )
    shop.dump("shop.sql")
    assert not shop.restore(state="watched")["running"]
    load = threading.Thread(target=shop.restore, kwargs={"state": "loaded"})
    load.start()
    told = []
    while load.is_alive():
        told.append(shop.restore(state="watched"))
    load.join()
    running = [one for one in told if one["running"]]
    assert running
    assert any(one["bytes"] > 10_000_000 and one["rate"] > 0 for one in running)
    assert any(one["objects"] and one["objects"]["tables"] == 2 for one in running)


@pytest.mark.parametrize("name", ["shop.sql", "shop.dump"])
def test_how_much_of_a_backup_is_read_is_told_meanwhile(shop: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = shop.dump(name, *FORMATS[name])
    read: list[int] = []
    reading = Databases.reading

    def watched(server: Databases, size: int) -> Any:
        count = reading(server, size * 2)  # as if it came from afar, and half of it were still to come

        def look(number: int) -> None:
            count(number)
            read.append(number)
            told = shop.restore(state="watched")
            assert (told["running"], told["bytes"]) == (True, size)
            assert told["rate"] > 0
            assert f"is reading its backup: {size / 1e6:.0f} of {size * 2 / 1e6:.0f} MB" in told["summary"]

        return look

    monkeypatch.setattr(Databases, "reading", watched)
    shop.restore(state="loaded")
    assert read == [path.stat().st_size]


def test_no_secret_is_in_a_command_line(shop: Any) -> None:
    seen: set[bytes] = set()
    import threading

    shop.dump("shop.dump", "-Fc")
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    seen.add(Path(f"/proc/{pid}/cmdline").read_bytes())
                except OSError:
                    continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        done = shop.restore()
    finally:
        stop.set()
        watcher.join()
    secret = shop.login["login_password"]
    assert any(b"pg_restore" in line for line in seen), subprocess.list2cmdline(["nothing was seen"])
    assert not any(secret.encode() in line for line in seen)
    assert secret not in str(done)
