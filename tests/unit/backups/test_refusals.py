"""What must not be restored is refused before the database in use is touched; what breaks half way leaves it alone."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import Refused, RollbackError
from ansible_collections.dualwrite.rollback.plugins.module_utils.postgres import clients
from ansible_collections.dualwrite.rollback.tests.unit.probes.conftest import absent


def refused(shop: Any, words: str, **more: Any) -> RollbackError:
    """Assert one sentence and that nothing has changed; return the error."""
    with pytest.raises(RollbackError, match=words) as caught:
        shop.restore(**more)
    assert shop.databases() == [shop.name]
    assert shop.teams() == 200
    assert shop.login["login_password"] not in str(caught.value)
    return caught.value


def edited(shop: Any, change: Callable[[bytes], bytes], name: str = "shop.sql") -> None:
    """Make a plain backup that somebody has changed."""
    path = shop.dump(name)
    path.write_bytes(change(path.read_bytes()))


def test_a_damaged_backup_is_refused_whatever_the_damage(shop: Any) -> None:
    edited(shop, lambda text: text[: len(text) // 2])
    refused(shop, "lacks its last line")
    refused(shop, "lacks its last line", verification="during")
    path = shop.backups / "shop.sql"
    content = gzip.compress(shop.dump("shop.sql").read_bytes())
    path.unlink()
    packed = shop.backups / "shop.sql.gz"
    packed.write_bytes(content[: len(content) * 2 // 3])
    refused(shop, "ends in the middle")
    refused(shop, "ends in the middle", verification="during")
    packed.write_bytes(b"")
    refused(shop, "is empty")
    packed.unlink()
    archive = shop.dump("shop.dump", "-Fc")
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-3000])
    refused(shop, "the archive can't be read|checksum")
    archive.write_bytes(whole)
    (shop.backups / "shop.dump.sha256").write_text("0" * 64 + "  shop.dump\n")
    refused(shop, "the sha256 checksum is [0-9a-f]{64}, expected 0000")
    (shop.backups / "shop.dump.sha256").write_text("no checksum\n")
    refused(shop, "holds no SHA-256")


def test_a_flipped_byte_on_s3_is_found_by_the_checksum_file_beside_it(shop: Any, objects: Any) -> None:
    import hashlib

    path = shop.dump("shop.sql")
    text = path.read_bytes()
    client, prefix = objects.client(), shop.name
    line = f"{hashlib.sha256(text).hexdigest()}  shop.sql\n".encode()
    at = text.index(b"team 77\t") + 5
    client.put_object(Bucket="deltacrown-backups", Key=f"{prefix}/shop.sql", Body=text[:at] + b"8" + text[at + 1 :])
    client.put_object(Bucket="deltacrown-backups", Key=f"{prefix}/shop.sql.sha256", Body=line)
    for verification in ("before", "during"):
        refused(shop, "sha256 checksum", store=objects.store(prefix), verification=verification)
    client.put_object(Bucket="deltacrown-backups", Key=f"{prefix}/shop.sql", Body=text)
    assert shop.restore(store=objects.store(prefix))["changed"]


def test_the_next_older_one_is_taken_when_that_is_asked_for(shop: Any) -> None:
    good = shop.dump("shop_20260101_0000.dump", "-Fc")
    bad = shop.backups / "shop_20260102_0000.dump"
    bad.write_bytes(good.read_bytes()[:-2000])
    options = {"pattern": "shop_%Y%m%d_%H%M*"}
    refused(shop, "the archive can't be read", **options)
    done = shop.restore(skip_damaged=True, **options)
    assert done["summary"].startswith(f"{shop.name} is {good.name}")


def test_a_dump_that_fails_in_the_middle_stops_there(shop: Any) -> None:
    edited(shop, lambda text: text.replace(b"\nCOPY public.members", b"\nSELECT 1/0;\nCOPY public.members"))
    refused(shop, "division by zero")


def test_a_backup_is_no_program(shop: Any, tmp_path: Path) -> None:
    mark = tmp_path / "was here"
    command = rb"\! touch '" + os.fsencode(mark) + b"'\n"
    edited(shop, lambda text: text.replace(b"\nCOPY public.members", b"\n" + command + b"COPY public.members"))
    refused(shop, "restricted")
    edited(
        shop,
        lambda text: re.sub(
            rb"\\restrict (\w+)", rb"\\restrict \1\n\\unrestrict \1\nSELECT 1 " + command, text, count=1
        ),
    )
    refused(shop, "restricted")
    assert not mark.exists()


def test_what_the_server_lacks_is_said(shop: Any) -> None:
    edited(shop, lambda text: text.replace(b"EXISTS pg_trgm", b"EXISTS postgis"))
    refused(shop, "lacks the extension 'postgis'")
    edited(shop, lambda text: text.replace(b"OWNER TO deltacrown", b"OWNER TO somebody_else"))
    refused(shop, "belong to the role 'somebody_else', which the server does not have")
    edited(shop, lambda text: text.replace(b"OWNER TO deltacrown", b"OWNER TO postgres"))
    refused(shop, "of which this user is no member")
    edited(shop, lambda text: text.replace(b"from database version 18", b"from database version 42"))
    refused(shop, "the backup is of PostgreSQL 42")
    edited(shop, lambda text: text.replace(b"by pg_dump version 18", b"by pg_dump version 42"))
    refused(shop, "made by pg_dump 42")
    edited(shop, lambda text: text.replace(b"SET transaction_timeout", b"SET time_machine_timeout"))
    refused(shop, "sets 'time_machine_timeout'")


def test_programs_that_a_crafted_backup_can_misuse_are_refused(shop: Any) -> None:
    shop.dump("shop.dump", "-Fc")
    refused(shop, r"run what a crafted backup tells them; fixed in 18\.7", on_old_client="fail")
    assert clients.require_safe(clients.Clients("", 18, 7), "fail") == ""
    assert clients.require_safe(clients.Clients("", 19, 0), "fail") == ""
    with pytest.raises(RollbackError):
        clients.require_safe(clients.Clients("", 13, 99), "fail")


def test_an_archive_of_a_newer_pg_dump_is_refused_by_older_programs(shop: Any) -> None:
    found = [path for path in Path("/usr/lib/postgresql").glob("*/bin/pg_restore") if int(path.parts[-3]) < 18]
    if not found:
        absent("an older pg_restore (Debian's postgresql-client)")
    older = str(found[0].parent)
    shop.dump("shop.dump", "-Fc")
    refused(shop, "newer pg_dump than this pg_restore", bin_dir=older)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"login_password": "wrong-password"}, "no connection: password authentication failed"),
        ({"login_db": "nowhere"}, "there is no database 'nowhere'"),
        ({"login_db": ""}, "is no name of a database"),
        ({"maintenance_db": "nowhere"}, 'no connection: database "nowhere" does not exist'),
        ({"store": None}, "a store is either a folder or a bucket"),
        ({"store": {"folder": "/nowhere/at/all"}}, "the folder does not exist"),
        ({"backup": "../../etc/passwd"}, "is no name of a backup"),
        ({"bin_dir": "/nowhere"}, "psql is not there"),
        ({"before": "2020-01-01T00:00:00Z"}, "none of the 1 backups was taken before"),
        ({"work_dir": "/nowhere"}, "no folder can be made"),
    ],
)
def test_wrong_input_is_one_sentence(shop: Any, wrong: dict[str, Any], words: str) -> None:
    shop.dump("shop.dump", "-Fc")
    refused(shop, words, **wrong)


def test_sessions_that_may_not_be_ended_are_named(shop: Any) -> None:
    shop.dump("shop.dump", "-Fc")
    shop.restore(state="loaded")
    with contextlib.closing(shop.server.connect(admin=True, database=shop.name)) as link, link.cursor() as cursor:
        cursor.execute("SELECT 1")
        with pytest.raises(RollbackError, match="could not be ended: postgres .+ pid") as caught:
            shop.restore(state="swapped")
        assert "nothing was changed" in str(caught.value)
    assert shop.teams() == 200
    assert shop.restore(state="swapped")["changed"]


# --- killed ---------------------------------------------------------------------------------------------------------

CALL = """
import json, sys
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.backup_restore import backup_restore
backup_restore(json.loads(sys.argv[1]))
"""


def test_killed_in_any_phase_the_same_call_goes_on(shop: Any) -> None:
    import json

    shop.dump("shop.sql")
    shop.sql("DELETE FROM members; DELETE FROM teams WHERE id > 7")
    options = shop.options("backup_restore", {"run_id": "one"})
    side = f"{shop.name}_restoring"

    def begun() -> bool:
        return side in shop.databases()

    def ready() -> bool:
        rows = shop.admin(
            "postgres", f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{side}'"
        )
        return bool(rows and '"ready"' in str(rows[0][0]))

    for moment, pause in ((lambda: True, 0.3), (begun, 0.0), (begun, 0.1), (ready, 0.0), (ready, 0.02)):
        child = subprocess.Popen([sys.executable, "-c", CALL, json.dumps(options)], start_new_session=True)
        while child.poll() is None and not moment():
            time.sleep(0.005)
        time.sleep(pause)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        # one or the other, never neither, never half of it
        assert shop.teams() in (7, 200)
        if shop.teams() == 200:
            break
    shop.restore(run_id="two", resumes=["one"])
    assert shop.teams() == 200
    replaced = [name for name in shop.databases() if name != shop.name]
    assert len(replaced) == 1
    assert shop.sql("SELECT count(*) FROM teams", replaced[0])[0][0] == 7
    assert not shop.restore(run_id="three", resumes=["two", "one"])["changed"]


def test_two_restores_at_once_are_one_after_the_other(shop: Any) -> None:
    import threading

    shop.dump("shop.sql")
    told: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: told.append(shop.restore(state="loaded"))) for dummy in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(one["changed"] for one in told) == [False, True]


def test_what_a_killed_restore_has_left_in_the_work_folder_is_removed(shop: Any, tmp_path: Path) -> None:
    left = tmp_path / "dualwrite-restore-left"
    left.mkdir()
    (left / "backup").write_bytes(b"rows of customers")
    shop.dump("shop.dump", "-Fc")
    shop.restore(True, work_dir=str(tmp_path))
    assert not left.exists()
    assert not list(tmp_path.glob("dualwrite-restore-*"))


def test_no_space_is_said_before_and_harmless_when_it_happens_anyway(shop: Any, tmp_path: Path) -> None:
    place = Path(f"/var/tmp/dualwrite-space-{os.getpid()}")
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=14m,mode=0777", "tmpfs", str(place)], check=False)
    if mounted.returncode:
        place.rmdir()
        absent("what a file system of 14 MB can be mounted with")
    try:
        shop.sql("ALTER TABLE teams ALTER note SET STORAGE EXTERNAL")
        shop.sql(
            "INSERT INTO teams (name, note) SELECT 'm ' || i, repeat(md5(i::text), 300) FROM generate_series(1, 1000) i"
        )
        shop.dump("shop.dump", "-Fc")
        shop.sql("DELETE FROM teams WHERE id > 200")
        shop.sql("VACUUM FULL teams")
        folder = place / "tablespace"
        folder.mkdir()
        import shutil

        from ansible_collections.dualwrite.rollback.tests.lab.postgres import runs_as

        if runs_as():
            shutil.chown(folder, runs_as()["user"])
        shop.admin("postgres", f"CREATE TABLESPACE small LOCATION '{folder}'")
        shop.admin("postgres", f"GRANT CREATE ON TABLESPACE small TO {shop.user}")
        shop.admin("postgres", f"ALTER DATABASE {shop.name} SET TABLESPACE small")
        refused(shop, "a second database needs about")
        refused(shop, "No space left on device", check_space=False)
    finally:
        shop.admin("postgres", f"ALTER DATABASE {shop.name} SET TABLESPACE pg_default")
        shop.admin("postgres", "DROP TABLESPACE IF EXISTS small")
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


def test_a_setting_that_only_a_superuser_may_give_is_refused_before_anything_is_loaded(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.dualwrite.rollback.plugins.module_utils.steps import backup_load

    shop.dump("shop.dump", "-Fc")
    shop.admin("postgres", f"ALTER DATABASE {shop.name} SET log_min_messages = 'error'")
    with monkeypatch.context() as patch:
        patch.delattr(backup_load.load, "archive")  # nothing is to be loaded
        refused(shop, "permission denied to set parameter .log_min_messages")
    secret = shop.server.admin_password_file.read_text().strip()
    done = shop.restore(login_user="postgres", login_password=secret)
    asked = "SELECT setconfig FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = '{}'"
    for name in (shop.name, done["replaced"]):
        assert shop.admin("postgres", asked.format(name)) == [(["log_min_messages=error"],)]


def test_a_database_of_somebody_else_is_never_dropped(shop: Any) -> None:
    shop.dump("shop.dump", "-Fc")
    side = f"{shop.name}_restoring"
    shop.sql(f"CREATE DATABASE {side}", "postgres")
    shop.sql("CREATE TABLE theirs (id int)", side)
    with pytest.raises(RollbackError, match="that no restore has made"):
        shop.restore()
    assert shop.sql("SELECT to_regclass('theirs')::text", side)[0][0] == "theirs"
    shop.sql("DROP TABLE theirs", side)
    assert shop.restore()["changed"]


def test_what_holds_a_database_by_its_identity_is_named_and_nothing_is_exchanged(shop: Any) -> None:
    """Both would stay with the old data, out of sight: told before anything is loaded, and at the exchange."""
    shop.dump("shop.dump", "-Fc")
    shop.sql("BEGIN; INSERT INTO teams (name) VALUES ('in doubt'); PREPARE TRANSACTION 'transfer-4711'")
    try:
        refused(shop, "1 prepared transactions are open, for instance 'transfer-4711'. Commit them or roll")
    finally:
        shop.sql("ROLLBACK PREPARED 'transfer-4711'")
    shop.restore(state="loaded")
    shop.admin(shop.name, "SELECT pg_create_logical_replication_slot('warehouse', 'pgoutput')")
    try:
        with pytest.raises(Refused, match="logical replication reads it by the slot 'warehouse'") as caught:
            shop.restore(state="swapped")
        assert "Drop the slot and make it again after the restore." in str(caught.value)
        assert len(shop.databases()) == 2
    finally:
        shop.admin(shop.name, "SELECT pg_drop_replication_slot('warehouse')")
    shop.admin(
        shop.name, "CREATE SUBSCRIPTION prices CONNECTION 'dbname=none' PUBLICATION all_prices WITH (connect = false)"
    )
    try:
        with pytest.raises(Refused, match="it receives the subscription 'prices'"):
            shop.restore(state="swapped")
    finally:
        shop.admin(shop.name, "ALTER SUBSCRIPTION prices SET (slot_name = NONE)")
        shop.admin(shop.name, "DROP SUBSCRIPTION prices")
    assert shop.restore(state="swapped")["changed"]


def test_a_standby_is_no_target(shop: Any, server: Any) -> None:
    from ansible_collections.dualwrite.rollback.tests.lab.parts import free_port
    from ansible_collections.dualwrite.rollback.tests.lab.standby import Standby

    shop.dump("shop.dump", "-Fc")
    folder = Path(tempfile.mkdtemp(prefix="dualwrite-standby-"))  # the server must be able to pass through it
    standby = Standby(folder, server)
    try:
        standby.start(free_port())
        for check in (True, False):
            refused(shop, "is a standby that can only be read. Give login_host of the primary", check=check,
                    login_port=standby.port)  # fmt: skip
    finally:
        standby.stop()
        shutil.rmtree(folder, ignore_errors=True)
