"""Removing test data: the runbook's SQL by psql beside the module's step, on clones of one database in turn."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.postgres import USER, Postgres, binaries
from tests.support.play import ROOT

from .arms import PEAK
from .page import ratio, told

TEMPLATE = "bench_template"
SCHEMA = """
CREATE TABLE organizations_team (id serial PRIMARY KEY, name varchar(200) NOT NULL, slug varchar(220) NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE organizations_teammembership (id serial PRIMARY KEY, user_id int NOT NULL, role varchar(20) NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), team_id int NOT NULL);
CREATE TABLE teams_team (id uuid PRIMARY KEY, name varchar(200) NOT NULL, is_active boolean NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE teams_teammembership (id serial PRIMARY KEY, user_id int NOT NULL, role varchar(20) NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), team_id uuid NOT NULL);
CREATE TABLE organizations_teammigrationmap (id serial PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT now(),
  legacy_team_id uuid NOT NULL, vnext_team_id int NOT NULL);
INSERT INTO organizations_team (id, name, slug)
  SELECT n, CASE WHEN n <= {rows} THEN 'Staging Test ' ELSE 'Team ' END || n, 'team-' || n
  FROM generate_series(1, {all}) n;
INSERT INTO organizations_teammembership (user_id, role, team_id)
  SELECT n, 'owner', n FROM generate_series(1, {all}) n;
INSERT INTO teams_team (id, name, is_active) SELECT md5(id::text)::uuid, name, true FROM organizations_team;
INSERT INTO teams_teammembership (user_id, role, team_id) SELECT n, 'owner', md5(n::text)::uuid
  FROM generate_series(1, {all}) n;
INSERT INTO organizations_teammigrationmap (legacy_team_id, vnext_team_id) SELECT md5(n::text)::uuid, n
  FROM generate_series(1, {all}) n;
CREATE INDEX ON organizations_teammembership (team_id);
CREATE INDEX ON teams_teammembership (team_id);
CREATE INDEX ON organizations_teammigrationmap (vnext_team_id);
CREATE INDEX ON organizations_teammigrationmap (legacy_team_id);
ALTER TABLE organizations_teammembership ADD FOREIGN KEY (team_id) REFERENCES organizations_team
  DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE teams_teammembership ADD FOREIGN KEY (team_id) REFERENCES teams_team DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE organizations_teammigrationmap ADD FOREIGN KEY (vnext_team_id) REFERENCES organizations_team
  DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE organizations_teammigrationmap ADD FOREIGN KEY (legacy_team_id) REFERENCES teams_team
  DEFERRABLE INITIALLY DEFERRED;
"""
#: the statements of the runbook's page (find, delete, look again), with the ids that its reader puts in
PASTED = """\\set ON_ERROR_STOP on
SELECT ot.id AS vnext_id, ot.name, ot.slug, otm.legacy_team_id, ot.created_at
  FROM organizations_team ot LEFT JOIN organizations_teammigrationmap otm ON ot.id = otm.vnext_team_id
  WHERE ot.name LIKE '%Staging Test%' OR ot.name LIKE '%Test Team%' ORDER BY ot.created_at DESC;
BEGIN;
DELETE FROM organizations_teammembership WHERE team_id IN ({ids});
DELETE FROM teams_teammembership WHERE team_id IN ({legacy});
DELETE FROM organizations_teammigrationmap WHERE vnext_team_id IN ({ids});
DELETE FROM teams_team WHERE id IN ({legacy});
DELETE FROM organizations_team WHERE id IN ({ids});
SELECT (SELECT count(*) FROM organizations_team WHERE id IN ({ids})) AS vnext_left,
  (SELECT count(*) FROM teams_team WHERE id IN ({legacy})) AS legacy_left,
  (SELECT count(*) FROM organizations_teammigrationmap WHERE vnext_team_id IN ({ids})) AS mappings_left;
COMMIT;
SELECT count(*) AS test_teams_left FROM organizations_team
  WHERE name LIKE '%Staging Test%' OR name LIKE '%Test Team%';
SELECT count(*) AS orphans FROM organizations_teammigrationmap otm
  LEFT JOIN organizations_team ot ON otm.vnext_team_id = ot.id LEFT JOIN teams_team tt ON otm.legacy_team_id = tt.id
  WHERE ot.id IS NULL OR tt.id IS NULL;
