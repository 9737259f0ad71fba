"""Real workloads for the tests of the platform pidfile: tiny.py, or gunicorn, in a folder of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline, wait_until
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms import proc
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.pidfile import PidfilePlatform

TINY = Path(__file__).parent / "tiny.py"
FLAG, STRICT = "TEAM_X", "TEAM_STRICT"
ENV = f"# flags\nSECRET=s3cr3t\n{FLAG}=true\n{STRICT}=false\n"


class Shop:
    """Workloads in one folder that share one env file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env_file = folder / "app.env"
        self.env_file.write_text(ENV)
        self.state_dir = folder / "instances"
        self.state_dir.mkdir()

    def command(self, name: str, *more: str) -> list[str]:
        """Return the start command of a workload: a shell that reads the env file and becomes tiny.py."""
        script = 'set -a; . "$1"; shift; exec "$@"'
        paths = ["--pidfile", f"{self.folder}/{name}.pid", "--env-file", str(self.env_file)]
        return ["sh", "-c", script, "sh", str(self.env_file), sys.executable, str(TINY), *paths, *more]

    def workload(self, name: str, *more: str, **options: Any) -> dict[str, Any]:
        """Return the inventory's entry of a workload that is started with these options of tiny.py."""
        reloads = "--state-dir" in more
        return {
            "name": name,
            "platform": "pidfile",
            "options": {
                "pidfile": f"{self.folder}/{name}.pid",
                "cmdline_match": "tiny.py",
                "env_file": str(self.env_file),
                "start_command": self.command(name, *more),
                "start_timeout": 10,
                "stable_for": 0.2,
                "log_file": f"{self.folder}/{name}.log",
                **({"state_file": f"{self.state_dir}/{{pid}}.json", "reload_timeout": 2} if reloads else {}),
                **options,
            },
        }

    def running(self, name: str, *more: str, **options: Any) -> dict[str, Any]:
        """Start a workload, wait until all its instances hold the flags, and return its inventory's entry."""
        entry = self.workload(name, *more, **options)
        subprocess.Popen(entry["options"]["start_command"], start_new_session=True, stderr=subprocess.DEVNULL)
        platform = PidfilePlatform(name, entry["options"])
        count = 1 + int(more[more.index("--workers") + 1]) if "--workers" in more else 3

        def up() -> bool:
            return len([one for one in platform.processes() if self._said(one, more)]) >= count

        wait_until(up, Deadline(10), what=f"the start of {name}")
        return entry

    def _said(self, process: proc.Process, more: tuple[str, ...]) -> bool:
        return "--state-dir" not in more or proc.announced(f"{self.state_dir}/{process.pid}.json", process) is not None

    def pid(self, name: str) -> int:
        """Return the pid in a workload's pidfile."""
        return int((self.folder / f"{name}.pid").read_text())

    def mine(self) -> list[proc.Process]:
        """Return the processes whose command line names this folder."""
        return [one for one in proc.every() if str(self.folder) in proc.command_line(one)]

    def kill(self, process: proc.Process) -> None:
        """End a process without giving it a chance."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End all that runs in this folder."""
        for process in self.mine():
            self.kill(process)
