"""Read an env file the way systemd and a shell would for plain assignments, and refresh the process from it."""

import os
import re
from pathlib import Path

from . import flags

LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*?)\s*$")
QUOTED = re.compile(r"""^(?:"((?:[^"\\]|\\.)*)"|'([^']*)')\s*(?:#.*)?$""")


def read(path: str | Path) -> dict[str, str]:
    """Return NAME -> value of an env file; the last assignment wins, quotes and comments are taken off."""
    values = {}
    for line in Path(path).read_text(encoding="utf-8-sig").splitlines():
        found = LINE.match(line)
        if found:
            values[found[1]] = unquote(found[2])
    return values


def unquote(text: str) -> str:
    """Return the value that a right-hand side stands for."""
    quoted = QUOTED.match(text)
    if quoted is None:
        return re.sub(r"\s+#.*$", "", text)
    if quoted[1] is not None:
        return re.sub(r'\\(["\\$`])', r"\1", quoted[1])
    return quoted[2]


def refresh() -> bool:
    """Put the env file's present values into os.environ, if the lab asked for that; say whether it was done.

    A flag that no longer stands in the file is removed. /proc/<pid>/environ keeps showing the values of the start.
    """
    path = os.environ.get("LAB_ENV_FILE")
    if not path or os.environ.get("LAB_RELOAD") != "1":
        return False
    values = read(path)
    os.environ.update(values)
    for name in flags.NAMES:
        if name not in values:
            os.environ.pop(name, None)
    return True
