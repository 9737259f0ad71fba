"""The Python interpreters of this machine, and virtual environments made from them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

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


def environment(name: str, python: str, requirements: list[str]) -> Path | None:
    """Make (or bring up to date) a virtual environment and return its bin folder; None when that failed."""
    programs = VENVS / name / "bin"
    if not (programs / "pip").exists():
        shutil.rmtree(VENVS / name, ignore_errors=True)
        if subprocess.run([python, "-m", "venv", str(VENVS / name)], check=False).returncode:
            return None
    install = [str(programs / "pip"), "install", "--quiet", "--disable-pip-version-check", "--upgrade", *requirements]
    return programs if subprocess.run(install, check=False).returncode == 0 else None