"""
MATCH = {"patterns": [{"column": "name", "like": "Staging Test%"}]}
MAPPING = {
    "table": "organizations_teammigrationmap",
    "root_column": "vnext_team_id",
    "linked_column": "legacy_team_id",
}
STEP = (
    """
import json, sys, time
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.sql_cleanup import sql_cleanup
begun = time.monotonic()
sql_cleanup(json.load(sys.stdin))
print(time.monotonic() - begun)
"""
    + PEAK
)


@dataclass
class Arm:
    """One way: seconds of each round, those of the step in it, and the most memory that its process took, in MiB."""

    seconds: list[float] = field(default_factory=list)
    step: list[float] = field(default_factory=list)
    memory: float = 0.0


class Cleanups:
    """A server with a database of so many teams of the test and as many others, cloned for each arm."""

    def __init__(self, rows: int, folder: Path, port: int) -> None:
        self.rows = rows
        self.folder = folder
        self.server = Postgres(folder)
        self.server.start(port)
        self.passfile = folder / "passfile"
        self.passfile.write_text(f"127.0.0.1:*:*:{USER}:{self.server.password_file.read_text().strip()}\n")
        self.passfile.chmod(0o600)
        self._admin(f"DROP DATABASE IF EXISTS {TEMPLATE}")
        self._admin(f"CREATE DATABASE {TEMPLATE} OWNER {USER}")
        with closing(self.server.connect(database=TEMPLATE)) as link, link.cursor() as cursor:
            cursor.execute(SCHEMA.replace("{rows}", str(rows)).replace("{all}", str(2 * rows)))
            cursor.execute("VACUUM ANALYZE")
        self.pasted = folder / "pasted.sql"
        ids = ",".join(map(str, range(1, rows + 1)))
        with closing(self.server.connect(database=TEMPLATE)) as link, link.cursor() as cursor:
            listed = "string_agg(quote_literal(md5(n::text)::uuid::text), ',')"
            cursor.execute(f"SELECT {listed} FROM generate_series(1, %s) n", (rows,))
            self.pasted.write_text(PASTED.replace("{ids}", ids).replace("{legacy}", cursor.fetchone()[0]))

    def close(self) -> None:
        """Stop the server."""
        self.server.stop()

    def rounds(self, number: int) -> dict[str, Arm]:
        """Time every arm so often, in turn, each on a fresh clone; raise AssertionError when one left a row."""
        arms = {name: Arm() for name in ("runbook", "without archive", "with archive")}
        ways: dict[str, Callable[[str], list[str]]] = {
            "runbook": self._psql,
            "without archive": lambda name: self._step(name, archive=False),
            "with archive": lambda name: self._step(name, archive=True),
        }
        for dummy in range(number):
            for name, arm in arms.items():
                clone = f"bench_{uuid.uuid4().hex[:8]}"
                self._admin(f"CREATE DATABASE {clone} TEMPLATE {TEMPLATE} OWNER {USER} STRATEGY file_copy")
                try:
                    seconds, step, memory = self._timed(ways[name](clone))
                    arm.seconds.append(seconds)
                    arm.step.append(step)
                    arm.memory = max(arm.memory, memory)
                    self._need_clean(clone, name)
                finally:
                    self._admin(f"DROP DATABASE {clone} WITH (FORCE)")
                    shutil.rmtree(self.folder / "archives", ignore_errors=True)
        return arms

    def memory(self) -> float:
        """Return the most memory in MiB that a process of its own takes to clean up once, with an archive.

        It is the template that is cleaned up: nothing can be timed afterwards.
        """
        memory = self._timed(self._step(TEMPLATE, archive=True))[2]
        self._need_clean(TEMPLATE, "a cleanup with archive")
        return memory

    def _psql(self, name: str) -> list[str]:
        options = ["-X", "-q", "-o", "/dev/null", "-h", "127.0.0.1", "-p", str(self.server.port), "-U", USER]
        return [str(binaries() / "psql"), *options, "-d", name, "-f", str(self.pasted)]

    def _step(self, name: str, archive: bool) -> list[str]:
        given: dict[str, Any] = {
            "login_host": "127.0.0.1", "login_port": self.server.port, "login_user": USER, "login_db": name,
            "passfile": str(self.passfile), "timeout": 7200, "lock_timeout": 2, "retries": 0,
            "root": {"table": "organizations_team", "match": MATCH},
            "tables": ["organizations_teammembership", "teams_teammembership"],
            "linked": [{"table": "teams_team", "through": MAPPING, "match": MATCH}],
            "guards": {"max_rows": 100_000_000, "max_share": 1},
            "without_archive": not archive, "archives": str(self.folder / "archives"),
        }  # fmt: skip
        given_file = self.folder / "given.json"
        given_file.write_text(json.dumps(given))
        return [sys.executable, "-c", STEP.replace("sys.stdin", f"open({str(given_file)!r})")]

    def _timed(self, argv: Sequence[str]) -> tuple[float, float, float]:
        env = {**os.environ, "PGPASSFILE": str(self.passfile),
               "PYTHONPATH": str(ROOT / ".cache" / "collections")}  # fmt: skip
        begun = time.monotonic()
        done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, check=True, text=True)
        seconds = time.monotonic() - begun
        step, memory = done.stdout.split() or (seconds, 0)  # psql tells nothing of itself
        return seconds, float(step), int(memory) / 1024

    def _need_clean(self, clone: str, name: str) -> None:
        with closing(self.server.connect(database=clone)) as link, link.cursor() as cursor:
            for table in ("organizations_team", "organizations_teammembership", "teams_team", "teams_teammembership",
                          "organizations_teammigrationmap"):  # fmt: skip
                cursor.execute(f"SELECT count(*) FROM {table}")
                left = cursor.fetchone()[0]
                assert left == self.rows, f"{name} left {left} of {2 * self.rows} rows in {table}"

    def _admin(self, query: str) -> None:
        with closing(self.server.connect(admin=True, database="postgres")) as link, link.cursor() as cursor:
            cursor.execute(query)


def measured(numbers: Sequence[int], times: int, port: int) -> dict[int, dict[str, Arm]]:
    """Time all arms for each number of root rows."""
    found = {}
    for rows in numbers:
        folder = Path(tempfile.mkdtemp(prefix="dualwrite-bench-"))
        cleanups = None
        try:
            cleanups = Cleanups(rows, folder, port)
            found[rows] = cleanups.rounds(times)
        finally:
            with suppress(Exception):
                cleanups.close() if cleanups else None
            shutil.rmtree(folder, ignore_errors=True)
    return found


HEAD = """# Benchmark of the cleanup

