"""Restores of a size: pg_restore itself, the runbook's download, gunzip and psql, the module, and their outages."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.backup_restore import backup_restore
from ansible_collections.dualwrite.rollback.plugins.modules.backup_restore import SPEC
from tests.lab.objects import BUCKET, Objects
from tests.lab.parts import free_port
from tests.lab.postgres import USER, Postgres, binaries

from .arms import PEAK

LIVE = "bench"
#: bytes of one row and its index entries, about
ROW = 420
MAKE = """
CREATE TABLE teams (id bigserial PRIMARY KEY, name text NOT NULL, note text);
CREATE TABLE members (id bigserial PRIMARY KEY, team_id bigint NOT NULL REFERENCES teams, role text);
INSERT INTO teams (name, note)
SELECT 'team ' || i, md5(i::text) || md5((i * 7)::text) || md5((i * 11)::text) || repeat(md5((i % 97)::text), 4)
FROM generate_series(1, {rows}) i;
INSERT INTO members (team_id, role) SELECT 1 + i % {rows}, 'player' FROM generate_series(1, {rows}) i;
CREATE INDEX ON teams (name);
CREATE INDEX ON members (team_id);
"""
STEP = (
    """
import json, sys
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.backup_restore import backup_restore
backup_restore(json.load(sys.stdin))
"""
    + PEAK
)
Arm = Callable[[], None]


class Restores:
    """One server, one store, one database of ``megabytes`` with its backups in both."""

    def __init__(self, megabytes: int, folder: Path) -> None:
        self.megabytes, self.folder = megabytes, folder
        self.server = Postgres(folder)
        self.objects = Objects(folder)
        self.backups = folder / "backups"
        self.outages: dict[str, list[float]] = {"runbook": [], "module": []}

    def up(self) -> None:
        """Start both, fill the database and back it up as an archive and as gzipped SQL."""
        self.start(MAKE.format(rows=self.megabytes * 1_000_000 // ROW))
        self.run("pg_dump", "-Fc", "-Z1", "-f", str(self.backups / "bench.dump"), LIVE)
        self.run("pg_dump", "-f", str(self.backups / "bench.sql"), LIVE)
        subprocess.run(["gzip", "-1", str(self.backups / "bench.sql")], check=True)
        self.upload()

    def start(self, make: str) -> None:
        """Start both, and make the database by these statements."""
        self.backups.mkdir()
        self.server.start(free_port())
        self.objects.start()
        self.sql("postgres", f"ALTER ROLE {USER} CREATEDB")
        self.sql("postgres", f"CREATE DATABASE {LIVE} OWNER {USER}")
        secret = self.server.password_file.read_text().strip()
        self.environ = {
            **os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(self.server.port), "PGUSER": USER, "PGPASSWORD": secret,
        }  # fmt: skip
        self.run("psql", "-qX", "-c", make, LIVE)

    def upload(self) -> None:
        """Have all backups on S3 as well."""
        for path in self.backups.iterdir():
            self.objects.client().upload_file(str(path), BUCKET, path.name)

    def down(self) -> None:
        """End both."""
        self.server.stop()
        self.objects.stop()

    def sql(self, database: str, statement: str) -> None:
        """Run SQL as the superuser."""
        with contextlib.closing(self.server.connect(admin=True, database=database)) as link:
            link.cursor().execute(statement)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs."""
        subprocess.run([str(binaries() / program), *arguments], env=self.environ, check=True, stdout=subprocess.DEVNULL)

    def options(self, store: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """Return the module's options."""
        given = {name: option.get("default") for name, option in SPEC["argument_spec"].items()}
        own = {
            "login_host": "127.0.0.1", "login_port": self.server.port, "login_user": USER, "login_db": LIVE,
            "login_password": self.environ["PGPASSWORD"], "bin_dir": str(binaries()), "on_old_client": "warn",
            "store": dict(store), "timeout": 3600,
        }  # fmt: skip
        return {**given, **own, **more}

    def module(self, store: Mapping[str, Any], **more: Any) -> None:
        """Call the module's step, as Ansible would."""
        backup_restore(self.options(store, **more))

    def clean(self) -> None:
        """Drop what the arms have made."""
        with contextlib.closing(self.server.connect(admin=True, database="postgres")) as link, link.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE datname ~ '^bench.+'")
            for (name,) in cursor.fetchall():
                cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    # -- the arms

    def limit(self) -> None:
        """PostgreSQL's own program from a file on this host, on all cores, and the statistics."""
        self.run("createdb", "bench_limit")
        self.run("pg_restore", "-j", str(os.cpu_count() or 1), "-d", "bench_limit", str(self.backups / "bench.dump"))
        self.run("psql", "-qX", "-c", "ANALYZE", "bench_limit")

    def verified(self) -> None:
        """The module from the same file, with all that it verifies."""
        self.module({"folder": str(self.backups)}, backup="bench.dump", state="loaded")

    def during(self) -> None:
        """The module from the same file, verified while it loads."""
        self.module({"folder": str(self.backups)}, backup="bench.dump", state="loaded", verification="during")

    def runbook(self) -> None:
        """What the page says, but into an empty database: into a full one it restores nothing. All of it is outage."""
        begun = time.monotonic()
        target = self.folder / "downloaded.sql.gz"
        self.objects.client().download_file(BUCKET, "bench.sql.gz", str(target))
        subprocess.run(["gunzip", "-f", str(target)], check=True)
        self.run("createdb", "bench_runbook")
        self.run("psql", "-qX", "-f", str(target.with_suffix("")), "bench_runbook")
        target.with_suffix("").unlink()
        self.outages["runbook"].append(time.monotonic() - begun)

    def from_s3(self, verification: str = "before") -> None:
        """The module from S3 with the exchange."""
        self.module(self.objects.store(), backup="bench.dump", verification=verification)

    # -- what is measured apart from the arms, which would wait for it

    def outage(self) -> None:
        """The same once more while a client asks; the outage is what it sees."""
        stop, seen = threading.Event(), [0.0]
        users = threading.Thread(target=self._ask, args=(stop, seen))
        users.start()
        try:
            self.from_s3()
        finally:
            stop.set()
            users.join()
        self.outages["module"].append(seen[0])

    def memory(self, backup: str = "bench.dump") -> float:
        """Return the most memory in MB that a process of its own takes for the whole restore from S3."""
        given = json.dumps(self.options(self.objects.store(), backup=backup))
        argv = [sys.executable, "-c", STEP]
        done = subprocess.run(argv, input=given, stdout=subprocess.PIPE, check=True, text=True)
        return int(done.stdout) / 1024

    def _ask(self, stop: threading.Event, worst: list[float]) -> None:
        """Ask every 5 ms, connect again when that fails, and keep the longest time without an answer."""
        import psycopg2

        last = time.monotonic()
        link = None
        while not stop.is_set():
            try:
                link = link or self.server.connect(database=LIVE)
                with link.cursor() as cursor:
                    cursor.execute("SELECT 1")
                worst[0] = max(worst[0], time.monotonic() - last)
                last = time.monotonic()
                time.sleep(0.005)
            except psycopg2.Error:
                link = None


def measured(megabytes: int, times: int) -> dict[str, Any]:
    """Time all arms in turn for one size; return seconds by arm, outages, and the module's memory in MB."""
    with tempfile.TemporaryDirectory(prefix="dualwrite-bench-", dir="/var/tmp") as name:
        os.chmod(name, 0o755)
        bench = Restores(megabytes, Path(name))
        arms: dict[str, Arm] = {
            "limit": bench.limit, "verified": bench.verified, "during": bench.during, "runbook": bench.runbook,
            "from S3": bench.from_s3, "from S3, during": lambda: bench.from_s3("during"),
        }  # fmt: skip
        seconds: dict[str, list[float]] = {arm: [] for arm in arms}
        try:
            bench.up()
            for dummy in range(times):
                for arm, act in arms.items():
                    bench.clean()
                    begun = time.monotonic()
                    act()
                    seconds[arm].append(time.monotonic() - begun)
                bench.clean()
                bench.outage()
            bench.clean()
            memory = bench.memory()
        finally:
            bench.down()
            shutil.rmtree(bench.backups, ignore_errors=True)
    return {"seconds": seconds, "outages": bench.outages, "memory": memory}


HEAD = """# Benchmark of restores

Made by `make bench`. The same database by each way in turn, from backups made by `pg_dump`.

- **pg_restore -j**: on all cores, from a file on the machine, then `ANALYZE`.
- **before**, **during**: the step of `backup_restore` from the same file, verified before or while it is loaded: either
  way the archive's contents are listed first, and a damaged one is never exchanged. Before means that the whole archive
  is decompressed once more, a table per core.
- **runbook**: download, `gunzip` and `psql`, into an empty database. All of it is outage.
- **S3, before**, **S3, during**: the step from S3, with the exchange.

The exchange's outage is the longest time that a client which asks every 5 ms waits for an answer during a restore from
S3; memory is that of a process which does the whole of it, at its most. Both are measured apart from the seconds.
"""
COLUMNS = ("database", "pg_restore -j", "before", "during", "runbook", "S3, before", "S3, during")
RATIOS = (("verified", "limit"), ("during", "limit"), ("from S3", "runbook"), ("from S3, during", "runbook"))


def table(found: Mapping[int, Mapping[str, Any]]) -> str:
    """Return two tables, of seconds and of ratios; ``found`` is by megabytes what ``measured`` has returned."""
    seconds, ratios = [_row(COLUMNS), _row(["---"] * len(COLUMNS))], []
    for size, one in found.items():
        seconds.append(_row([f"{size} MB", *(f"{median(times):.1f} s" for times in one["seconds"].values())]))
        paired = [zip(one["seconds"][arm], one["seconds"][other], strict=True) for arm, other in RATIOS]
        outages = [f"{median(one['outages'][arm]):.2f} s" for arm in ("runbook", "module")]
        told = [f"{median(first / second for first, second in pairs):.2f}" for pairs in paired]
        ratios.append(_row([f"{size} MB", *told, *outages, f"{one['memory']:.0f} MB"]))
    head = ["database", "before / pg_restore", "during / pg_restore", "S3, before / runbook", "S3, during / runbook"]
    head += ["outage: runbook", "outage: exchange", "memory"]
    return "\n".join([*seconds, "", _row(head), _row(["---"] * len(head)), *ratios])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(table({int(size): measured(int(size), 1) for size in sys.argv[1:]}))
