# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an archive of pg_dump (custom, tar, directory) holds, and whether it can be read to its end."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..core.deadline import Deadline
from ..core.errors import CommandFailed, VerificationFailed
from ..core.parallel import of_each
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
_ENCODING = re.compile(r"^SET client_encoding = '([^']+)';$", re.M)
_CONSTRAINTS = ("CONSTRAINT", "FK CONSTRAINT")
#: kinds of entries behind which there is data; large objects are one entry or several
_DATA = ("TABLE DATA", "BLOBS")
#: parts for each process: which of them are large is not in the list, so that whoever is done takes the next one
_PARTS = 4


def contents(path: str, program: str, deadline: Deadline, environ: Mapping[str, str], name: str) -> Facts:
    """List an archive with ``program`` (pg_restore) and return what it holds; raises VerificationFailed."""
    text = _asked([program, "--list", path], deadline, environ, name)
    found = {key: one[1].strip() for key, pattern in _HEADER.items() if (one := pattern.search(text))}
    facts = Facts(**found)  # type: ignore[arg-type]
    # what is restored of no entry at all is how a session begins that restores
    if began := _ENCODING.search(_asked([program, "--file=-", "--use-list=/dev/null", path], deadline, environ, name)):
        facts.encoding = began[1]
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


def read_through(
    path: str, program: str, deadline: Deadline, environ: Mapping[str, str], name: str, parallel: int = 1
) -> None:
    """Have every byte of the archive read and decompressed, by so many processes at a time.

    A list alone accepts an archive that was cut. Raises VerificationFailed.
    """
    argv = [program, "--file=/dev/null"]
    if parallel < 2:
        _asked([*argv, path], deadline, environ, name)
        return
    parts = shares(_asked([program, "--list", path], deadline, environ, name), parallel * _PARTS)
    argv.append("--use-list=/dev/stdin")
    of_each(parts, lambda part: _asked([*argv, path], deadline, environ, name, part), at_once=parallel)


def shares(listed: str, most: int) -> list[str]:
    """Return the entries of an archive's list in at most so many lists, each entry in one, data spread over them."""
    entries = [line for line in listed.splitlines() if line and not line.startswith(";")]
    data = [one for one in entries if (found := _ENTRY.match(one)) and found["kind"].startswith(_DATA)]
    known = set(data)
    lists = [data[first::most] for first in range(min(most, len(data)))] or [[]]
    lists[0] += [one for one in entries if one not in known]
    return ["\n".join(part) + "\n" for part in lists]


def _asked(
    argv: Sequence[str], deadline: Deadline, environ: Mapping[str, str], name: str, given: str | None = None
) -> str:
    try:
        return run(argv, deadline, environ=environ, stdin=given, where=name).stdout
    except CommandFailed as error:
        if "unsupported version" in error.what:
            raise VerificationFailed(
                f"the archive was made by a newer pg_dump than this pg_restore: {error.what}",
                where=name,
                hint="Install the client programs of the PostgreSQL that made it, or name their folder with bin_dir.",
            ) from error
        raise VerificationFailed(f"the archive can't be read: {error.what}", where=name, hint=NOT_WHOLE) from error
