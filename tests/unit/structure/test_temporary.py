"""A session of tests leaves the temporary folders of another one as they are."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest


def shared(path: Path) -> Path:
    """Return the folder above that pytest lets the sessions of a user share."""
    return next(parent for parent in path.parents if parent.name.startswith("pytest-of-"))


def test_it_makes_a_temporary_folder(tmp_path: Path) -> None:
    """It is also what the next one runs beside itself."""
    assert stat.S_IMODE(shared(tmp_path).stat().st_mode) & 0o700 == 0o700


def test_the_way_through_stays_open_when_another_session_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shared(tmp_path)
    folder.chmod(0o711)
    monkeypatch.delenv("PYTEST_PLUGINS", raising=False)
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"{__file__}::{test_it_makes_a_temporary_folder.__name__}",
    ]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout + done.stderr
    assert stat.S_IMODE(folder.stat().st_mode) == 0o711
