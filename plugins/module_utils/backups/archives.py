# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an archive of pg_dump (custom, tar, directory) holds, and whether it can be read to its end."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..core.deadline import Deadline
from ..core.errors import CommandFailed, VerificationFailed
from ..core.process import run
from .formats import NOT_WHOLE
from .plain import Facts

_HEADER = {
    "database": re.compile(r"^;\s+dbname: (.+)$", re.M),
    "server": re.compile(r"^;\s+Dumped from database version: (\d+(?:\.\d+)?)", re.M),
    "client": re.compile(r"^;\s+Dumped by pg_dump version: (\d+(?:\.\d+)?)", re.M),
    "started": re.compile(r"^; Archive created at (.+)$", re.M),
}
#: number; OIDs, then kind, schema, name and owner
_ENTRY = re.compile(r"^\d+; \d+ \d+ (?P<kind>[A-Z]+(?: [A-Z]+)*) (?P<rest>\S.*)$", re.M)
_CONSTRAINTS = ("CONSTRAINT", "FK CONSTRAINT")


def contents(path: str, program: str, deadline: Deadline, environ: Mapping[str, str], name: str) -> Facts:
    """List an archive with ``program`` (pg_restore) and return what it holds; raises VerificationFailed."""
    text = _asked([program, "--list", path], deadline, environ, name)
    found = {key: one[1].strip() for key, pattern in _HEADER.items() if (one := pattern.search(text))}
    facts = Facts(**found)  # type: ignore[arg-type]
    for entry in _ENTRY.finditer(text):
        kind, words = entry["kind"], entry["rest"].split()
        if kind == "EXTENSION":
            facts.extensions.add(words[1] if words[0] == "-" else words[0])
        elif kind == "TABLE":
            facts.tables += 1
        elif kind in _CONSTRAINTS:
            facts.constraints += 1
        elif kind.startswith("BLOB"):
            facts.large_objects = True
        if kind not in ("EXTENSION", "ENCODING", "STDSTRINGS", "SEARCHPATH", "COMMENT", "BLOBS") and len(words) > 2:
            facts.owners.add(words[-1])
    return facts


def read_through(path: str, program: str, deadline: Deadline, environ: Mapping[str, str], name: str) -> None:
    """Have every byte of the archive read and decompressed; a list alone accepts an archive that was cut."""
    _asked([program, "--file=/dev/null", path], deadline, environ, name)


def _asked(argv: Sequence[str], deadline: Deadline, environ: Mapping[str, str], name: str) -> str:
    try:
        return run(argv, deadline, environ=environ, where=name).stdout
    except CommandFailed as error:
        if "unsupported version" in error.what:
            raise VerificationFailed(
                f"the archive was made by a newer pg_dump than this pg_restore: {error.what}",
                where=name,
                hint="Install the PostgreSQL client programs of the server's version, or name them with bin_dir.",
            ) from error
        raise VerificationFailed(f"the archive can't be read: {error.what}", where=name, hint=NOT_WHOLE) from error
