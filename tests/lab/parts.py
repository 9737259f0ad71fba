"""Start the parts of a lab that are plain processes: web, worker, Prometheus, traffic; each awaited until ready."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from . import processes
from .waiting import LabError, quoting, wait_until
from .workloads import MATCH, Paths

PORTS = range(15000, 32000)  # below those that the kernel gives to outgoing connections
WEB_WORKERS = 3


def free_port() -> int:
    """Return a loopback port that nothing listens on and no outgoing connection will take."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                door.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise LabError("no free port on 127.0.0.1 between 15000 and 32000")


def get(url: str, seconds: float = 5.0) -> tuple[int, bytes] | None:
    """Return status and body, None when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return None


def running(paths: Paths, workload: str) -> processes.Process | None:
    """Return the live process that the pidfile of `web`, `worker`, `traffic` or `prometheus` names."""
    return processes.from_pidfile(paths.pidfile(workload), MATCH.get(workload, workload))


def run_script(paths: Paths, name: str, *arguments: str) -> str:
    """Run one of the lab's scripts to its end and return what it prints. Raise LabError if it fails."""
    done = subprocess.run(
        [str(paths.script(name)), *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise LabError(f"{name} {' '.join(arguments)} failed with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def instances(paths: Paths) -> list[dict[str, Any]]:
    """Return what the live processes of the application say about themselves: pid, start_time, flags."""
    told = []
    for file in sorted((paths.run_dir / "instances").glob("*.json")):
        try:
            state = json.loads(file.read_text())
        except FileNotFoundError:
            continue
        if processes.start_time(state["pid"]) == state["start_time"]:
            told.append(state)
    return told


def start_web(paths: Paths) -> None:
    """Start gunicorn through its script, unless it runs."""
    if running(paths, "web") is None:
        run_script(paths, "start-web")


def await_web(paths: Paths, url: str) -> None:
    """Wait until the master and all web workers hold their flags and the application answers."""

    def ready() -> bool:
        master, worker = running(paths, "web"), running(paths, "worker")
        told = [state["pid"] for state in instances(paths) if worker is None or state["pid"] != worker.pid]
        return master is not None and master.pid in told and len(told) > WEB_WORKERS

    with quoting(paths.log_dir / "gunicorn.log"):
        wait_until(ready, f"web and its {WEB_WORKERS} workers run")
        wait_until(lambda: (get(f"{url}/health/") or (0,))[0] == 200, f"{url}/health/ answers 200")


def start_worker(paths: Paths) -> None:
    """Start the queue worker through its script, unless it runs, and wait until it holds its flags."""
    if running(paths, "worker") is None:
        run_script(paths, "start-worker")

    def ready() -> bool:
        worker = running(paths, "worker")
        return worker is not None and worker.pid in [state["pid"] for state in instances(paths)]

    with quoting(paths.log_dir / "worker.err"):
        wait_until(ready, "the worker runs")


def start_prometheus(paths: Paths, port: int, web_port: int) -> None:
    """Start Prometheus on `port`, scraping the application every second; it is ready some time later."""
    folder = paths.dir / "prometheus"
    folder.mkdir(exist_ok=True)
    scrape = {"job_name": "deltacrown", "static_configs": [{"targets": [f"127.0.0.1:{web_port}"]}]}
    config = folder / "prometheus.yml"
    config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}) + "\n")
    argv = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    argv += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    _spawn(paths, "prometheus", argv, {"PATH": os.environ["PATH"]})


def has_prometheus() -> bool:
    """Say whether this machine has the program."""
    return shutil.which("prometheus") is not None


def start_traffic(paths: Paths, rate: float) -> None:
    """Start the traffic process, unless it runs, and wait for its first requests."""
    if running(paths, "traffic"):
        return
    root = str(Path(__file__).resolve().parents[2])
    argv = [sys.executable, "-m", "tests.lab", "traffic", "--dir", str(paths.dir), "--rate", str(rate)]
    _spawn(paths, "traffic", argv, {"PATH": os.environ["PATH"], "PYTHONPATH": root})
    log = paths.log_dir / "traffic.jsonl"
    with quoting(paths.log_dir / "traffic.err"):
        wait_until(lambda: log.exists() and log.stat().st_size > 0, "traffic flows")


def _spawn(paths: Paths, name: str, argv: list[str], environ: dict[str, str]) -> None:
    child = processes.spawn(argv, paths.log_dir / f"{name}.err", {**environ, "LAB_MEMBER_OF": str(paths.dir)})
    paths.pidfile(name).write_text(f"{child.pid}\n")
