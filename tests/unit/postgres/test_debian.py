"""The same cleanup on the server that Debian has, which is older than the wheel's."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import Refused


def test_rows_with_a_cascade_and_lost_references_go_and_come_back(debian_database: Any) -> None:
    database = debian_database
    version = database.sql("SHOW server_version_num")[0][0]
    assert int(version) // 10000 == int(database.server.programs.parts[-2])
    database.sql(
        "CREATE TABLE game (id int PRIMARY KEY, home int REFERENCES team ON DELETE SET NULL, score int);"
        "INSERT INTO game VALUES (1, 1, 3), (2, 1, 4), (3, 9, 5)"
    )
    tables = ("team", "member", "legacy_team", "legacy_member", "mapping", "game")
    before = database.content(*tables)
    told = database.clean(check=True, detach=["game"])
    assert told["changed"]
    assert database.content(*tables) == before
    done = database.clean(detach=["game"])
    assert done["rows"] == told["rows"]
    assert done["rows"]["legacy_member"] == 3  # ON DELETE CASCADE of legacy_team
    assert done["detached"] == {"game_home_fkey": 2}
    assert database.counts("team", "legacy_member") == {"team": 7, "legacy_member": 7}
    assert database.sql("SELECT id, home FROM game ORDER BY 1") == [(1, None), (2, None), (3, 9)]
    assert not database.clean(detach=["game"])["changed"]
    assert database.undo(done["archive"])["rows"] == done["rows"]
    assert database.content(*tables) == before


def test_a_cleanup_that_never_said_how_it_ended_is_asked_about(debian_database: Any) -> None:
    done = debian_database.clean()
    (debian_database.archives / done["archive"] / "outcome.json").unlink()
    told = debian_database.clean()["earlier"]
    said = f"the server says committed of transaction {done['transaction']}"
    assert [(one["outcome"], one["how"]) for one in told] == [("committed", said)]


def test_rows_that_took_their_place_are_named(debian_database: Any) -> None:
    done = debian_database.clean()
    debian_database.sql("INSERT INTO team (id, name, slug) VALUES (2, 'A customer', 'c')")
    before = debian_database.content()
    with pytest.raises(Refused, match=r"team \(id\) = \(2\)"):
        debian_database.undo(done["archive"])
    assert debian_database.content() == before
