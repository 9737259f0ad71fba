"""Whatever dies, either everything is removed or nothing, and the next run says which."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline, wait_until
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    Conflict,
    Refused,
    Unreachable,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.postgres.session import Session
from ansible_collections.dualwrite.rollback.tests.unit.postgres.conftest import TABLES
from ansible_collections.dualwrite.rollback.tests.unit.probes.conftest import free_port


def kill_backend(database: Any, session: Session) -> None:
    pid = session.connection.info.backend_pid
    database.sql("SELECT pg_terminate_backend(%s)", (pid,), admin=True)
    wait_until(
        lambda: not database.sql("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,), admin=True),
        Deadline(5), what="the end of the session",
    )  # fmt: skip


def test_a_connection_that_is_killed_at_any_statement_leaves_everything(
    database: Any, at_statement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = database.content()
    with monkeypatch.context():
        whole = at_statement(lambda session, text, number: None)
        database.clean(check=True)
        # the real run ends with COMMIT instead of ROLLBACK; both are tried
        length = len(whole)
    monkeypatch.undo()
    tried = 0
    for place in range(1, length + 1):
        at_statement(
            lambda session, text, number, place=place: kill_backend(database, session) if number == place else None
        )
        with pytest.raises(Unreachable) as raised:
            database.clean()
        monkeypatch.undo()
        tried += 1
        assert "the connection broke" in str(raised.value)
        assert database.content() == before
        assert database.kept() == []
    assert tried == length > 20
    assert database.clean()["changed"]


def test_an_undo_whose_connection_is_killed_at_any_statement_leaves_everything(
    database: Any, at_statement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.sql(
        "CREATE TABLE game (id int PRIMARY KEY, home int REFERENCES team ON DELETE SET NULL);"
        "INSERT INTO game VALUES (1, 1), (2, 9)"
    )
    tables = (*TABLES, "game")
    before = database.content(*tables)
    archive = database.clean(detach=["game"])["archive"]
    cleaned = database.content(*tables)
    whole = at_statement(lambda session, text, number: None)
    database.undo(archive, check=True)
    length = len(whole) + 1  # the real run has COMMIT at its end
    monkeypatch.undo()
    assert length > 20
    for place in range(1, length + 1):
        sent = at_statement(
            lambda session, text, number, place=place: kill_backend(database, session) if number == place else None
        )
        with pytest.raises(Conflict if place == length else Unreachable, match="the connection broke"):
            database.undo(archive)
        monkeypatch.undo()
        assert (sent[place - 1] == "COMMIT") == (place == length)
        assert database.content(*tables) == cleaned
    assert database.undo(archive)["changed"]
    assert database.content(*tables) == before
    assert not database.undo(archive)["changed"]


def test_a_connection_that_breaks_at_commit_is_asked_about(database: Any, at_statement: Any, monkeypatch: Any) -> None:
    before = database.content()
    at_statement(lambda session, text, number: kill_backend(database, session) if text == "COMMIT" else None)
    with pytest.raises(Conflict, match="the connection broke at COMMIT, and the transaction was rolled back"):
        database.clean()
    monkeypatch.undo()
    assert database.content() == before
    archive = database.kept()[0].partition("/")[0]
    with pytest.raises(Refused, match="was rolled back, so there is nothing to put back"):
        database.undo(archive)


def test_a_crash_of_the_server_leaves_everything(database: Any, at_statement: Any, monkeypatch: Any) -> None:
    """A killed server process takes all sessions with it, and the server recovers by itself."""
    before = database.content()

    def happen(session: Session, text: str, number: int) -> None:
        if text.startswith("SET CONSTRAINTS"):
            os.kill(session.connection.info.backend_pid, signal.SIGKILL)

    at_statement(happen)
    with pytest.raises(Unreachable, match="the connection broke"):
        database.clean()
    monkeypatch.undo()

    def back() -> bool:
        with contextlib.suppress(Exception):
            return database.content() == before
        return False

    wait_until(back, Deadline(20), what="the recovery of the server")
    assert database.kept() == []


def test_a_standby_is_left_alone_and_after_a_failover_the_rows_tell_what_it_has_forgotten(
    database: Any, server: tuple[Any, Path], refused: Any
) -> None:
    """A promoted standby may have given the number of the transaction to another one."""
    from ansible_collections.dualwrite.rollback.tests.lab.standby import Standby

    folder = Path(tempfile.mkdtemp(prefix="dualwrite-standby-"))  # the server must be able to pass through it
    standby = Standby(folder, server[0])
    try:
        standby.start(free_port())
        done = database.clean()
        (database.archives / done["archive"] / "outcome.json").unlink()
        at = database.sql("SELECT pg_current_wal_lsn()::text", admin=True)[0][0]

        def replayed() -> bool:
            with contextlib.closing(standby.connect(admin=True, database="postgres")) as link, link.cursor() as cursor:
                cursor.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (at,))
                return bool(cursor.fetchone()[0])

        wait_until(replayed, Deadline(15), what="the standby to have the cleanup")
        there = {"login_port": standby.port}
        said = refused(Refused, lambda: database.clean(check=True, **there))
        assert "the server is a standby and takes no writes" in said
        assert "Connect to the primary" in said
        standby.promote()
        told = database.clean(**there)["earlier"]
        assert [(one["outcome"], one["how"]) for one in told] == [("committed", "none of its rows is in the database")]
        assert database.undo(done["archive"], **there)["changed"]
    finally:
        standby.stop()
        shutil.rmtree(folder, ignore_errors=True)


KILLED = """
import json, sys
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.sql_cleanup import sql_cleanup
sql_cleanup(json.load(sys.stdin))
"""


def test_sigkill_in_the_middle_leaves_everything_and_no_session(database: Any) -> None:
    """The server notices within a second that nobody listens any more, also in the middle of a long statement."""
    from ansible_collections.dualwrite.rollback.tests.unit.postgres.conftest import PLAN

    database.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN OLD; END $$;"
        "CREATE TRIGGER slow BEFORE DELETE ON team FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    before = database.content()
    given = {**database.options, "archives": str(database.archives), **PLAN, "timeout": 100}
    child = subprocess.Popen([sys.executable, "-c", KILLED], stdin=subprocess.PIPE, text=True)
    busy = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'DELETE%%'"
    busy += " AND state = 'active'"
    with child:
        assert child.stdin
        child.stdin.write(json.dumps(given))
        child.stdin.close()
        wait_until(lambda: database.sql(busy, ()), Deadline(20), what="the long statement")
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    wait_until(lambda: not database.sql(busy, ()), Deadline(5), what="the end of the statement")
    assert database.content() == before
    assert [name for name in database.kept() if name.endswith("manifest.json")] == []
    database.sql("DROP TRIGGER slow ON team")
    assert database.clean()["changed"]
