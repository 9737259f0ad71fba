"""Others are at work in the same tables: nobody waits for long, and nothing of theirs is lost."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline, wait_until
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    Conflict,
    DeadlinePassed,
    Refused,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.postgres.session import Session


@contextlib.contextmanager
def holding(database: Any, statement: str) -> Iterator[Any]:
    """Hold the locks of a statement in a transaction of somebody else's."""
    with contextlib.closing(database.connect()) as link, link.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(statement)
        yield cursor


@pytest.mark.parametrize(
    "statement", ["SELECT 1 FROM member WHERE team_id = 1 FOR UPDATE", "LOCK TABLE mapping IN ACCESS EXCLUSIVE MODE"]
)
def test_a_lock_of_somebody_else_is_not_waited_for_and_its_holder_is_named(
    database: Any, refused: Any, statement: str
) -> None:
    before = database.content()
    began = time.monotonic()
    with holding(database, statement) as cursor:
        said = refused(Conflict, database.clean)
        pid = cursor.connection.info.backend_pid
    assert time.monotonic() - began < 5
    assert "a lock that could not be had in time" in said
    assert "in 2 of 2 attempts" in said
    assert f"pid {pid} (deltacrown, lab, idle in transaction" in said
    assert database.content() == before


@pytest.mark.parametrize(
    "statement", ["SELECT 1 FROM member WHERE team_id = 1 FOR UPDATE", "LOCK TABLE mapping IN ACCESS EXCLUSIVE MODE"]
)
def test_a_prepared_transaction_that_holds_a_lock_is_named(database: Any, refused: Any, statement: str) -> None:
    before = database.content()
    with holding(database, statement) as cursor, holding(database, "LOCK TABLE legacy_team IN SHARE MODE") as other:
        cursor.execute("PREPARE TRANSACTION 'transfer 4711'")
        pid = other.connection.info.backend_pid
        try:
            said = refused(Conflict, lambda: database.clean(retries=0))
        finally:
            database.sql("ROLLBACK PREPARED 'transfer 4711'")
    assert "the prepared transaction 'transfer 4711' (deltacrown, prepared " in said
    assert said.count("4711") == 1
    assert f"pid {pid} (deltacrown, lab, idle in transaction" in said
    assert database.content() == before


def test_a_prepared_transaction_elsewhere_is_not_named(database: Any, refused: Any) -> None:
    database.sql("CREATE TABLE elsewhere (id int)")
    with (
        holding(database, "LOCK TABLE elsewhere IN EXCLUSIVE MODE") as cursor,
        holding(database, "LOCK TABLE mapping IN EXCLUSIVE MODE"),
    ):
        cursor.execute("PREPARE TRANSACTION 'elsewhere'")
        try:
            said = refused(Conflict, lambda: database.clean(retries=0))
        finally:
            database.sql("ROLLBACK PREPARED 'elsewhere'")
    assert "these hold locks there: pid " in said
    assert "elsewhere" not in said


def test_a_session_of_another_database_is_not_named(database: Any, refused: Any) -> None:
    """Databases of one template have the same numbers for their tables."""
    other = f"{database.name}_other"
    database.sql(f"CREATE DATABASE {other} TEMPLATE template_app", admin=True)
    try:
        with (
            holding(database, "LOCK TABLE mapping IN EXCLUSIVE MODE"),
            contextlib.closing(database.server.connect(admin=True, database=other)) as link,
            link.cursor() as cursor,
        ):
            cursor.execute("BEGIN")
            cursor.execute("LOCK TABLE mapping IN EXCLUSIVE MODE")
            said = refused(Conflict, lambda: database.clean(retries=0))
        assert said.count("pid ") == 1
        assert "(deltacrown, lab, idle in transaction" in said
    finally:
        database.sql(f"DROP DATABASE {other} WITH (FORCE)", admin=True)


def test_a_lock_that_is_released_meanwhile_is_had_at_the_next_attempt(database: Any, at_statement: Any) -> None:
    with holding(database, "SELECT 1 FROM team WHERE id = 1 FOR UPDATE") as cursor:

        def happen(session: Session, text: str, number: int) -> None:
            begun.append(text) if text.startswith("BEGIN") else None
            if len(begun) == 2:
                cursor.execute("ROLLBACK")

        begun: list[str] = []
        at_statement(happen)
        done = database.clean()
    assert done["attempts"] == 2
    assert done["changed"]


