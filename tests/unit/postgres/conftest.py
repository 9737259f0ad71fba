"""A real PostgreSQL: one server for the session, a database for each test, made from a template in no time."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.postgres.session import Session
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.sql_cleanup import sql_cleanup
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.sql_undo_cleanup import sql_undo_cleanup
from ansible_collections.dualwrite.rollback.tests.unit.probes.conftest import postgres_server

TEMPLATE = "template_app"
#: teams of the test, look-alikes of customers, rows on both sides, and orphans that were there before
SCHEMA = """
CREATE TABLE team (id serial PRIMARY KEY, name text NOT NULL, slug text UNIQUE, secret text,
  created_at timestamptz NOT NULL DEFAULT now(), length int GENERATED ALWAYS AS (length(name)) STORED);
CREATE TABLE member (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, team_id int NOT NULL
  REFERENCES team DEFERRABLE INITIALLY DEFERRED, who text);
CREATE TABLE legacy_team (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text,
  created_at timestamptz DEFAULT now());
CREATE TABLE legacy_member (team_id uuid NOT NULL REFERENCES legacy_team ON DELETE CASCADE, who text);
CREATE TABLE mapping (id serial PRIMARY KEY, vnext_id int REFERENCES team, legacy_id uuid REFERENCES legacy_team);
CREATE INDEX ON member (team_id); CREATE INDEX ON legacy_member (team_id);
CREATE INDEX ON mapping (vnext_id); CREATE INDEX ON mapping (legacy_id);
INSERT INTO team (name, slug, secret) SELECT 'Staging Test ' || n, 'st-' || n, 'key-' || n FROM generate_series(1, 3) n;
INSERT INTO team (name, slug, created_at)
  SELECT 'Latest Teams ' || n, 'lt-' || n, '2025-01-01' FROM generate_series(1, 7) n;
INSERT INTO member (team_id, who) SELECT id, 'ann' FROM team UNION ALL SELECT id, 'bob' FROM team;
INSERT INTO legacy_team (name) SELECT name FROM team;
INSERT INTO legacy_member SELECT id, 'ann' FROM legacy_team;
INSERT INTO mapping (vnext_id, legacy_id) SELECT t.id, l.id FROM team t JOIN legacy_team l USING (name);
INSERT INTO mapping (vnext_id, legacy_id) VALUES (NULL, NULL);
"""
#: what a cleanup of that needs to be told
PLAN: dict[str, Any] = {
    "root": {"table": "team", "match": {"patterns": [{"column": "name", "like": "Staging Test%"}]}},
    "tables": ["member", "legacy_member"],
    "linked": [
        {
            "table": "legacy_team",
            "through": {"table": "mapping", "root_column": "vnext_id", "linked_column": "legacy_id"},
            "match": {"patterns": [{"column": "name", "like": "Staging Test%"}]},
        }
    ],
}
TABLES = ("team", "member", "legacy_team", "legacy_member", "mapping")


class Database:
    """A test's own database: SQL as its owner, and the modules' steps."""

    def __init__(self, server: Any, name: str, folder: Path, passfile: Path) -> None:
        self.server = server
        self.name = name
        self.folder = folder
        self.archives = folder / "archives"
        self.options: dict[str, Any] = {
            "login_host": "127.0.0.1",
            "login_port": server.port,
            "login_user": "deltacrown",
            "login_db": name,
            "passfile": str(passfile),
            "ssl_mode": "disable",
            "timeout": 30,
            "lock_timeout": 0.3,
            "retries": 1,
        }

    def connect(self, admin: bool = False) -> Any:
        return self.server.connect(admin=admin, database=self.name)

    def sql(self, query: str, values: Any = None, admin: bool = False) -> list[tuple[Any, ...]]:
        with contextlib.closing(self.connect(admin)) as link, link.cursor() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall()) if cursor.description else []

    def counts(self, *tables: str) -> dict[str, int]:
        return {name: self.sql(f"SELECT count(*) FROM {name}")[0][0] for name in tables or TABLES}

    def content(self, *tables: str) -> dict[str, list[str]]:
        """Every row of the tables as text, and where the sequences stand."""
        found = {}
        with contextlib.closing(self.connect()) as link, link.cursor() as cursor:
            for name in tables or TABLES:
                cursor.execute(f"SELECT t::text FROM {name} t ORDER BY 1")
                found[name] = [text for (text,) in cursor.fetchall()]
            cursor.execute("SELECT sequencename::text, last_value::text FROM pg_sequences ORDER BY 1")
            found["sequences"] = [" ".join(map(str, row)) for row in cursor.fetchall()]
        return found

    def clean(self, *, check: bool = False, **changed: Any) -> dict[str, Any]:
        """Clean up by the plan above, with these options changed."""
        given = {**self.options, "archives": str(self.archives), **PLAN, **changed}
        return sql_cleanup(given, check=check)

    def undo(self, archive: str, *, check: bool = False, **changed: Any) -> dict[str, Any]:
        given = {**self.options, "archives": str(self.archives), "archive": archive, **changed}
        return sql_undo_cleanup(given, check=check)

    def kept(self) -> list[str]:
        """The files that archives have left."""
        return sorted(str(path.relative_to(self.archives)) for path in self.archives.rglob("*") if path.is_file())


@contextlib.contextmanager
def _server(debian: bool) -> Iterator[tuple[Any, Path]]:
    """Start a server with a template of the application's database, and a passfile for its user."""
    with postgres_server(debian) as one:
        from ansible_collections.dualwrite.rollback.tests.lab.postgres import USER

        folder = one.lab
        with contextlib.closing(one.connect(admin=True, database="postgres")) as link, link.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {TEMPLATE} OWNER {USER}")
            # a transaction of somebody else's can be prepared
            cursor.execute("ALTER SYSTEM SET max_prepared_transactions = 2")
        port = one.port
        one.stop()
        one.start(port)
        with contextlib.closing(one.connect(database=TEMPLATE)) as link, link.cursor() as cursor:
            cursor.execute(SCHEMA)
        passfile = folder / "passfile"
        passfile.write_text(f"127.0.0.1:*:*:{USER}:{one.password_file.read_text().strip()}\n")
        passfile.chmod(0o600)
        yield one, passfile


