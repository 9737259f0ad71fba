"""Kind sql on a real PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.base import Context
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.sql import one_statement

from .conftest import free_port


@pytest.fixture
def database(postgres: dict[str, Any], context: Context) -> Callable[[str], None]:
    """Connect the test's probes, begin with an empty table, and return what runs SQL."""
    context.postgres = postgres
    postgres["execute"]("TRUNCATE teams")
    execute: Callable[[str], None] = postgres["execute"]
    return execute


@pytest.mark.parametrize(
    ("query", "options", "answer", "value"),
    [
        ("SELECT count(*) FROM teams", {"equals": 0}, "pass", 0),
        ("SELECT count(*) FROM teams", {"equals": "0"}, "pass", 0),
        ("SELECT count(*) FROM teams", {"min": 1}, "fail", 0),
        ("SELECT 2.5::numeric", {"min": 2, "max": 3}, "pass", 2.5),
        ("SELECT true", {"equals": True}, "pass", True),
        ("SELECT 'a'", {"equals": "a"}, "pass", "a"),
        ("SELECT name FROM teams", {"equals": "a"}, "unknown", None),
        ("SELECT max(id) FROM teams", {"max": 5}, "unknown", None),
        ("SELECT 'NaN'::float8", {"max": 5}, "unknown", "nan"),
        ("SELECT count(*) FROM teams WHERE name LIKE '%x;%' -- a ; b\n;", {"equals": 0}, "pass", 0),
        ("SELECT %(n)s::int + 1", {"equals": 3, "parameters": {"n": 2}}, "pass", 3),
        ("SHOW transaction_read_only", {"equals": "on"}, "pass", "on"),
    ],
)
def test_values(
    ask: Callable[..., Any], database: Any, query: str, options: dict[str, Any], answer: str, value: Any
) -> None:
    seen = ask("sql", query=query, **options)
    assert seen.answer == answer
    assert (str(seen.value) if value == "nan" else seen.value) == value


def test_no_change_holds_until_something_moves(build: Callable[..., Any], database: Callable[[str], None]) -> None:
    probe = build("sql", query="SELECT count(*) FROM teams", change="none")
    probe.prepare(Deadline(5))
    assert probe.ask(Deadline(5)).answer == "pass"
    database("INSERT INTO teams (name) VALUES ('a')")
    seen = probe.ask(Deadline(5))
    assert (seen.answer, seen.detail) == ("fail", "the value went from 0 to 1 (+1)")
    assert (seen.extra["final"], seen.extra["baseline"]) == (True, 0)


def test_increase_becomes_true_later(build: Callable[..., Any], database: Callable[[str], None]) -> None:
    probe = build("sql", query="SELECT count(*) FROM teams", change="increase")
    assert probe.ask(Deadline(5)).answer == "unknown"
    assert probe.ask(Deadline(5)).answer == "fail"
    database("INSERT INTO teams (name) VALUES ('a')")
    assert probe.ask(Deadline(5)).answer == "pass"


def test_a_given_baseline(ask: Callable[..., Any], database: Any) -> None:
    query = "SELECT count(*) FROM teams"
    assert ask("sql", query=query, change={"max": 0}, baseline=3).detail == "the value went from 3 to 0 (-3)"
    assert ask("sql", query=query, change="none", baseline=3).answer == "fail"


@pytest.mark.parametrize(
    "query",
    [
        "WITH gone AS (DELETE FROM teams RETURNING 1) SELECT count(*) FROM gone",
        "SELECT nextval('teams_id_seq')",
        "TABLE teams FOR UPDATE",
    ],
)
def test_a_write_is_refused_by_the_server(ask: Callable[..., Any], database: Callable[[str], None], query: str) -> None:
    database("INSERT INTO teams (name) VALUES ('a')")
    seen = ask("sql", query=query, equals=1)
    assert seen.answer == "error"
    assert "in a read-only transaction" in seen.detail
    assert ask("sql", query="SELECT count(*) FROM teams", equals=1).answer == "pass"


def test_a_slow_query_ends_at_the_deadline(ask: Callable[..., Any], database: Any) -> None:
    started = time.monotonic()
    seen = ask("sql", seconds=0.4, query="SELECT pg_sleep(20)", equals="")
    assert (seen.answer, "statement timeout" in seen.detail) == ("error", True)
    assert time.monotonic() - started < 3


def test_a_locked_table_does_not_hang(ask: Callable[..., Any], postgres: dict[str, Any], database: Any) -> None:
    blocker = postgres["server"].connect()
    blocker.autocommit = False
    with blocker.cursor() as cursor:
        cursor.execute("LOCK TABLE teams")
        seen = ask("sql", seconds=0.4, query="SELECT count(*) FROM teams", equals=0)
    blocker.rollback()
    blocker.close()
    assert (seen.answer, "timeout" in seen.detail) == ("error", True)


