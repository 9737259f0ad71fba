"""Where the contract of platforms is tried: one bench per platform, each with real workloads of that platform.

A bench makes workloads out of tests/unit/platforms/tiny.py and runs the collection's code where the platform runs.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import FLAG, STRICT, Shop

ROOT = Path(__file__).resolve().parents[3]
INSIDE = "/opt/collections/ansible_collections/dualwrite/rollback"
RUNNER = "tests/unit/contract/runner.py"


class Bench(ABC):
    """One platform's workloads, and the collection's code beside them."""

    platform = ""
    #: how a roll is done that is no reload
    way = "restart"
    #: what the identity of a workload tells, among others, and how the source of FLAG ends
    facts = frozenset({"hostname", "machine_id"})
    source = "app.env:3"

    @abstractmethod
    def entry(self, name: str, *habits: str, **options: Any) -> dict[str, Any]:
        """Return the inventory's entry of a workload with these habits (options of tiny.py); nothing starts."""

    @abstractmethod
    def start(self, name: str) -> None:
        """Start a workload of that entry as an operator would; return when all its processes run."""

    @abstractmethod
    def env(self, text: str | None = None) -> str:
        """Return the shared env file's text, after writing it if one is given."""

    @abstractmethod
    def env_path(self) -> str:
        """Return the path of the env file."""

    @abstractmethod
    def python(self) -> list[str]:
        """Return the command that runs the collection's code."""

    @abstractmethod
    def run(self, argv: list[str], stdin: str) -> subprocess.CompletedProcess[str]:
        """Run a command where the workloads are."""

    def call(self, do: str, params: dict[str, Any], *, check: bool = False) -> dict[str, Any]:
        """Call the runner and return what it told; its exit code when it was killed."""
        done = self.run(self.python(), json.dumps({"do": do, "params": params, "check": check}))
        if done.returncode < 0 or done.returncode > 128:
            return {"killed": done.returncode}
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def set(self, *entries: dict[str, Any], check: bool = False, **more: Any) -> dict[str, Any]:
        """Set FLAG to false in these workloads."""
        return self.call("set_flags", _params(entries, more), check=check)

    def running(self, name: str, *habits: str, **options: Any) -> dict[str, Any]:
        """Make and start a workload and return its entry."""
        entry = self.entry(name, *habits, **options)
        self.start(name)
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            told = self.call("read_flags", {"flags": [FLAG], "workloads": [entry]})
            states = told.get("result", {}).get("instances", [])
            if len(states) == 3 and all(one["flags"][FLAG] for one in states):
                return entry
        raise AssertionError(f"{name} did not start: {told}")

    @abstractmethod
    def close(self) -> None:
        """End all workloads."""


def _params(entries: tuple[dict[str, Any], ...], more: dict[str, Any]) -> dict[str, Any]:
    known = {"flags": {FLAG: False}, "known_flags": [FLAG, STRICT], "timeout": 30}
    return {**known, "workloads": list(entries), **more}


class LocalBench(Bench):
    """A bench whose workloads are reached from this machine: the collection's code runs here, by pytest's Python."""

    #: variables of the commands run; this process's own when None
    environ: dict[str, str] | None = None

    def python(self) -> list[str]:
        top = ROOT / ".cache/collections/ansible_collections/dualwrite/rollback"
        return [sys.executable, str((top if top.exists() else ROOT) / RUNNER)]

    def run(self, argv: list[str], stdin: str) -> subprocess.CompletedProcess[str]:
        given = {"input": stdin, "capture_output": True, "text": True, "timeout": 120, "env": self.environ}
        return subprocess.run(argv, check=False, **given)  # type: ignore[call-overload,no-any-return]


class PidfileBench(LocalBench):
    """Processes of this machine."""

    platform = "pidfile"

    def __init__(self, folder: Path) -> None:
        self.shop = Shop(folder)
        self.entries: dict[str, dict[str, Any]] = {}

    def entry(self, name: str, *habits: str, **options: Any) -> dict[str, Any]:
        state = ["--state-dir", str(self.shop.state_dir)] if "roll" in options else []
        self.entries[name] = self.shop.workload(name, *state, *habits, **options)
        return self.entries[name]

    def start(self, name: str) -> None:
        command = self.entries[name]["options"]["start_command"]
        subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)

    def env(self, text: str | None = None) -> str:
        if text is not None:
            self.shop.env_file.write_bytes(text.encode())
        return self.shop.env_file.read_text()

    def env_path(self) -> str:
        return str(self.shop.env_file)

    def close(self) -> None:
        self.shop.close()


class SystemdBench(Bench):
    """Units of a host booted by systemd, which sees this tree read-only."""

    platform = "systemd"

    def __init__(self, host: Any, number: int) -> None:
        self.host = host
        self.number = number
        self.folder = f"/run/shop{number}"
        self.env_file = f"/etc/shop{number}/app.env"
        self.units: list[str] = []
        self.run(["mkdir", "-p", self.folder, f"/etc/shop{number}"], "")

    def unit(self, name: str) -> str:
        """Return the name of a workload's unit."""
        return f"shop{self.number}-{name}.service"

    def entry(self, name: str, *habits: str, **options: Any) -> dict[str, Any]:
        state = ["--state-dir", self.folder] if "roll" in options else []
        self.write_unit(name, [f"EnvironmentFile={self.env_file}"], *state, *habits)
        more = {"state_file": f"{self.folder}/{{pid}}.json", "reload_timeout": 2} if state else {}
        return {
            "name": name,
            "platform": "systemd",
            "options": {"unit": self.unit(name), "stable_for": 0.3, **more, **options},
        }

    def write_unit(self, name: str, lines: list[str], *habits: str, folder: str = "/etc/systemd/system") -> None:
        """Write a unit that runs tiny.py with more lines in its [Service] section."""
        if self.unit(name) not in self.units:
            self.units.append(self.unit(name))
        paths = ["--pidfile", f"{self.folder}/{name}.pid", "--env-file", self.env_file]
        command = shlex.join(["/usr/bin/python3", f"{INSIDE}/tests/unit/platforms/tiny.py", *paths, *habits])
        text = "\n".join(["[Service]", f"ExecStart={command}", "TimeoutStopSec=5", *lines, ""])
        self.host.write(f"{folder}/{self.unit(name)}", text)
        self.run(["systemctl", "daemon-reload"], "")

    def start(self, name: str) -> None:
        self.host.run(["systemctl", "start", self.unit(name)])

    def env(self, text: str | None = None) -> str:
        if text is not None:
            self.host.write(self.env_file, text)
        return str(self.host.read(self.env_file))

    def env_path(self) -> str:
        return self.env_file

    def python(self) -> list[str]:
        return ["python3", "-B", f"{INSIDE}/{RUNNER}"]

    def run(self, argv: list[str], stdin: str) -> subprocess.CompletedProcess[str]:
        done: subprocess.CompletedProcess[str] = self.host.run(argv, stdin=stdin, check=False, timeout=120)
        return done

    def close(self) -> None:
        if self.units:
            self.run(["systemctl", "kill", "--signal", "KILL", *self.units], "")
            self.run(["systemctl", "stop", *self.units], "")
