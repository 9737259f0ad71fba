"""One lab: bring it up, look at it, disturb it, take it down."""

import contextlib
import fcntl
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import parts, processes
from . import traffic as users
from .bringup import start_all
from .postgres import Postgres, write_secret
from .waiting import LabError
from .workloads import MATCH, Paths

ROOT = Path(__file__).resolve().parents[2]
TABLES = (
    "organizations_team",
    "organizations_teammembership",
    "organizations_teammigrationmap",
    "teams_team",
    "teams_teammembership",
)
BREAK = """
CREATE OR REPLACE FUNCTION lab_refuse() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION 'the legacy database refuses writes'; END $$;
CREATE OR REPLACE TRIGGER lab_refuse BEFORE INSERT OR UPDATE ON teams_team
FOR EACH STATEMENT EXECUTE FUNCTION lab_refuse();
"""
LAST_DUAL_WRITE = """
SELECT max(greatest(l.created_at, l.updated_at, m.created_at))
FROM teams_team l JOIN organizations_teammigrationmap m ON m.legacy_team_id = l.id
"""


class Lab:
    """A lab in one folder.

    `reload` says whether the application reads its env file again at SIGHUP. `knobs` are further environment
    variables of web and worker: LAB_WORKER_IGNORE_HUP=1 (the worker ignores SIGHUP altogether),
    LAB_STUBBORN_WORKER=1 (the first web worker survives a reload, with its old flags).
    """

    def __init__(
        self,
        name: str = "default",
        dir: str | Path | None = None,
        reload: bool = True,
        knobs: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.dir = Path(dir or ROOT / ".lab" / name).absolute()
        self.paths = Paths(self.dir)
        self.postgres = Postgres(self.dir)
        self.reload = reload
        self.knobs = dict(knobs or {})

    # -- up, down, status

    def up(self, traffic: float | None = None) -> "Lab":
        """Start every part that does not run, wait until all are ready, and write state.json.

        A lab of which nothing runs gets a new env file, with dual-write on. Raise LabError, naming the part and its
        log, when one does not become ready; `down` cleans up then too.
        """
        self.dir.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if not all(part["up"] for part in self.status().values()):
                self._save(start_all(self.name, self.paths, self.postgres, self.reload, self.knobs))
            if traffic:
                state = self.state
                state["traffic"] = {
                    "log": str(self.paths.log_dir / "traffic.jsonl"),
                    "pidfile": str(self.paths.pidfile("traffic")),
                }
                self._save(state)
                parts.start_traffic(self.paths, traffic)
        return self

    def down(self, wipe: bool = False) -> None:
        """End every process of the lab, users first and database last; remove the state, or with `wipe` all of it.

        Raise LabError when a process can't be ended.
        """
        if not self.dir.exists():
            return
        with self._locked():
            users_process = parts.running(self.paths, "traffic")
            if users_process:
                processes.end([users_process])
            data = str(self.postgres.data)
            while clients := [member for member in processes.of_lab(self.dir) if data not in member.command]:
                processes.end(clients)
            self.postgres.stop()
            processes.end(processes.of_lab(self.dir))
            (self.dir / "state.json").unlink(missing_ok=True)
            shutil.rmtree(self.paths.run_dir, ignore_errors=True)
        if wipe:
            shutil.rmtree(self.dir)

    def status(self) -> dict[str, dict[str, Any]]:
        """Return part -> {"up": bool, "pid": int or None} for the parts that this lab should have."""
        try:
            state = self.state
        except LabError:
            state = {}
        found: dict[str, processes.Process | None] = {"postgres": self.postgres.process()}
        for workload in MATCH:
            found[workload] = parts.running(self.paths, workload)
        if state.get("prometheus") or (not state and parts.has_prometheus()):
            found["prometheus"] = parts.running(self.paths, "prometheus")
        if state.get("traffic"):
            found["traffic"] = parts.running(self.paths, "traffic")
        known = {part: {"up": process is not None, "pid": process and process.pid} for part, process in found.items()}
        known["state"] = {"up": bool(state), "pid": None}
        return known

    def __enter__(self) -> "Lab":
        try:
            return self.up()
        except BaseException:
            self.down()
            raise

    def __exit__(self, *failure: object) -> None:
        self.down()

    @property
    def state(self) -> dict[str, Any]:
        """What state.json says. Raise LabError when the lab is not up."""
        try:
            return json.loads((self.dir / "state.json").read_text())
        except FileNotFoundError:
            raise LabError(f"no lab is up in {self.dir}: `python -m tests.lab up --dir {self.dir}`") from None

    # -- look

    @property
    def url(self) -> str:
        """The address of the application."""
        return self.state["web"]["url"]

    @property
    def token(self) -> str:
        """The token that the application's API wants."""
        return self.paths.token_file.read_text().strip()

    def sql(self, query: str, values: Any = None) -> list[tuple[Any, ...]]:
        """Run one statement as the application's user and return its rows."""
        with contextlib.closing(self.postgres.connect()) as link, link.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    def counts(self) -> dict[str, int]:
        """Return the number of rows of each of the five tables, all of one moment."""
        row = self.sql("SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in TABLES))[0]
        return dict(zip(TABLES, row, strict=True))

    def last_dual_write(self) -> datetime | None:
        """Return the database's time of the last legacy row made or changed by dual write, None without any."""
        when = self.sql(LAST_DUAL_WRITE)[0][0]
        return when and when.astimezone(UTC)

    def instances(self) -> list[dict[str, Any]]:
        """Return pid, start_time and flags of every live process of the application, as each of them tells."""
        return parts.instances(self.paths)

    def lines(self, workload: str) -> list[dict[str, Any]]:
        """Return the log lines of `web` or `worker` since the last rotation."""
        log = self.paths.log_dir / f"{workload}.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def traffic_summary(self, since: datetime | None = None) -> dict[str, Any]:
        """Return what the traffic process has seen so far, or of the requests sent since then."""
        seen = users.read(self.paths.log_dir / "traffic.jsonl")
        return users.summary(line for line in seen if since is None or datetime.fromisoformat(line["time"]) >= since)

    def request(self, method: str, path: str, body: Any = None, token: str | None = "") -> tuple[int, Any]:
        """Send one request, by default with the lab's token (None: without any); return status and JSON."""
        request = urllib.request.Request(self.url + path, method=method)
        if token is not None:
            request.add_header("Authorization", f"Token {token or self.token}")
        if body is not None:
            request.data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    # -- disturb

    def break_legacy(self) -> None:
        """Make every insert and update of a legacy team fail."""
        self.sql(BREAK)

    def mend_legacy(self) -> None:
        """Take that back."""
        self.sql("DROP TRIGGER IF EXISTS lab_refuse ON teams_team")

    def set_unhealthy(self, unhealthy: bool) -> None:
        """Let /health/ answer 200 with the body of an unhealthy process, or the truth again."""
        if unhealthy:
            self.paths.unhealthy_file.touch()
        else:
            self.paths.unhealthy_file.unlink(missing_ok=True)

    def rotate_logs(self) -> list[Path]:
        """Rename web.log and worker.log as logrotate does, and return the new names."""
        moved = []
        for log in (self.paths.log_dir / "web.log", self.paths.log_dir / "worker.log"):
            if log.exists():
                number = 1 + len(list(log.parent.glob(f"{log.name}.*")))
                moved.append(log.rename(log.with_name(f"{log.name}.{number}")))
        return moved

    def set_env(self, **values: str) -> None:
        """Replace values in the env file, without telling any process."""
        lines = self.paths.env_file.read_text().splitlines()
        kept = [line for line in lines if line.partition("=")[0] not in values]
        text = "\n".join(kept + [f"{name}={value}" for name, value in values.items()])
        write_secret(self.paths.env_file, text + "\n")

    def send(self, workload: str, number: int) -> None:
        """Send a signal to the main process of `web` or `worker`. Raise LabError when it does not run."""
        process = parts.running(self.paths, workload)
        if process is None:
            raise LabError(f"{workload} does not run")
        process.send(number)

    def stop(self, workload: str) -> None:
        """End `web` or `worker`, as an operator would, and wait for its end."""
        process = parts.running(self.paths, workload)
        if process:
            processes.end([process])

    def start(self, workload: str) -> None:
        """Start `web` or `worker` and wait until it is ready."""
        if workload == "web":
            parts.start_web(self.paths)
            parts.await_web(self.paths, self.url)
        else:
            parts.start_worker(self.paths)

    # -- inside

    def _save(self, state: dict[str, Any]) -> None:
        write_secret(self.dir / "state.json", json.dumps(state, indent=2) + "\n")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one `up` or `down` at a time work on this lab."""
        with (self.dir / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
