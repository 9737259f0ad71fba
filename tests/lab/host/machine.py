"""What hosts need from the machine that they run on: Linux, root, a few Debian packages, a cache folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..waiting import LabError

PACKAGES = {  # command: Debian package
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")  # debian-archive-keyring, absent on Ubuntu
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def cache_dir() -> Path:
    """Return the folder of this user for images, dependencies and running hosts; it outlives the tree."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dualwrite-rollback"


def obstacle() -> str | None:
    """Return the sentence that says why no host can be had here, or None; packages are another matter."""
    if not sys.platform.startswith("linux"):
        return f"hosts booted by systemd need Linux, this is {sys.platform}: run them in a Linux machine"
    if os.geteuid() != 0:
        return "hosts booted by systemd need root (mounts, namespaces): run as root"
    return None


def missing_packages() -> list[str]:
    """Return the Debian packages that are needed and not there."""
    path = f"{os.environ.get('PATH', os.defpath)}:{SBIN}"
    missing = {package for command, package in PACKAGES.items() if not shutil.which(command, path=path)}
    if not KEYRING.exists():
        missing.add("debian-archive-keyring")
    return sorted(missing)


def unavailable() -> str | None:
    """Return the sentence that says why no host can be had here at this moment, and what to do, or None."""
    missing = [] if obstacle() else missing_packages()
    if missing:
        return f"missing on this machine: {', '.join(missing)}; run: python -m tests.lab.host install"
    return obstacle()


def require() -> None:
    """Return if hosts can be had here.

    Raises LabError when the machine is no Linux, we are not root, or a package is missing.
    """
    reason = unavailable()
    if reason:
        raise LabError(reason)


def install() -> list[str]:
    """Install the packages that are missing by apt-get and return them.

    Raises LabError when apt-get is not there or fails.
    """
    reason = obstacle()
    if reason:
        raise LabError(reason)
    missing = missing_packages()
    if missing:
        if not shutil.which("apt-get"):
            raise LabError(f"no apt-get here: install what gives these Debian packages: {', '.join(missing)}")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        call(["apt-get", "update", "-qq"], env=environment)
        call(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], env=environment)
    return missing


def call(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """Run a command of the machine, with its environment or the one given, and return its standard output.

    Raises LabError with the end of its standard error when it can't be started or fails.
    """
    environment = {**(env or os.environ)}
    environment["PATH"] = f"{environment.get('PATH', os.defpath)}:{SBIN}"
    try:
        done = subprocess.run(list(argv), capture_output=True, text=True, check=False, env=environment)
    except OSError as error:
        raise LabError(f"{argv[0]} could not be started: {error}") from error
    if done.returncode:
        last = " | ".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise LabError(f"{' '.join(argv[:4])} … ended with {done.returncode}: {last}")
    return done.stdout


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of that name in the cache folder; another process that wants it waits."""
    folder = cache_dir() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
