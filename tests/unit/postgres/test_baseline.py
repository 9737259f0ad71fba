"""Counts and invariants are taken, kept and compared, on a real PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    InvalidInput,
    NotFound,
    VerificationFailed,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.postgres.baseline import differences
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.sql_baseline import sql_baseline

ORPHANS = {"name": "orphans", "query": "SELECT count(*) FROM mapping WHERE vnext_id IS NULL -- before us\n;"}


def ask(database: Any, state: str, check: bool = False, **more: Any) -> dict[str, Any]:
    given = {"name": "before", "tables": ["team", "mapping"], "invariants": [ORPHANS], "state": state, **more}
    return sql_baseline({**database.options, "baselines": str(database.folder / "baselines"), **given}, check=check)


def test_what_was_taken_is_compared_with(database: Any) -> None:
    taken = ask(database, "taken")
    assert taken["tables"] == {"team": 10, "mapping": 11}
    assert taken["invariants"] == {"orphans": 1}
    assert ask(database, "compared")["summary"].startswith("as in the baseline of 20")
    database.sql("INSERT INTO team (name) VALUES ('new')")
    with pytest.raises(VerificationFailed, match="team went from 10 to 11 rows, expected was no change"):
        ask(database, "compared")
    assert ask(database, "compared", expect={"team": "increase"})["differences"] == ["team: 10 → 11 rows"]
    database.sql("INSERT INTO mapping (vnext_id) VALUES (NULL)")
    with pytest.raises(VerificationFailed, match="orphans went from 1 to 2"):
        ask(database, "compared", expect={"team": 1, "mapping": "any"})


def test_other_content_in_as_many_rows_is_seen_when_asked_for(database: Any) -> None:
    ask(database, "taken", checksums=True)
    database.sql("UPDATE team SET name = 'corrupted' WHERE id = 9")
    assert ask(database, "compared")["differences"] == []
    with pytest.raises(VerificationFailed, match="team has other content in as many rows"):
        ask(database, "compared", checksums=True)


def test_a_cleanup_may_not_end_above_the_baseline(database: Any) -> None:
    path = ask(database, "taken")["path"]
    database.sql("INSERT INTO mapping (legacy_id) SELECT id FROM legacy_team WHERE name = 'Latest Teams 1'")
    with pytest.raises(VerificationFailed, match="orphans: 2, 1 in the baseline"):
        database.clean(invariants=[ORPHANS], baseline_file=path)
    database.sql("DELETE FROM mapping WHERE vnext_id IS NULL AND legacy_id IS NOT NULL")
    done = database.clean(invariants=[ORPHANS], baseline_file=path)
    assert done["invariants"] == {"before": {"orphans": 1}, "after": {"orphans": 1}}


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"state": "compared", "name": "other"}, NotFound, "does not exist"),
        ({"name": "../x"}, InvalidInput, "is no name of a baseline"),
        ({"tables": [], "invariants": []}, InvalidInput, "nothing counted says nothing"),
        ({"tables": ["nowhere"]}, InvalidInput, "there is no table nowhere"),
        ({"expect": {"team": "fewer"}}, InvalidInput, "'fewer' is nothing to expect of team"),
        ({"expect": {"member": "any"}}, InvalidInput, "not among the tables that are counted"),
        ({"invariants": [{"name": "x", "query": "SELECT 'a'"}]}, InvalidInput, "which is no number"),
        ({"invariants": [{"name": "x", "query": "DELETE FROM team"}]}, Exception, "the query fails"),
        ({"invariants": [{"name": "x", "query": "SELECT 1; DELETE FROM team"}]}, Exception, "the query fails"),
    ],
)
def test_bad_input_is_one_sentence(database: Any, refused: Any, options: Any, kind: Any, words: str) -> None:
    assert words in refused(kind, lambda: ask(database, **{"state": "taken", **options}))
    assert database.counts("team") == {"team": 10}


def test_check_mode_writes_no_baseline(database: Any) -> None:
    assert ask(database, "taken", check=True)["path"] == ""
    with pytest.raises(NotFound):
        ask(database, "compared")


def test_what_is_not_asked_any_more_is_no_agreement() -> None:
    then = {"invariants": {"orphans": 1}, "tables": {"team": 1}}
    dummy, wrong = differences(then, {"invariants": {}, "tables": {}}, {})
    assert wrong == ["invariant 'orphans' is not asked any more", "table team is not counted any more"]
