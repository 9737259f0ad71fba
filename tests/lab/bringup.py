"""Start all parts of a lab that do not run, in the order that is quickest, and describe the result."""

import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import parts, processes
from .postgres import DATABASE, USER, Postgres, binaries, write_secret
from .waiting import LabError, wait_until
from .workloads import MATCH, Paths, write_env_file, write_scripts


def start_all(name: str, paths: Paths, postgres: Postgres, reload: bool, knobs: dict[str, str]) -> dict[str, Any]:
    """Start what does not run and return the lab's state.

    Prometheus starts beside PostgreSQL, web beside the migrations. Raise LabError when a part does not become ready.
    """
    fresh = not processes.of_lab(paths.dir)
    if fresh:
        paths.env_file.unlink(missing_ok=True)
        shutil.rmtree(paths.run_dir, ignore_errors=True)
    for folder in (paths.run_dir, paths.run_dir / "metrics", paths.log_dir):
        folder.mkdir(exist_ok=True)
    web_port = _web_port(paths)
    prometheus_port = _start_prometheus(paths, web_port) if parts.has_prometheus() else None
    _start_postgres(postgres)
    write_scripts(paths, reload, knobs)
    if not paths.env_file.exists():
        write_env_file(paths, postgres, web_port)
    url = f"http://127.0.0.1:{web_port}"
    with ThreadPoolExecutor() as pool:
        web = pool.submit(parts.start_web, paths)
        migrated = pool.submit(parts.run_script, paths, "manage", "migrate", "--verbosity=0")
        web.result()
        migrated.result()
        worker = pool.submit(parts.start_worker, paths)
        parts.await_web(paths, url)
        worker.result()
    if prometheus_port:
        ready = f"http://127.0.0.1:{prometheus_port}/-/ready"
        wait_until(lambda: (parts.get(ready) or (0,))[0] == 200, f"Prometheus answers at {ready}")
    return _describe(name, paths, postgres, url, prometheus_port)


def _web_port(paths: Paths) -> int:
    """Return the port in the env file, or a free one when there is no env file yet."""
    if not paths.env_file.exists():
        return parts.free_port()
    found = re.search(r"^WEB_BIND=.*:(\d+)", paths.env_file.read_text(), re.MULTILINE)
    if found is None:
        raise LabError(f"{paths.env_file} has no WEB_BIND=<host>:<port>; take the lab down and up again")
    return int(found[1])


def _start_prometheus(paths: Paths, web_port: int) -> int:
    """Start Prometheus unless it runs; return its port."""
    process = parts.running(paths, "prometheus")
    if process:
        return int(process.command.partition("--web.listen-address=127.0.0.1:")[2].split()[0])
    port = parts.free_port()
    parts.start_prometheus(paths, port, web_port)
    return port


def _start_postgres(postgres: Postgres) -> None:
    """Start PostgreSQL; try another port when the first is taken between our look and its start."""
    for last in (False, False, True):
        try:
            return postgres.start(parts.free_port())
        except LabError as error:
            if last or "Address already in use" not in str(error):
                raise


def _describe(name: str, paths: Paths, postgres: Postgres, url: str, prometheus_port: int | None) -> dict[str, Any]:
    """Return what state.json says about a running lab."""
    pgpass = paths.dir / "secrets" / "pgpass"
    secret = postgres.password_file.read_text().strip()
    write_secret(pgpass, f"*:{postgres.port}:*:{USER}:{secret}\n")
    workloads = {
        workload: {
            "pidfile": str(paths.pidfile(workload)),
            "log": str(paths.log_dir / f"{workload}.log"),
            "start_command": [str(paths.script(f"start-{workload}"))],
            "cmdline_match": match,
        }
        for workload, match in MATCH.items()
    }
    workloads["web"]["url"] = url
    prometheus = {"url": f"http://127.0.0.1:{prometheus_port}", "pidfile": str(paths.pidfile("prometheus"))}
    return {
        "name": name,
        "dir": str(paths.dir),
        "python": sys.executable,
        "env_file": str(paths.env_file),
        "run_dir": str(paths.run_dir),
        "log_dir": str(paths.log_dir),
        "database": {
            "host": "127.0.0.1",
            "port": postgres.port,
            "dbname": DATABASE,
            "user": USER,
            "password_file": str(postgres.password_file),
            "pgpass_file": str(pgpass),
            "socket_dir": str(postgres.socket_dir),
            "bin_dir": str(binaries()),
        },
        **workloads,
        "token_file": str(paths.token_file),
        "manage_command": [str(paths.script("manage"))],
        "prometheus": prometheus if prometheus_port else None,
        "traffic": None,
        "processes": [
            {"pid": process.pid, "start_time": process.start_time, "command": process.command}
            for process in processes.of_lab(paths.dir)
        ],
    }
