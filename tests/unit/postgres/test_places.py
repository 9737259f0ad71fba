"""Archives, logins and rights that are not as they should be."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    InvalidInput,
    Refused,
    RollbackError,
    Unreachable,
    VerificationFailed,
)


def test_a_full_disk_for_the_archive_removes_nothing(database: Any, refused: Any, tmp_path: Path) -> None:
    database.sql("UPDATE team SET name = name || repeat(md5(random()::text), 40) WHERE name LIKE 'Staging%%'", ())
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(small)], check=False, capture_output=True
    )
    if mounted.returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no small disk can be had: {mounted.stderr.decode()}")
    before = database.content()
    try:
        said = refused(RollbackError, lambda: database.clean(archives=str(small)))
        assert "No space left on device" in said
        assert database.content() == before
        assert [path for path in small.rglob("*") if path.is_file() and path.name == "manifest.json"] == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_an_archive_that_was_tampered_with_is_not_put_back(database: Any, refused: Any) -> None:
    done = database.clean()
    part = next(path for path in (database.archives / done["archive"]).iterdir() if path.name.startswith("001"))
    packed = bytearray(part.read_bytes())
    packed[len(packed) // 2] ^= 1
    kept = part.read_bytes()
    part.write_bytes(packed)
    before = database.content()
    assert "the checksum differs" in refused(VerificationFailed, lambda: database.undo(done["archive"]))
    part.write_bytes(kept[:-10])
    assert "the checksum differs" in refused(VerificationFailed, lambda: database.undo(done["archive"]))
    part.write_bytes(kept)
    manifest = database.archives / done["archive"] / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"rows": 3', '"rows": 2', 1))
    checksum = {"archive_sha256": done["archive_sha256"]}
    assert "the manifest was changed" in refused(VerificationFailed, lambda: database.undo(done["archive"], **checksum))
    assert "the manifest says 2 rows, there are 3" in refused(InvalidInput, lambda: database.undo(done["archive"]))
    manifest.write_text("{}")
    assert "the manifest can't be read" in refused(InvalidInput, lambda: database.undo(done["archive"]))
    assert database.content() == before


def test_ids_that_were_given_again_are_not_overwritten(database: Any, refused: Any) -> None:
    done = database.clean()
    database.sql("INSERT INTO team (id, name, slug) VALUES (2, 'A customer', 'c'), (99, 'Another', 'st-3')")
    before = database.content()
    said = refused(Refused, lambda: database.undo(done["archive"]))
    assert "team (id) = (2)" in said
    assert "team (slug) = (st-3)" in said
    assert database.content() == before


def test_rows_go_back_only_where_they_came_from_and_as_they_were(database: Any, refused: Any) -> None:
    done = database.clean()
    database.sql("ALTER TABLE team ADD color text NOT NULL DEFAULT 'red'")
    assert "color is new" in refused(Refused, lambda: database.undo(done["archive"]))
    database.sql("ALTER TABLE team DROP color")
    database.sql(
        "CREATE FUNCTION loud() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$;"
        "CREATE TRIGGER loud BEFORE INSERT ON team FOR EACH ROW EXECUTE FUNCTION loud()"
    )
    assert "3 of 3 rows of team are not what was archived" in refused(
        VerificationFailed, lambda: database.undo(done["archive"])
    )
    assert database.counts("team") == {"team": 7}
    database.sql("DROP TRIGGER loud ON team")
    manifest = database.archives / done["archive"] / "manifest.json"
    manifest.write_text(manifest.read_text().replace(database.name, "elsewhere"))
    assert "the archive is of another database" in refused(Refused, lambda: database.undo(done["archive"]))
    assert database.undo(done["archive"], same_database=False)["changed"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"login_user": "nobody", "login_password": "canary-secret", "passfile": None},
            "password authentication failed",
        ),
        ({"login_db": "nowhere"}, 'database "nowhere" does not exist'),
        ({"login_port": 1}, "Connection refused"),
    ],
)
def test_a_wrong_login_or_database_is_one_sentence(database: Any, refused: Any, options: Any, words: str) -> None:
    said = refused(Unreachable, lambda: database.clean(**options))
    assert words in said
    assert "canary-secret" not in said


def test_a_role_that_may_make_no_temporary_tables_is_told(database: Any, refused: Any) -> None:
    one = database.name
    database.sql(f"ALTER DATABASE {one} OWNER TO postgres; REVOKE TEMPORARY ON DATABASE {one} FROM PUBLIC", admin=True)
    said = refused(Refused, database.clean)
    assert "permission denied to create temporary tables" in said
    assert "Grant the role what docs/sql_grants.md lists" in said


def test_a_server_that_counts_no_rows_is_told(database: Any, refused: Any) -> None:
    database.sql(f"ALTER DATABASE {database.name} SET track_counts = off", admin=True)
    assert "track_counts is off" in refused(Refused, database.clean)
