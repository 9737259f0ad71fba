"""Rows that stay and lose a reference: whichever columns it clears, whatever it is called, whoever it points at."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import Refused
from ansible_collections.dualwrite.rollback.plugins.module_utils.postgres.session import Session

#: the reference clears one of its two columns; the other one says whose the row is and may not be NULL
TENANTS = """
CREATE TABLE host (tenant int, id int, name text, PRIMARY KEY (tenant, id));
CREATE TABLE task (id int PRIMARY KEY, tenant int NOT NULL, host int,
  CONSTRAINT task_host FOREIGN KEY (tenant, host) REFERENCES host ON DELETE SET NULL (host));
INSERT INTO host VALUES (1, 1, 'test a'), (1, 2, 'test b'), (1, 3, 'web'), (2, 1, 'db'), (2, 2, 'mail');
INSERT INTO task VALUES (1, 1, 1), (2, 1, 2), (3, 1, 3), (4, 2, 1);
"""
HOSTS = {
    "root": {"table": "host", "match": {"patterns": [{"column": "name", "starts_with": "test"}]}},
    "tables": [],
    "linked": [],
    "detach": ["task"],
}


@pytest.fixture
def tenants(database: Any) -> Any:
    """A database with a reference that clears only some of its columns."""
    if database.sql("SELECT current_setting('server_version_num')::int")[0][0] < 150000:
        pytest.skip("ON DELETE SET NULL (column) came with PostgreSQL 15")
    database.sql(TENANTS)
    return database


def test_a_reference_that_clears_some_of_its_columns_comes_back(tenants: Any) -> None:
    before = tenants.content("host", "task")
    done = tenants.clean(**HOSTS)
    assert done["detached"] == {"task_host": 2}
    assert tenants.sql("SELECT * FROM task ORDER BY id") == [(1, 1, None), (2, 1, None), (3, 1, 3), (4, 2, 1)]
    assert tenants.undo(done["archive"])["detached"] == {"task": 2}
    assert tenants.content("host", "task") == before


@pytest.mark.parametrize("change", ["host = 3", "tenant = 2"])
def test_a_reference_whose_columns_have_changed_since_is_not_overwritten(
    tenants: Any, refused: Any, change: str
) -> None:
    done = tenants.clean(**HOSTS)
    tenants.sql(f"UPDATE task SET {change} WHERE id = 2")
    before = tenants.content("host", "task")
    said = refused(Refused, lambda: tenants.undo(done["archive"]))
    assert "task (2): it is gone or references something else" in said
    assert "task (1)" not in said
    assert tenants.content("host", "task") == before


def test_an_older_server_is_not_asked_for_what_its_catalog_lacks(
    database: Any, at_statement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.sql("CREATE TABLE game (id int PRIMARY KEY, home int REFERENCES team ON DELETE SET NULL);"
                 "INSERT INTO game VALUES (1, 1), (2, 9)")  # fmt: skip
    before = database.content("game", "team")
    monkeypatch.setattr(Session, "version", 140012)
    sent = at_statement(lambda session, text, number: None)
    done = database.clean(detach=["game"])
    database.undo(done["archive"])
    assert any("pg_constraint" in text for text in sent)
    assert not any("confdelsetcols" in text for text in sent)
    assert database.content("game", "team") == before


def test_two_tables_whose_references_have_the_same_name(database: Any) -> None:
    database.sql(
        "CREATE TABLE game (id int PRIMARY KEY, team int, CONSTRAINT owner FOREIGN KEY (team) REFERENCES team"
        " ON DELETE SET NULL);"
        "CREATE TABLE prize (id int PRIMARY KEY, team int, CONSTRAINT owner FOREIGN KEY (team) REFERENCES team"
        " ON DELETE SET NULL);"
        "INSERT INTO game VALUES (1, 1), (2, 2), (3, 9); INSERT INTO prize VALUES (1, 3)"
    )
    before = database.content("game", "prize", "team")
    done = database.clean(detach=["game", "prize"])
    assert done["detached"] == {"owner of game": 2, "owner of prize": 1}
    assert "3 lose a reference" in done["summary"]
    assert database.undo(done["archive"])["detached"] == {"game": 2, "prize": 1}
    assert database.content("game", "prize", "team") == before


def test_a_table_that_references_itself_loses_only_the_references_of_rows_that_stay(database: Any) -> None:
    database.sql(
        "ALTER TABLE team ADD parent int REFERENCES team ON DELETE SET NULL;"
        "UPDATE team SET parent = 1 WHERE id IN (2, 3, 5, 6); UPDATE team SET parent = 7 WHERE id = 8"
    )
    before = database.content()
    done = database.clean(detach=["team"])
    assert done["rows"]["team"] == 3
    assert done["detached"] == {"team_parent_fkey": 2}
    assert database.sql("SELECT id, parent FROM team WHERE id > 4 ORDER BY 1 LIMIT 4") == [
        (5, None),
        (6, None),
        (7, None),
        (8, 7),
    ]
    assert database.undo(done["archive"])["rows"]["team"] == 3
    assert database.content() == before