def test_a_deadlock_whose_victim_we_are_is_tried_again(database: Any, at_statement: Any) -> None:
    """Somebody else locks a member first and then wants the team that the cleanup has locked.

    Only our session looks for deadlocks soon, so it is ours that the server ends.
    """
    database.sql("ALTER ROLE deltacrown SET deadlock_timeout = '50ms'", admin=True)
    ready, wanted, had = threading.Event(), threading.Event(), threading.Event()

    def other() -> None:
        with contextlib.closing(database.connect(admin=True)) as link, link.cursor() as cursor:
            cursor.execute("SET deadlock_timeout = '60s'; BEGIN; SELECT 1 FROM member WHERE team_id = 1 FOR UPDATE")
            ready.set()
            wanted.wait(5)
            cursor.execute("SELECT 1 FROM team WHERE id = 1 FOR UPDATE")
            had.set()

    def waits() -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return bool(database.sql(query, admin=True)[0][0])

    thread = threading.Thread(target=other)
    thread.start()

    def happen(session: Session, text: str, number: int) -> None:
        if '"public"."member"' in text and text.startswith("INSERT") and not wanted.is_set():
            wanted.set()
            wait_until(waits, Deadline(5), what="the other session at the team")

    try:
        assert ready.wait(5)
        at_statement(happen)
        done = database.clean(lock_timeout=5, retries=3)
    finally:
        wanted.set()
        thread.join(10)
        database.sql("ALTER ROLE deltacrown RESET deadlock_timeout", admin=True)
    assert had.is_set(), "the other session went on"
    assert (done["changed"], done["attempts"]) == (True, 2)
    assert database.counts("team") == {"team": 7}


def test_two_cleanups_at_a_time_are_one(database: Any, refused: Any) -> None:
    with holding(database, f"SELECT pg_advisory_xact_lock({0x64777262}, {0x636C6E})"):
        said = refused(Refused, database.clean)
    assert "another cleanup or undo is at work in this database: pid " in said


def test_a_reference_that_arrives_in_the_middle_can_not(database: Any, at_statement: Any) -> None:
    """A new member of a team that is being removed waits for the end and is refused then."""
    seen: list[str] = []

    def other() -> None:
        with contextlib.closing(database.connect()) as link, link.cursor() as cursor:
            try:
                cursor.execute("INSERT INTO member (team_id, who) VALUES (1, 'late')")
                seen.append("in")
            except Exception as error:
                seen.append(str(error))

    thread = threading.Thread(target=other)

    def happen(session: Session, text: str, number: int) -> None:
        if text.startswith("DELETE") and not thread.is_alive() and not seen:
            thread.start()
            time.sleep(0.1)

    at_statement(happen)
    done = database.clean()
    thread.join(5)
    assert done["rows"]["member"] == 6
    assert len(seen) == 1
    assert "violates foreign key constraint" in seen[0]


def test_new_rows_of_the_test_in_the_middle_are_removed_by_another_attempt(database: Any, at_statement: Any) -> None:
    added: list[int] = []

    def happen(session: Session, text: str, number: int) -> None:
        if text.startswith("DELETE") and not added:
            added.append(
                database.sql("INSERT INTO team (name, slug) VALUES ('Staging Test 9', 'st-9') RETURNING id")[0][0]
            )

    at_statement(happen)
    done = database.clean()
    assert (done["attempts"], done["rows"]["team"]) == (2, 4)
    assert len({name.partition("/")[0] for name in database.kept()}) == 1


def test_a_statement_that_takes_too_long_ends_it(database: Any, refused: Any) -> None:
    database.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(30); RETURN OLD; END $$;"
        "CREATE TRIGGER slow BEFORE DELETE ON team FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    began = time.monotonic()
    assert "the server ended the statement" in refused(DeadlinePassed, lambda: database.clean(timeout=1.5))
    assert time.monotonic() - began < 5
    assert database.counts("team") == {"team": 10}
    assert database.kept() == []
