"""What a cluster needs from the machine that it runs on: Linux, root, Debian packages, and binaries built here."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from ..host.machine import SBIN, cache_dir, call, locked
from ..waiting import LabError

__all__ = ["cache_dir", "call", "env", "find", "locked", "missing_packages", "obstacle", "require"]

VERSION = "1.20.2"  # what Debian bookworm has as source
REFLECT2 = "1.0.2"  # the one that is vendored is too old for bookworm's Go: the API crashed on every custom resource
FOLDER_NAME = f"kubernetes-{VERSION}-reflect2-{REFLECT2}"
PACKAGES = {  # command, or path of a file: Debian package; scripts/system-packages has them too
    "go": "golang-go",
    "gcc": "gcc",
    "/usr/include/stdlib.h": "libc6-dev",
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "ip": "iproute2",
    "nsenter": "util-linux",
}


def folder() -> Path:
    """Return the folder for source, binaries and images."""
    return cache_dir() / FOLDER_NAME


def find(command: str) -> str:
    """Return the path of a command, or an empty text."""
    return shutil.which(command, path=env()["PATH"]) or ""


def env() -> dict[str, str]:
    """Return this process's variables, with the system's folders in the path."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:{SBIN}"}


def obstacle() -> str:
    """Return the sentence that says why no cluster can be had here, or nothing; packages are another matter."""
    if not sys.platform.startswith("linux"):
        return f"a Kubernetes cluster needs Linux, this is {sys.platform}: run it in a Linux machine"
    if os.geteuid() != 0:
        return "a Kubernetes cluster needs root (mounts, namespaces): run as root"
    return ""


def missing_packages() -> list[str]:
    """Return the Debian packages that are needed and not there."""
    return sorted({package for command, package in PACKAGES.items() if not (find(command) or Path(command).is_file())})


def require() -> None:
    """Return if a cluster, or its binaries, can be made here.

    Raises LabError when the machine is no Linux, we are not root, or a package is missing.
    """
    reason = obstacle()
    missing = [] if reason else missing_packages()
    if missing:
        reason = f"missing on this machine: {', '.join(missing)}; run: make system-packages"
    if reason:
        raise LabError(reason)
