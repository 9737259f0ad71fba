"""The programs of Docker Engine and Compose v2: Debian's packages of one release, unpacked into the cache."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from pathlib import Path

from ..host import machine
from ..waiting import LabError

SUITE = "trixie"  # the first Debian with Compose v2; its programs are static enough for the release before it
PACKAGES = ("docker.io", "docker-cli", "docker-compose", "docker-buildx", "containerd")
PLUGINS = "usr/libexec/docker/cli-plugins"
NEEDED = {"iptables": "iptables", "runc": "runc", "ip": "iproute2", "nsenter": "util-linux", "apt-get": "apt"}


def missing_packages() -> list[str]:
    """Return the Debian packages that an engine needs of the machine and that are not there."""
    path = f"{os.environ.get('PATH', os.defpath)}:{machine.SBIN}"
    missing = {package for command, package in NEEDED.items() if not shutil.which(command, path=path)}
    if not machine.KEYRING.exists():
        missing.add("debian-archive-keyring")
    return sorted(missing)


def unpacked() -> Path:
    """Return the cached folder with the programs, filled from Debian's mirror if it is new.

    Raises LabError when they can't be had.
    """
    digest = hashlib.sha256("\n".join([SUITE, *PACKAGES, platform.machine()]).encode()).hexdigest()[:16]
    target = machine.cache_dir() / "docker" / digest
    with machine.locked(f"docker-{digest}"):
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=target.parent))
            try:
                _download(work)
                for package in sorted(work.glob("*.deb")):
                    machine.call(["dpkg-deb", "-x", str(package), str(work / "root")])
                (work / "root").chmod(0o755)
                (work / "root").rename(target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return target


def _download(work: Path) -> None:
    """Download the packages with a state of apt's that is not the machine's."""
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb [signed-by={machine.KEYRING}] {_mirror()} {SUITE} main\n")
    private = {
        "Dir::State": "state",
        "Dir::State::status": "status",
        "Dir::Cache": "cache",
        "Dir::Etc::SourceList": "sources.list",
    }
    options = [word for name, value in private.items() for word in ("-o", f"{name}={work / value}")]
    options += ["-o", "Dir::Etc::SourceParts=/dev/null", "-o", "APT::Sandbox::User=root"]
    machine.call(["apt-get", *options, "update", "-qq"])
    machine.call(["sh", "-c", 'cd "$1"; shift; exec "$@"', "sh", str(work), "apt-get", *options, "download", *PACKAGES])


def _mirror() -> str:
    """Return the mirror of Debian that this machine uses. Raises LabError when it uses none."""
    listed = machine.call(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"])
    mirrors = sorted(line.rstrip("/") for line in listed.splitlines() if line.rstrip("/").endswith("/debian"))
    if not mirrors:
        raise LabError("apt on this machine knows no mirror of Debian, whose packages of Docker are what is used")
    return mirrors[0]
