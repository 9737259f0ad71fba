"""A cleanup of many rows, on a real PostgreSQL."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline
from ansible_collections.dualwrite.rollback.plugins.module_utils.postgres import session


def test_many_rows_take_their_number_not_its_square(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server lacks memory for a hash table of the rows; what then compares each with each does not end."""
    many = 60_000
    database.sql(
        "INSERT INTO team (name, slug)"
        f" SELECT 'Staging Test many ' || n, 'many-' || n FROM generate_series(1, {many}) n;"
        " INSERT INTO legacy_team (name) SELECT name FROM team WHERE name LIKE '% many %';"
        " INSERT INTO mapping (vnext_id, legacy_id) SELECT t.id, l.id FROM team t JOIN legacy_team l USING (name)"
        " WHERE name LIKE '% many %'; ANALYZE"
    )
    monkeypatch.setattr(session, "WORK_MEM", 64 * 1024)
    database.sql("ALTER ROLE deltacrown SET work_mem = '64kB'", admin=True)
    try:
        guards = {"max_rows": 1_000_000, "max_share": 1}
        done = database.clean(guards=guards, without_archive=True)
    finally:
        database.sql("ALTER ROLE deltacrown RESET work_mem", admin=True)
    assert done["rows"]["team"] == many + 3


@pytest.mark.parametrize(("own", "had"), [("4MB", "64MB"), ("256MB", "256MB")])
def test_a_cleanup_has_memory_and_who_has_more_keeps_it(database: Any, own: str, had: str) -> None:
    database.sql(f"ALTER ROLE deltacrown SET work_mem = '{own}'", admin=True)
    try:
        with contextlib.closing(session.Session(database.options, Deadline(20), name="test")) as link:
            link.begin()
            assert link.one("SELECT current_setting('work_mem')") == had
            link.rollback()
            assert link.one("SELECT current_setting('work_mem')") == own
    finally:
        database.sql("ALTER ROLE deltacrown RESET work_mem", admin=True)