def test_an_error_in_the_query(ask: Callable[..., Any], database: Any) -> None:
    seen = ask("sql", query="SELECT count(*) FROM no_such", equals=1)
    assert (seen.answer, seen.detail) == ("error", 'the query fails: relation "no_such" does not exist')


def test_parameters_that_do_not_fit(ask: Callable[..., Any], database: Any) -> None:
    assert "don't fit" in ask("sql", query="SELECT %(a)s", parameters={"b": 1}, equals=1).detail


def test_a_cut_connection_is_opened_again(build: Callable[..., Any], postgres: dict[str, Any], database: Any) -> None:
    probe = build("sql", query="SELECT 1", equals=1)
    assert probe.ask(Deadline(5)).answer == "pass"
    admin = postgres["server"].connect(admin=True)
    with admin.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE '%probe'"
        )
        assert cursor.fetchall() == [(True,)]
    admin.close()
    assert probe.ask(Deadline(5)).answer == "pass"


def test_the_session_bears_our_name(ask: Callable[..., Any], database: Any) -> None:
    assert ask("sql", query="SHOW application_name", equals="dualwrite.rollback health_probe").answer == "pass"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"passfile": None, "login_password": "n0t-the-password"}, "password authentication failed for user"),
        ({"passfile": "/no/such/file"}, "no password supplied"),
        ({"login_db": "nowhere", "passfile": None}, 'database "nowhere" does not exist'),
        ({"login_host": None, "login_unix_socket": "/no/such", "passfile": None}, "No such file or directory"),
        ({"login_port": None}, "Connection refused"),
        ({"ssl_mode": "require"}, "server does not support SSL"),
        ({"service": "nowhere", "login_host": None}, 'definition of service "nowhere" not found'),
    ],
)
def test_no_connection_is_one_sentence_without_the_password(
    ask: Callable[..., Any], postgres: dict[str, Any], context: Context, wrong: dict[str, Any], words: str
) -> None:
    given = {**postgres, **wrong}
    if "login_db" in wrong:
        given["login_password"] = postgres["server"].password_file.read_text().strip()
    if "login_port" in wrong:
        given["login_port"] = free_port()
    context.postgres = given
    seen = ask("sql", query="SELECT 1", equals=1)
    assert (seen.answer, seen.detail.partition(": ")[0]) == ("error", "no connection")
    assert words in seen.detail
    assert "\n" not in seen.detail
    for secret in ("n0t-the-password", postgres["server"].password_file.read_text().strip()):
        assert secret not in str(seen.as_dict())


def test_a_service_file(
    ask: Callable[..., Any], postgres: dict[str, Any], context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = tmp_path / "pg_service.conf"
    services.write_text(
        "[shop]\nhost={login_host}\nport={login_port}\nuser={login_user}\ndbname={login_db}\npassfile={passfile}\n".format(
            **postgres
        )
    )
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    context.postgres = {"service": "shop"}
    seen = ask("sql", query="SELECT 1", equals=1)
    assert (seen.answer, seen.where) == ("pass", "PostgreSQL service shop")


@pytest.mark.parametrize(
    ("query", "statement"),
    [
        ("SELECT 1;", "SELECT 1"),
        (" with a as (select 1) select * from a ; ", "with a as (select 1) select * from a"),
        ("SELECT ';' || $x$;$x$ || E'\\';' /* ; */", "SELECT ';' || $x$;$x$ || E'\\';'"),
        ("(SELECT 1)", "(SELECT 1)"),
        ("SELECT 1; COMMIT; DELETE FROM teams", ""),
        ("SELECT 'a\\'; DELETE FROM teams; --'", ""),
        ("DELETE FROM teams", ""),
        ("COMMIT", ""),
        ("-- nothing", ""),
        ("", ""),
    ],
)
def test_one_statement(query: str, statement: str) -> None:
    assert one_statement(query) == statement


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"equals": 1}, "needs the option 'query'"),
        ({"query": "SELECT 1"}, "nothing is expected of the value"),
        ({"query": "DELETE FROM teams", "equals": 1}, "query must be one reading statement"),
        ({"query": "SELECT 1; SELECT 2", "equals": 1}, "query must be one reading statement"),
        ({"query": "SELECT 1", "change": "up"}, "change has no use for 'up'"),
        ({"query": "SELECT 1", "change": {"most": 1}}, "change has no use for"),
        ({"query": "SELECT 1", "min": 1, "baseline": 1}, "baseline belongs to change"),
    ],
)
def test_wrong_options(build: Callable[..., Any], options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        build("sql", **options)
    assert sentence in str(caught.value)
