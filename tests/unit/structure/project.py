"""The project's own files, as the structure tests look at them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = ROOT / "plugins"


def files() -> list[Path]:
    """List what belongs to the project: git's view of it, or everything in a copy that has no git (ansible-test)."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        paths = [ROOT / name for name in listed.split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if "output" not in path.parts and "__pycache__" not in path.parts]
    return sorted(path for path in paths if path.is_file() and not path.is_symlink())


def under(*folders: str, endings: tuple[str, ...] = ()) -> list[Path]:
    """List the project's files in these folders (or of these names) that end so; empty files are left out."""
    wanted = tuple(ROOT / folder for folder in folders)
    return [
        path
        for path in files()
        if any(path == top or top in path.parents for top in wanted)
        and (not endings or path.name.endswith(endings))
        and path.stat().st_size
    ]


def plugin_sources() -> list[Path]:
    """List every Python file of the collection that is not empty."""
    found = under("plugins", endings=(".py",))
    assert found, "no plugin found: the tests look at the wrong folder"
    return found


def modules() -> list[Path]:
    """List the collection's modules."""
    return [path for path in plugin_sources() if path.parent == PLUGINS / "modules"]


def name(path: Path) -> str:
    """Return the path as a reader of a failure wants it."""
    return str(path.relative_to(ROOT))


def lines(paths: list[Path]) -> Iterator[tuple[str, str]]:
    """Walk through text files: (file:line, text)."""
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # pictures and the deliberately broken input of a test
        for number, line in enumerate(text.splitlines(), 1):
            yield f"{name(path)}:{number}", line
