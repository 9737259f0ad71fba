"""Users of the application: create and rename teams at a known rate, and remember every single request.

Each request is a connection of its own and one JSON line in the log: time (UTC, when it was sent), kind, status,
latency_ms, slug, name, error. A refused connection is a failed request like any other.
"""

import itertools
import json
import random
import secrets
import signal
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

THREADS = 16
TIMEOUT_S = 10.0


class Traffic:
    """Send `rate` requests per second (a slow answer delays no other request) until told to stop."""

    def __init__(self, host: str, port: int, token: str, log: Path, rate: float = 20.0, threads: int = THREADS) -> None:
        self.address = (host, port)
        self.headers = {
            "Authorization": f"Token {token}",
            "Content-Type": "application/json",
            "Connection": "close",
        }
        self.log = log
        self.rate = rate
        self.name = f"Traffic {secrets.token_hex(3)}"
        self.made: list[str] = []
        self._turns = itertools.count()
        self._numbers = itertools.count(1)
        self._ending = threading.Event()
        self._writing = threading.Lock()
        self._threads = [threading.Thread(target=self._work, daemon=True) for dummy in range(threads)]

    def start(self) -> "Traffic":
        """Begin."""
        self._file = self.log.open("a", buffering=1)
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> dict[str, Any]:
        """End once the requests under way are answered, and return the summary."""
        self._ending.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S * 2)
        self._file.close()
        return summary(read(self.log))

    def __enter__(self) -> "Traffic":
        return self.start()

    def __exit__(self, *failure: object) -> None:
        self.stop()

    def _work(self) -> None:
        while True:
            due = self._began + next(self._turns) / self.rate
            if self._ending.wait(max(0.0, due - time.monotonic())):
                return
            if self.made and random.random() < 0.5:
                self._send("update", "PATCH", random.choice(self.made))
            else:
                self._send("create", "POST", None)

    def _send(self, kind: str, method: str, slug: str | None) -> None:
        name = f"{self.name} {kind} {next(self._numbers)}"
        line: dict[str, Any] = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "kind": kind}
        began = time.perf_counter()
        status, error, made = None, None, slug
        link = HTTPConnection(*self.address, timeout=TIMEOUT_S)
        try:
            path = f"/api/vnext/teams/{slug or 'create'}/"
            link.request(method, path, json.dumps({"name": name}), self.headers)
            answer = link.getresponse()
            status, body = answer.status, answer.read()
            if status < 400:
                made = json.loads(body)["slug"]
            else:
                error = body.decode(errors="replace")[:200]
        except (OSError, HTTPException, ValueError) as problem:
            error = f"{type(problem).__name__}: {problem}"
        finally:
            link.close()
        latency = round((time.perf_counter() - began) * 1000, 1)
        line.update(status=status, latency_ms=latency, slug=made, name=name, error=error)
        with self._writing:
            if kind == "create" and made and error is None:
                self.made.append(made)
            self._file.write(json.dumps(line) + "\n")


def read(log: Path) -> list[dict[str, Any]]:
    """Return all requests of a traffic log, in the order of their answers; a line half written is left out."""
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]


def summary(requests: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return sent, failed, first and last failure time, p50 and p95 of latency (ms), slugs of the teams made."""
    lines = sorted(requests, key=lambda line: line["time"])
    failures = [line for line in lines if line["error"] is not None]
    latencies = sorted(line["latency_ms"] for line in lines) or [0.0]
    return {
        "sent": len(lines),
        "failed": len(failures),
        "first_failure": failures[0]["time"] if failures else None,
        "last_failure": failures[-1]["time"] if failures else None,
        "errors": sorted({line["error"] for line in failures}),
        "p50_ms": latencies[len(latencies) // 2],
        "p95_ms": latencies[min(len(latencies) - 1, int(len(latencies) * 0.95))],
        "made": [line["slug"] for line in lines if line["kind"] == "create" and line["error"] is None],
    }


def run(folder: Path, rate: float) -> None:
    """Be the traffic process of the lab in `folder`: until SIGTERM, or until the lab's state file is gone."""
    state_file = folder / "state.json"
    state = json.loads(state_file.read_text())
    host, port = state["web"]["url"].removeprefix("http://").split(":")
    token = Path(state["token_file"]).read_text().strip()
    pidfile, ending = Path(state["traffic"]["pidfile"]), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    with Traffic(host, int(port), token, Path(state["traffic"]["log"]), rate):
        while state_file.exists() and not ending.wait(0.5):
            pass
    pidfile.unlink(missing_ok=True)