@pytest.fixture(scope="session")
def server() -> Iterator[tuple[Any, Path]]:
    """A server of the wheel with a template of the application's database, and a passfile for its user."""
    with _server(debian=False) as made:
        yield made


@pytest.fixture(scope="session")
def debian_server() -> Iterator[tuple[Any, Path]]:
    """The same of Debian's package."""
    with _server(debian=True) as made:
        yield made


@contextlib.contextmanager
def _database(server: tuple[Any, Path], folder: Path) -> Iterator[Database]:
    one, passfile = server
    name = f"test_{uuid.uuid4().hex[:12]}"
    _administer(one, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER deltacrown")
    try:
        yield Database(one, name, folder, passfile)
    finally:
        _administer(one, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(server: tuple[Any, Path], tmp_path: Path) -> Iterator[Database]:
    """A database like the application's, for one test."""
    with _database(server, tmp_path) as made:
        yield made


@pytest.fixture
def debian_database(debian_server: tuple[Any, Path], tmp_path: Path) -> Iterator[Database]:
    """The same on Debian's server."""
    with _database(debian_server, tmp_path) as made:
        yield made


def _administer(one: Any, query: str) -> None:
    with contextlib.closing(one.connect(admin=True, database="postgres")) as link, link.cursor() as cursor:
        cursor.execute(query)


@pytest.fixture
def refused() -> Callable[..., str]:
    """Call what must fail with one kind of error and return its sentence."""

    def call(kind: type[Exception], act: Callable[[], Any]) -> str:
        with pytest.raises(kind) as raised:
            act()
        text = str(raised.value)
        assert "Traceback" not in text
        assert "\n" not in text
        return text

    return call


@pytest.fixture
def at_statement(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[Callable[[Session, str, int], None]], list[str]]]:
    """Have something happen just before each statement of a session; return the statements sent so far."""

    def install(happen: Callable[[Session, str, int], None]) -> list[str]:
        sent: list[str] = []
        inner = Session._guarded

        def guarded(self: Session, act: Any, keep: bool = False) -> Any:
            closed = [cell.cell_contents for cell in act.__closure__ or ()]
            text = next((one if isinstance(one, str) else one.as_string(self.connection) for one in closed
                         if isinstance(one, str) or hasattr(one, "as_string")), "")  # fmt: skip
            sent.append(text)
            happen(self, text, len(sent))
            return inner(self, act, keep)

        monkeypatch.setattr(Session, "_guarded", guarded)
        return sent

    yield install
    monkeypatch.undo()
