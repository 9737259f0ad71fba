"""A copy of this tree where ansible-test wants it: <folder>/ansible_collections/dualwrite/rollback."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .tier import ROOT


def project_files() -> list[str]:
    """List the files that belong to the project: what git tracks, and what it would track (not ignored)."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted(name for name in listed.split("\0") if name and os.path.lexists(ROOT / name))


@contextlib.contextmanager
def copied_tree() -> Iterator[Path]:
    """Copy the project's files (symbolic links stay links) into a new folder, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="dualwrite-rollback-") as folder:
        top = Path(folder) / "ansible_collections" / "dualwrite" / "rollback"
        for name in project_files():
            target = top / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target, follow_symlinks=False)
        yield top


def offline_pip(python: str) -> None:
    """Give ansible-test the pip bootstrap script that it would fetch from its own host.

    The script's number follows the ansible-core version: it is read from ansible-test's own source. One that is
    already there is kept.
    """
    source = subprocess.run(
        [python, "-c", "import ansible_test._internal.python_requirements as m; print(m.__file__)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    cache = Path("~/.ansible/test/cache").expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    for version in re.findall(r"""pip=["']([\d.]+)["']""", Path(source).read_text(encoding="utf-8")):
        script = cache / f"get_pip_{version.replace('.', '_')}.py"
        if not script.exists():
            script.write_text(
                "import ensurepip\nensurepip.bootstrap(upgrade=True, default_pip=True)\n", encoding="utf-8"
            )
