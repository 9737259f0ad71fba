"""Guards hold for the rows that are locked and removed, not only for those that were counted before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput, Refused
from ansible_collections.dualwrite.rollback.plugins.module_utils.postgres.session import Session


@pytest.fixture
def before_the_lock(database: Any, at_statement: Any) -> Callable[[str], None]:
    """Have another session commit something after the root's rows were counted and before they are locked."""

    def install(query: str) -> None:
        done: list[str] = []

        def happen(session: Session, text: str, number: int) -> None:
            if text.startswith("INSERT") and '"public"."team"' in text and not done:
                done.append(query)
                database.sql(query)

        at_statement(happen)

    return install


@pytest.mark.parametrize(
    ("guards", "words"),
    [
        ({"expected_count": 3}, "4 rows of team are meant, 3 were expected"),
        ({"max_share": 0.34}, "4 of 11 rows of team are meant, at most 34% may be"),
    ],
)
def test_a_row_that_comes_in_between_count_and_lock_is_guarded_too(
    database: Any, refused: Any, before_the_lock: Any, guards: Any, words: str
) -> None:
    before_the_lock("INSERT INTO team (name, slug) VALUES ('Staging Test 9', 'st-9')")
    assert words in refused(Refused, lambda: database.clean(guards=guards))
    assert database.counts("team", "member", "mapping") == {"team": 11, "member": 20, "mapping": 11}
    assert database.kept() == []


def test_a_row_that_goes_in_between_count_and_lock_is_missed(database: Any, refused: Any, before_the_lock: Any) -> None:
    before_the_lock("UPDATE team SET name = 'Customer' WHERE id = 2")
    said = refused(Refused, lambda: database.clean(guards={"expected_count": 3}))
    assert "2 rows of team are meant, 3 were expected" in said
    assert database.counts("team") == {"team": 10}


# --- what names rows must name some -----------------------------------------------------------------------------------


def test_expected_ids_of_a_table_without_a_primary_key_are_refused(database: Any, refused: Any) -> None:
    database.sql("CREATE TABLE visit (who text); INSERT INTO visit VALUES ('test 1'), ('test 2'), ('ann'), ('bob')")
    options: dict[str, Any] = {
        "root": {"table": "visit", "match": {"patterns": [{"column": "who", "starts_with": "test"}]}},
        "tables": [],
        "linked": [],
        "protected": True,
    }
    said = refused(InvalidInput, lambda: database.clean(**options, guards={"expected_ids": [1, 2]}))
    assert said.startswith("guards.expected_ids: the table visit has no primary key, so no row has an id")
    assert database.counts("visit") == {"visit": 4}
    assert database.clean(**options, guards={"expected_count": 2})["rows"] == {"visit": 2}


def test_an_empty_plan_is_none_that_was_looked_at(database: Any, refused: Any) -> None:
    said = refused(Refused, lambda: database.clean(protected=True, guards={"expected_plan": ""}))
    assert "a pattern alone chooses no rows there" in said
    assert database.counts("team") == {"team": 10}
