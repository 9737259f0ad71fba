"""The first process in a cluster's namespaces: mounts, starts the programs of plan.json, starts them again, collects.

Run as `python inside.py FOLDER`; it uses nothing but the standard library. When it ends, the kernel ends all others.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HIDDEN = ("/run", "/var/lib", "/var/log")  # what programs write there is the cluster's own and goes with it


def main(folder: Path) -> None:
    """Set up the namespaces and look after the programs until told to end."""
    signal.signal(signal.SIGTERM, lambda *dummy: os._exit(0))
    plan = json.loads((folder / "plan.json").read_text())
    for target in HIDDEN:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "lab", target], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in plan["addresses"]:
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    programs = [Program(folder, one) for one in plan["programs"]]
    while True:
        for program in programs:
            program.look_after()
        with contextlib.suppress(ChildProcessError):
            while True:
                pid = os.waitpid(-1, os.WNOHANG)[0]
                if not pid:
                    break
                for program in programs:
                    program.ended(pid)
        time.sleep(0.05)


class Program:
    """One program: started when what it needs answers and nothing holds it back, and again when it ends."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.name, self.argv, self.needs = plan["name"], plan["argv"], plan["needs"]
        self.log = folder / "logs" / f"{self.name}.log"
        self.held = folder / "held" / self.name
        self.pid = 0
        self.not_before = 0.0

    def look_after(self) -> None:
        """Start it if it does not run and should."""
        now = time.monotonic()
        if self.pid or now < self.not_before or self.held.exists():
            return
        if not all(answers(one) for one in self.needs):
            self.not_before = now + 0.1
            return
        with self.log.open("ab") as log:
            child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = child.pid
        child.returncode = 0  # collected by main(), with all the others
        self.not_before = now + 1

    def ended(self, pid: int) -> None:
        """Take note that a process has ended."""
        if pid == self.pid:
            self.pid = 0


def answers(needed: str) -> bool:
    """Return whether something listens at a socket's path, or at a port of the loopback address; or a file is there."""
    if needed.startswith("file:"):
        return Path(needed.removeprefix("file:")).exists()
    family = socket.AF_UNIX if needed.startswith("/") else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(needed if family == socket.AF_UNIX else ("127.0.0.1", int(needed)))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]))
