"""A host: the image under a writable layer, booted by systemd in namespaces of its own, thrown away by down()."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..waiting import LabError, wait_until
from . import cgroup, image, machine, network

STAGING = "staging-web-1.deltacrown.example"  # the name that inventories/staging gives to its web host
USER = "deploy"
# The starting shell enters the host's control groups and becomes nspawn, so nothing of the host is ever outside them.
START = 'for home in "$@"; do echo $$ > "$home/cgroup.procs"; done; exec {nspawn} >"{log}" 2>&1 </dev/null'
INSIDE_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}


def folder() -> Path:
    """Return the folder that holds a folder for each host."""
    return machine.cache_dir() / "hosts"


def names() -> list[str]:
    """Return the names of the hosts that are up, or were left half up."""
    return sorted(entry.name for entry in folder().iterdir()) if folder().exists() else []


class SystemdHost:
    """One host, known by its name on the whole machine: any process may take it down or run things in it."""

    def __init__(self, name: str, aliases: Sequence[str] = (STAGING,)) -> None:
        """Name a host; nothing starts yet.

        aliases are more names that its ssh configuration maps to it. Raises LabError for a name that is no host name.
        """
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", name):
            raise LabError(f"{name!r} is no name for a host: use up to 32 of a-z, 0-9 and -")
        self.name = name
        self.aliases = tuple(aliases)
        self.folder = folder() / name
        self.root = self.folder / "root"
        self.log = self.folder / "console.log"
        self.ssh_config = self.folder / "ssh_config"

    @property
    def address(self) -> str:
        """The address that this machine reaches the host at. Raises LabError when it isn't up."""
        return network.addresses(self._index())[1]

    @property
    def gateway(self) -> str:
        """This machine's address as the host sees it. Raises LabError when the host isn't up."""
        return network.addresses(self._index())[0]

    @property
    def running(self) -> bool:
        """Whether its first process lives."""
        return cgroup.init_of(self.name) is not None

    def up(self, binds: Mapping[str, str] | None = None, writable: Sequence[str] = ()) -> SystemdHost:
        """Boot the host unless it is up, wait until systemd has started everything and sshd answers; return self.

        binds are folders and files of this machine to be seen read-only inside, {outside: inside}; writable are
        folders that it shares under the very same path. Both are set at boot.
        Raises LabError when the machine can't have hosts, or this one doesn't come up; nothing is left then.
        """
        machine.require()
        with machine.locked(f"host-{self.name}"):
            if self.running and self.ssh_config.exists():
                self._check_binds(binds or {})
                return self
            self._clear()
            lower = image.build()
            try:
                self._boot(lower, dict(binds or {}), writable)
                self._await()
            except BaseException:
                self._clear()
                raise
        return self

    def down(self) -> None:
        """End the host and remove all that was its own; a host that isn't there is fine.

        Raises LabError when something refuses to go.
        """
        reason = machine.obstacle()
        if reason:
            raise LabError(reason)
        with machine.locked(f"host-{self.name}"):
            self._clear()

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        check: bool = True,
        timeout: float = 60,
        user: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside as root, or as the user given, and return it with its output as text.

        timeout is in seconds. Raises LabError when the host isn't up, the command takes longer, or, with check, fails.
        """
        init = cgroup.init_of(self.name)
        if init is None:
            raise LabError(f"host {self.name} is not up: python -m tests.lab.host up --name {self.name}")
        spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"]
        change = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        environment = [f"{key}={value}" for key, value in INSIDE_ENVIRONMENT.items()]
        entering = ["nsenter", "--target", str(init), *spaces, "--", "/usr/bin/env", "-i", *environment, *change]
        try:
            done = subprocess.run(
                [*entering, *argv], input=stdin or "", capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{shlex.join(argv)} on host {self.name} took more than {timeout:.0f} s") from error
        if check and done.returncode:
            last = " | ".join((done.stderr or done.stdout).strip().splitlines()[-5:])
            raise LabError(f"{shlex.join(argv)} on host {self.name} ended with {done.returncode}: {last}")
        return done

    def read(self, path: str) -> str:
        """Return the text of a file inside. Raises LabError when it can't be read."""
        return self.run(["cat", "--", path]).stdout

    def write(self, path: str, text: str, mode: str = "0644", owner: str = "root:root") -> None:
        """Write a file inside, its folders too, with that mode and owner. Raises LabError when it can't be."""
        script = 'mkdir -p -- "${1%/*}" && cat > "$1" && chown "$3" "$1" && chmod "$2" "$1"'
        self.run(["sh", "-c", script, "sh", path, mode, owner], stdin=text)

    def journal(self, unit: str, lines: int = 30) -> str:
        """Return the last lines of a unit's journal; for messages about why a test failed."""
        return self.run(["journalctl", "--no-pager", "-o", "short-precise", "-u", unit, "-n", str(lines)]).stdout

    def _index(self) -> int:
        try:
            return int(json.loads((self.folder / "host.json").read_text())["index"])
        except OSError as error:
            raise LabError(f"host {self.name} is not up: python -m tests.lab.host up --name {self.name}") from error

    def _check_binds(self, wanted: Mapping[str, str]) -> None:
        have = json.loads((self.folder / "host.json").read_text())["binds"]
        if any(have.get(outside) != inside for outside, inside in wanted.items()):
            raise LabError(f"host {self.name} is up without the folders asked for: take it down first")

    def _boot(self, lower: Path, binds: dict[str, str], writable: Sequence[str]) -> None:
        """Mount the root, write what makes this host itself, start nspawn and connect the network."""
        folder().mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700)
        with machine.locked("network"):
            taken = {SystemdHost(other)._index() for other in names() if (folder() / other / "host.json").exists()}
            index = network.free_index(taken)
            (self.folder / "host.json").write_text(json.dumps({"index": index, "binds": binds}))
        for part in ("upper", "work", "root"):
            (self.folder / part).mkdir()
        layers = f"lowerdir={lower},upperdir={self.folder / 'upper'},workdir={self.folder / 'work'}"
        machine.call(["mount", "-t", "overlay", f"dwr-{self.name}", "-o", layers, str(self.root)])
        self._personalise(index)
        homes = cgroup.homes(self.name)
        if not homes:
            raise LabError("no control groups are mounted under /sys/fs/cgroup: systemd can't be booted here")
        for home in homes:
            home.mkdir(exist_ok=True)
        nspawn = ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", f"--machine={self.name}"]
        nspawn += [f"--directory={self.root}", f"--network-veth-extra={network.device(index)}:{network.INSIDE}"]
        nspawn += ["--private-network", "--link-journal=no", "--resolv-conf=off", "--timezone=off", "--console=pipe"]
        nspawn += [f"--bind-ro={outside}:{inside}" for outside, inside in binds.items()]
        nspawn += [f"--bind={path}" for path in writable]
        start = START.format(nspawn=shlex.join(nspawn), log=self.log)
        machine.call(["setsid", "--fork", "sh", "-c", start, "sh", *map(str, homes)])
        self._still("its systemd to start", lambda: cgroup.init_of(self.name) is not None, 20)
        init = cgroup.init_of(self.name)
        assert init is not None
        network.connect(index, init)

    def _personalise(self, index: int) -> None:
        """Write the names and the ssh keys into the root, and the ssh configuration beside it."""
        address = network.addresses(index)[1]
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {self.name}\n")
        for key in (self.folder / "id_ed25519", self.root / "etc/ssh/ssh_host_ed25519_key"):
            comment = f"{USER}@{self.name}"
            machine.call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(key)])
        identity = (self.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"{address} {identity}")
        home = self.root / "home" / USER
        authorized = home / ".ssh/authorized_keys"
        authorized.parent.mkdir(mode=0o700, exist_ok=True)
        authorized.write_text((self.folder / "id_ed25519.pub").read_text())
        for entry in (authorized.parent, authorized):
            os.chown(entry, home.stat().st_uid, home.stat().st_gid)
        self.ssh_config.write_text(
            f"Host {' '.join([self.name, *self.aliases])}\n"
            f"  HostName {address}\n  Port 22\n  User {USER}\n"
            f"  IdentityFile {self.folder / 'id_ed25519'}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.folder / 'known_hosts'}\n  GlobalKnownHostsFile /dev/null\n"
            "  StrictHostKeyChecking yes\n  LogLevel ERROR\n"
            f"  ControlMaster auto\n  ControlPath {self.folder}/mux\n  ControlPersist 60\n"
        )

    def _await(self) -> None:
        """Wait until systemd has nothing left to start and a command comes back over ssh."""

        def started() -> bool:
            state = self.run(["systemctl", "is-system-running", "--wait"], check=False).stdout.strip()
            return state in ("running", "degraded")

        self._still("systemd to start everything", started, 30)
        failed = self.run(["systemctl", "--failed", "--plain", "--no-legend"]).stdout.strip()
        if failed:
            raise LabError(f"host {self.name} booted with failed units: {failed}")
        self._still("sshd to answer", self._answers, 20)
        machine.call(["ssh", "-F", str(self.ssh_config), self.name, "true"])

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.address, 22), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def _still(self, what: str, holds: Callable[[], bool], seconds: float) -> None:
        """Wait for holds(), and say what nspawn said when the host died instead."""
        begun = time.monotonic()

        def probe() -> bool:
            if holds():
                return True
            if time.monotonic() - begun > 2 and not cgroup.members(self.name):
                said = self.log.read_text(errors="replace").strip()[-800:] if self.log.exists() else "nothing"
                raise LabError(f"host {self.name} ended while waiting for {what}; systemd-nspawn said: {said}")
            return False

        wait_until(probe, f"waiting on host {self.name} for {what}", seconds)

    def _clear(self) -> None:
        """Remove processes, groups, network, mount and files, whatever of them is there."""
        mux = self.folder / "mux"
        if mux.exists():
            leave = ["ssh", "-F", str(self.ssh_config), "-O", "exit", self.name]
            subprocess.run(leave, capture_output=True, check=False, timeout=10)
        cgroup.clear(self.name)
        if not self.folder.exists():
            return
        if (self.folder / "host.json").exists():
            network.remove(self._index())
        if self.root.is_mount():
            wait_until(self._unmounted, f"{self.root} to be unmounted", 10)
        shutil.rmtree(self.folder)
        propagate = Path("/run/systemd/nspawn/propagate", self.name)  # nspawn leaves it where /run is no tmpfs
        if propagate.is_dir():
            propagate.rmdir()

    def _unmounted(self) -> bool:
        done = subprocess.run(["umount", str(self.root)], capture_output=True, check=False)
        return done.returncode == 0 or not self.root.is_mount()