Made by `make bench`. As many teams of a test as the first column says, and as many others; each has one membership, a
legacy team, its membership and a mapping, so that five times as many rows go. Every round runs the three ways in turn,
each on a fresh clone of the same database; seconds are median (lowest to highest), a ratio is that of one round.

- **runbook**: the statements of the page's three steps, by psql: find, delete with every id in its place in one
  transaction, look again. That a person copies the ids from the first into the second takes no time here.
- **module**: the step of `sql_cleanup` in a process of its own: finds and locks the rows, guards, deletes, looks again,
  commits; without and with an archive on the disk.

The step alone is what the module does once Python has started and has read the code: a tenth of a second, however many
teams there are. Most of the rest, and more of the runbook's, is the server's look at deferred foreign keys.
"""


def table(found: Mapping[int, Mapping[str, Arm]]) -> str:
    """Return two tables of what was measured, of seconds and of ratios."""
    names = ("without archive", "with archive")
    seconds = ["| teams | runbook | module, without archive | module, with archive |", "| --- | --- | --- | --- |"]
    ratios = [
        "| teams | without archive / runbook | its step alone | with archive / runbook | its step alone | memory |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for rows, arms in found.items():
        base = arms["runbook"].seconds
        seconds.append(f"| {rows} | {' | '.join(told(arms[name].seconds) for name in ('runbook', *names))} |")
        pairs = [ratio(times, base) for name in names for times in (arms[name].seconds, arms[name].step)]
        cells = " | ".join(f"{one:.2f}" for one in pairs)
        ratios.append(f"| {rows} | {cells} | {arms['with archive'].memory:.0f} MiB |")
    return "\n".join([*seconds, "", *ratios])
