"""The Python interpreters of this machine, and virtual environments made from them."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .tier import ROOT, Tier

COLLECTIONS = str(ROOT / ".cache" / "collections")
OLDEST_TARGET = (3, 9)
VENVS = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "dualwrite-rollback" / "venvs"


def available() -> dict[tuple[int, int], str]:
    """Find the interpreters on PATH and under ~/.pyenv/versions that start. Version -> path, oldest first."""
    folders = [Path(name) for name in os.environ.get("PATH", "").split(os.pathsep) if name]
    folders += sorted(Path("~/.pyenv/versions").expanduser().glob("*/bin"))
    found: dict[tuple[int, int], str] = {}
    for folder in folders:
        for candidate in sorted(folder.glob("python3.*")) if folder.is_dir() else []:
            matched = re.fullmatch(r"python3\.(\d+)", candidate.name)
            version = (3, int(matched.group(1))) if matched else (0, 0)
            if matched and version not in found and _starts(candidate, version):
                found[version] = str(candidate)
    return dict(sorted(found.items()))


def _starts(candidate: Path, version: tuple[int, int]) -> bool:
    """A pyenv shim exists for versions that it then refuses to run, and a bare Python may lack ensurepip."""
    check = f"import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != {version})"
    try:
        return (
            subprocess.run([str(candidate), "-c", check], capture_output=True, timeout=20, check=False).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def linked(folder: Path, pythons: dict[tuple[int, int], str]) -> Path:
    """Fill a folder with links python3.N -> interpreter, so that one PATH entry offers exactly these."""
    folder.mkdir(parents=True, exist_ok=True)
    for (major, minor), path in pythons.items():
        link = folder / f"python{major}.{minor}"
        link.unlink(missing_ok=True)
        link.symlink_to(path)
    return folder


@dataclasses.dataclass(frozen=True)
class Environment:
    """Another Python with another ansible-core: what it is called, its version, its programs, a child's variables."""

    label: str
    version: tuple[int, int]
    programs: Path

    @property
    def python(self) -> str:
        return str(self.programs / "python")

    @property
    def env(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.programs), os.environ["PATH"]])
        return {"PATH": path, "PYTHONPATH": COLLECTIONS, "ANSIBLE_COLLECTIONS_PATH": COLLECTIONS}


def controllers(tier: Tier) -> Iterator[Environment]:
    """Make the environments of the oldest and the newest ansible-core that are promised, each when it is asked for."""
    found = available()
    oldest = next((version for version in ((3, 11), (3, 12), (3, 10)) if version in found), None)
    if oldest is None:
        tier.missing("no Python 3.10 to 3.12 on this machine: ansible-core 2.16 is not tried")
    else:
        yield from _made(tier, "ansible-core 2.16", "ansible-core>=2.16.0,<2.17", oldest, found[oldest], "compat.in")
    newest = max((version for version in found if version >= (3, 12)), default=None)
    if newest is None:
        tier.notes.append("no Python 3.12 or newer on this machine: the newest ansible-core is not tried")
    else:
        yield from _made(tier, "newest ansible-core", "ansible-core>=2.20", newest, found[newest], "compat.in")


def targets(tier: Tier) -> Iterator[Environment]:
    """Make the environment of the oldest Python that a host may have."""
    found = available()
    if OLDEST_TARGET in found:
        requirement = "ansible-core>=2.15,<2.16"
        yield from _made(tier, "Python 3.9", requirement, OLDEST_TARGET, found[OLDEST_TARGET], "target.in")
    else:
        tier.notes.append("no Python 3.9 on this machine: the oldest Python of a target is not tried")


def _made(
    tier: Tier, label: str, requirement: str, version: tuple[int, int], python: str, needs: str
) -> Iterator[Environment]:
    name = f"{label.replace(' ', '-')}-py{version[0]}.{version[1]}"
    programs = _environment(name, python, [requirement, "--requirement", str(ROOT / "requirements" / needs)])
    if programs is None:
        tier.failed_steps.append(f"{label}: environment")
    else:
        yield Environment(label, version, programs)


def _environment(name: str, python: str, requirements: list[str]) -> Path | None:
    """Make (or bring up to date) a virtual environment and return its bin folder; None when that failed."""
    programs = VENVS / name / "bin"
    VENVS.mkdir(parents=True, exist_ok=True)
    with (VENVS / f"{name}.lock").open("w") as lock:  # two tiers may want the same one
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _filled(name, programs, python, requirements)


def _filled(name: str, programs: Path, python: str, requirements: list[str]) -> Path | None:
    if not (programs / "pip").exists():
        shutil.rmtree(VENVS / name, ignore_errors=True)
        if subprocess.run([python, "-m", "venv", str(VENVS / name)], check=False).returncode:
            return None
    install = [str(programs / "pip"), "install", "--quiet", "--disable-pip-version-check", "--upgrade", *requirements]
    return programs if subprocess.run(install, check=False).returncode == 0 else None
