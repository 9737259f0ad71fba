"""Real parts for backups: one PostgreSQL and one S3 service for all tests, and a small database to restore."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.backup_info import backup_info
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.backup_restore import backup_restore

_STARTED = os.getpid()
_NUMBERS = itertools.count(1)
SHOP = """
CREATE TABLE teams (id serial PRIMARY KEY, name text NOT NULL, note text);
CREATE TABLE members (id serial PRIMARY KEY, team_id int NOT NULL REFERENCES teams DEFERRABLE INITIALLY DEFERRED);
CREATE UNIQUE INDEX ON teams (name);
CREATE EXTENSION pg_trgm;
INSERT INTO teams (name, note) SELECT 'team ' || i, repeat(md5(i::text), 20) FROM generate_series(1, {rows}) i;
INSERT INTO members (team_id) SELECT id FROM teams;
SELECT lo_from_bytea(4711, 'a large object');
"""


def _need_the_lab() -> None:
    if os.getpid() != _STARTED:
        pytest.skip("ansible-test forks for every test; `make units` runs this one with pytest, on the real server")
    if sys.version_info < (3, 11):
        pytest.skip("the lab that starts the servers needs Python 3.11; the newer Pythons run this one")


def _folder(undo: contextlib.ExitStack) -> Path:
    # not below pytest's own folder: only its owner may pass through that, and the server runs unprivileged
    folder = Path(tempfile.mkdtemp(prefix="dualwrite-backups-"))
    undo.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextlib.contextmanager
def _server(debian: bool) -> Iterator[Any]:
    """Start a real PostgreSQL whose ordinary user may create databases."""
    from ansible_collections.dualwrite.rollback.tests.unit.probes.conftest import free_port, postgres_server

    with postgres_server(debian) as made:
        from ansible_collections.dualwrite.rollback.tests.lab.postgres import USER

        with contextlib.closing(made.connect(admin=True, database="postgres")) as link, link.cursor() as cursor:
            cursor.execute(f"ALTER ROLE {USER} CREATEDB")
            # what holds a database by its identity can be had
            cursor.execute("ALTER SYSTEM SET wal_level = logical")
            cursor.execute("ALTER SYSTEM SET max_prepared_transactions = 2")
        made.stop()
        made.start(free_port())
        yield made


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    """A real PostgreSQL, of the wheel."""
    with _server(debian=False) as made:
        yield made


@pytest.fixture(scope="session")
def debian_server() -> Iterator[Any]:
    """A real PostgreSQL, of Debian's package."""
    with _server(debian=True) as made:
        yield made


@pytest.fixture(scope="session")
def objects() -> Iterator[Any]:
    """A real S3 service with a bucket."""
    _need_the_lab()
    from ansible_collections.dualwrite.rollback.tests.lab.objects import Objects

    with contextlib.ExitStack() as undo:
        made = Objects(_folder(undo))
        undo.callback(made.stop)
        yield made.start()


class Shop:
    """One database with a few tables, its backups in a folder, and the modules' steps as a user calls them."""

    def __init__(self, server: Any, folder: Path, rows: int) -> None:
        from ansible_collections.dualwrite.rollback.tests.lab.postgres import USER

        self.server, self.backups, self.user = server, folder, USER
        self.name = f"shop_{next(_NUMBERS)}"
        self.bin_dir = str(server.programs)
        folder.mkdir(exist_ok=True)
        self.admin("postgres", f"CREATE DATABASE {self.name} OWNER {USER}")
        self.sql(SHOP.format(rows=rows))

    @property
    def login(self) -> dict[str, Any]:
        """The connection options."""
        return {
            "login_host": "127.0.0.1",
            "login_port": self.server.port,
            "login_user": self.user,
            "login_password": self.server.password_file.read_text().strip(),
            "login_db": self.name,
        }

    def sql(self, statements: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run SQL as the application's user."""
        return self._run(self.server.connect(database=database or self.name), statements)

    def admin(self, database: str, statements: str) -> list[tuple[Any, ...]]:
        """Run SQL as the superuser."""
        return self._run(self.server.connect(admin=True, database=database), statements)

    def _run(self, link: Any, statements: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(link), link.cursor() as cursor:
            cursor.execute(statements)
            return list(cursor.fetchall()) if cursor.description else []

    def databases(self) -> list[str]:
        """The databases of this shop: its own and those that restores have made of it."""
        like = self.name.replace("_", r"\_")
        rows = self.admin("postgres", f"SELECT datname FROM pg_database WHERE datname ~ '^{like}(_|$)' ORDER BY 1")
        return [name for (name,) in rows]

    def teams(self) -> int:
        """How many teams there are."""
        return int(self.sql("SELECT count(*) FROM teams")[0][0])

    def dump(self, name: str, *arguments: str) -> Path:
        """Make a backup with pg_dump, as an operator does."""
        path = self.backups / name
        argv = [f"{self.bin_dir}/pg_dump", "-h", "127.0.0.1", "-p", str(self.server.port), "-U", self.user]
        environ = {**os.environ, "PGPASSWORD": self.login["login_password"]}
        subprocess.run([*argv, "-f", str(path), *arguments, self.name], env=environ, check=True)
        return path

    def options(self, module: str, more: dict[str, Any]) -> dict[str, Any]:
        """What a module has as its parameters."""
        # where only a target's libraries are installed there is no Ansible to import
        from ansible_collections.dualwrite.rollback.plugins.modules import backup_info as info_module
        from ansible_collections.dualwrite.rollback.plugins.modules import backup_restore as restore_module

        spec = {"backup_info": info_module.SPEC, "backup_restore": restore_module.SPEC}[module]
        given = {name: option.get("default") for name, option in spec["argument_spec"].items()}
        own = {"store": {"folder": str(self.backups)}, "bin_dir": self.bin_dir, "on_old_client": "warn"}
        own |= {} if module == "backup_info" else self.login
        return {**given, **own, **more}

    def restore(self, check: bool = False, **more: Any) -> dict[str, Any]:
        """Call backup_restore."""
        return backup_restore(self.options("backup_restore", more), check=check)

    def info(self, **more: Any) -> dict[str, Any]:
        """Call backup_info."""
        return backup_info(self.options("backup_info", more))


@contextlib.contextmanager
def _shop(server: Any, folder: Path) -> Iterator[Shop]:
    made = Shop(server, folder, 200)
    try:
        yield made
    finally:
        for name in made.databases():
            made.admin("postgres", f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def shop(server: Any, tmp_path: Path) -> Iterator[Shop]:
    """A database of 200 teams."""
    with _shop(server, tmp_path / "backups") as made:
        yield made


@pytest.fixture
def debian_shop(debian_server: Any, tmp_path: Path) -> Iterator[Shop]:
    """The same on Debian's server, by Debian's programs; its backups are in the folder of the shop's."""
    with _shop(debian_server, tmp_path / "backups") as made:
        yield made


@pytest.fixture
def dump(shop: Shop) -> Callable[..., Path]:
    """Make a backup of the shop."""
    return shop.dump
