"""Published collections that a test needs (awx.awx, community.general), taken out of the PyPI package `ansible`.

Galaxy isn't needed: the package carries them. It is fetched once, into the user's cache folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

VERSION = "12.3.0"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dualwrite-rollback"


def published(*names: str) -> Path:
    """Return a folder for ANSIBLE_COLLECTIONS_PATH that holds these collections (`awx.awx`).

    Raises subprocess.CalledProcessError when the package can't be fetched, LookupError when it has no such collection.
    """
    home = CACHE / f"ansible-{VERSION}"
    for name in names:
        if not (home / "ansible_collections" / name.replace(".", "/") / "MANIFEST.json").exists():
            _unpack(name, home)
    return home


def _unpack(name: str, home: Path) -> None:
    """Take one collection out of the package; its MANIFEST.json, which marks it whole, comes last."""
    prefix = f"ansible_collections/{name.replace('.', '/')}/"
    with zipfile.ZipFile(_package(home)) as package:
        members = [member for member in package.namelist() if member.startswith(prefix)]
        if not members:
            raise LookupError(f"ansible {VERSION} has no collection {name}")
        package.extractall(home, sorted(members, key=lambda member: member == f"{prefix}MANIFEST.json"))


def _package(home: Path) -> Path:
    """Fetch the package by pip, unless it is there."""
    home.mkdir(parents=True, exist_ok=True)
    wheel = home / f"ansible-{VERSION}-py3-none-any.whl"
    if not wheel.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--dest", str(home), f"ansible=={VERSION}"], check=True)
    return wheel
