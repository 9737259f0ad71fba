"""An engine: dockerd in mount and network namespaces of its own, so that nothing on the machine changes.

Containers have no way out of the machine and need none. The process ids are the machine's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..host import machine
from ..waiting import LabError, wait_until
from . import network, programs

#: inside the engine's namespace only: two engines may have the same
NETWORKS = ("--bip", "172.31.250.1/24", "--default-address-pool", "base=172.31.251.0/24,size=28")
#: the control group of an engine's containers is this and its name; a host's of the same name is another
GROUP = "dwrd-"
HOLDER = "echo 1 > /proc/sys/net/ipv4/ip_forward; exec sleep infinity"


def folder() -> Path:
    """Return the folder that holds a folder for each engine of the lab."""
    return machine.cache_dir() / "engines"


def names() -> list[str]:
    """Return the names of the engines that are up, or were left half up."""
    return sorted(entry.name for entry in folder().iterdir()) if folder().exists() else []


def machines_own() -> bool:
    """Return whether this machine has an engine that answers, with Compose v2."""
    if not shutil.which("docker"):
        return False
    asked = (["docker", "info", "--format", "{{.ID}}"], ["docker", "compose", "version", "--short"])
    told = [subprocess.run(argv, capture_output=True, text=True, check=False) for argv in asked]
    return all(one.returncode == 0 for one in told) and bool(re.match(r"v?(2|[3-9])", told[1].stdout.strip()))


def unavailable() -> str | None:
    """Return the sentence that says why no engine can be had here at this moment, and what to do, or None."""
    if machines_own():
        return None
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "no Docker engine answers here, and the lab's own needs root on Linux: start one, or run as root"
    missing = programs.missing_packages()
    if missing:
        return f"missing on this machine: {', '.join(missing)}; run: scripts/system-packages"
    return None


class Engine:
    """One engine, known by its name on the whole machine: any process may use it or take it down."""

    def __init__(self, name: str) -> None:
        """Name an engine; nothing starts yet. Raises LabError for a name that can't be one of a folder."""
        if not re.fullmatch(r"[a-z0-9-]{1,32}", name):
            raise LabError(f"{name!r} is no name for an engine: use up to 32 of a-z, 0-9 and -")
        self.name = name
        self.folder = folder() / name
        self.socket = self.folder / "docker.sock"
        self.log = self.folder / "dockerd.log"
        self.borrowed = False

    @property
    def address(self) -> str:
        """The address at which this machine reaches published ports. Raises LabError when the engine isn't up."""
        return "127.0.0.1" if self.borrowed else network.addresses(int(self._state()["network"]))[1]

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which `docker` speaks to this engine."""
        if self.borrowed:
            return dict(os.environ)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "COMPOSE_"))}
        path = f"{self.folder}/bin:{os.environ.get('PATH', os.defpath)}:{machine.SBIN}"
        return {**kept, "PATH": path, "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONFIG": f"{self.folder}/config"}

    def up(self) -> Engine:
        """Start the engine unless it is up, wait until it answers, and return it; the machine's own is used as it is.

        Raises LabError when it can't be had; nothing is left then.
        """
        reason = unavailable()
        if reason:
            raise LabError(reason)
        self.borrowed = machines_own()
        with machine.locked(f"engine-{self.name}"):
            if self.borrowed or self._answers():
                return self
            self._clear()
            try:
                self._begin()
            except BaseException:
                self._clear()
                raise
        return self

    def down(self) -> None:
        """End the engine with all its containers and remove all that was its own; the machine's own is left alone."""
        if not self.borrowed:
            with machine.locked(f"engine-{self.name}"):
                self._clear()

    def docker(self, *words: str, check: bool = True, stdin: int | None = None) -> str:
        """Run the docker client and return its standard output. Raises LabError when it fails, unless not ``check``."""
        done = subprocess.run(
            ["docker", *words], env=self.environ, stdin=stdin, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise LabError(f"docker {' '.join(words[:3])} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def stop_daemon(self) -> None:
        """End dockerd as an init system would: SIGTERM, and wait. Raises LabError when it stays."""
        pid = int(self._state()["dockerd"])
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: _ended(pid), f"the end of dockerd (pid {pid})", 20)

    def start_daemon(self) -> None:
        """Start dockerd in the engine's namespaces and wait until it answers. Raises LabError with its last words."""
        state = self._state()
        spaces = ["nsenter", "--target", str(state["holder"]), "--net", "--mount", "--wd=/"]
        roots = ["--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/exec"]
        options = ["--pidfile", f"{self.folder}/docker.pid", "--host", f"unix://{self.socket}", *NETWORKS]
        # a group of its own for everything in containers, so that it can be removed afterwards
        options += ["--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{GROUP}{self.name}"]
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                [*spaces, "dockerd", *roots, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environ,
                start_new_session=True,
            )
        self._remember(dockerd=child.pid)

        def ready() -> bool:
            if child.poll() is not None:
                raise LabError(f"dockerd ended with {child.returncode}: {self.log.read_text()[-600:]}")
            return self._answers()

        wait_until(ready, "dockerd to answer", 30)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        root = programs.unpacked()
        (self.folder / "bin").mkdir(parents=True)
        for program in (*(root / "usr/bin").iterdir(), *(root / "usr/sbin").iterdir()):
            (self.folder / "bin" / program.name).symlink_to(program)
        plugins = self.folder / "config" / "cli-plugins"
        plugins.mkdir(parents=True)
        for program in (root / programs.PLUGINS).iterdir():
            (plugins / program.name).symlink_to(program)
        spaces = ["unshare", "--net", "--mount", "--propagation", "private"]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        holder = subprocess.Popen([*spaces, "sh", "-c", HOLDER], start_new_session=True, **streams)
        self._remember(holder=holder.pid)
        wait_until(lambda: _apart(holder.pid), "the engine's namespaces", 5)
        self._remember(network=network.connect(holder.pid))
        self.start_daemon()

    def _answers(self) -> bool:
        return self.socket.exists() and bool(self.docker("info", "--format", "{{.ID}}", check=False).strip())

    def _clear(self) -> None:
        """End whatever is there of this engine, in any state it may be in."""
        if not self.folder.exists():
            return
        if self._answers():
            containers = self.docker("ps", "--all", "--quiet", "--no-trunc").split()
            if containers:
                self.docker("rm", "--force", "--volumes", *containers, check=False)
        state = self._state()
        for pid in (state.get("dockerd"), self._pid_in(self.folder / "exec" / "containerd" / "containerd.pid")):
            if pid and not _ended(pid, str(self.folder)):
                os.kill(pid, signal.SIGTERM)
                with contextlib.suppress(LabError):
                    wait_until(lambda pid=pid: _ended(pid), f"pid {pid} to end", 15)
        for pid in (*self._left(), *self._in_containers(), state.get("holder")):
            if pid and not _ended(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                wait_until(lambda pid=pid: _ended(pid), f"pid {pid} to end", 10)
        if "network" in state:
            gone = network.device(int(state["network"]))
            wait_until(lambda: f'"{gone}"' not in machine.call(["ip", "-j", "link"]), f"{gone} to go", 10)
        for group in self._groups():
            for folder, dummy, dummy in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
        shutil.rmtree(self.folder)

    def _groups(self) -> list[Path]:
        """Return the control group of all containers, in each hierarchy that this machine has."""
        return [path for above in ("", "*/") for path in Path("/sys/fs/cgroup").glob(f"{above}{GROUP}{self.name}")]

    def _in_containers(self) -> list[int]:
        """Return the processes in containers, which an engine that was killed has left running."""
        found: set[int] = set()
        for group in self._groups():
            for walked in os.walk(group):
                with contextlib.suppress(OSError):
                    found.update(int(line) for line in Path(walked[0], "cgroup.procs").read_text().split())
        return sorted(found)

    def _left(self) -> list[int]:
        """Return the processes that name this engine's folder in their command line: containerd and its shims."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = entry.read_bytes().split(b"\0")
                ours = any(word.startswith(os.fsencode(self.folder / "exec")) for word in words)
                if ours and os.path.basename(words[0]).startswith((b"containerd", b"dockerd", b"docker-proxy")):
                    found.append(int(entry.parent.name))
        return found

    def _state(self) -> dict[str, int]:
        try:
            state: dict[str, int] = json.loads((self.folder / "state.json").read_text())
        except FileNotFoundError:
            return {}
        return state

    def _remember(self, **facts: int) -> None:
        aside = self.folder / "state.json.new"
        aside.write_text(json.dumps({**self._state(), **facts}))
        aside.replace(self.folder / "state.json")

    @staticmethod
    def _pid_in(path: Path) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            return int(path.read_text())
        return None


def compose(engine: Engine, project: Path, *words: str) -> str:
    """Run `docker compose` on the project in a folder and return what it said. Raises LabError when it fails."""
    options: Sequence[str] = ("compose", "--project-directory", str(project), "--progress", "plain")
    return engine.docker(*options, *words)


def _apart(pid: int) -> bool:
    """Return whether a process has a network of its own and has got to its last program."""
    with contextlib.suppress(OSError):
        inside = os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
        return inside and Path(f"/proc/{pid}/comm").read_text().strip() == "sleep"
    return False


def _ended(pid: int, command: str = "") -> bool:
    """Return whether a process is gone, its parent may not have collected it yet, or it is another one."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state in "ZX" or command not in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return True
