# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger: one small file per drill, so that branches merge, with a hash inside, so that an edit is noticed.

An entry is a JSON object in ``<ledger>/<environment>/<drill_id>.json``; ``hash`` is the SHA-256 of its canonical JSON
(sorted keys, no spaces, ASCII) without ``hash``. The hash keeps nobody from forging an entry who wants to: that is what
the history of the repository is for.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.deadline import Deadline
from ..core.errors import RollbackError
from ..core.process import run
from ..core.redact import redact
from ..stores.local import LocalStore

PASSED, ISSUES, FAILED, REFUSED, RECOVERED = "passed", "issues found", "failed", "refused", "recovered"
RESULTS = (PASSED, ISSUES, FAILED, REFUSED, RECOVERED)
NEEDED = ("drill_id", "environment", "exercise", "started", "ended", "result", "hash")
CONFLICT = ("<<<<<<< ", "=======", ">>>>>>> ")

Entry = dict[str, Any]


@dataclass
class Ledger:
    """What a ledger holds: good entries, the oldest first, and what can't be counted, by file."""

    entries: list[Entry] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


def hash_of(entry: Mapping[str, Any]) -> str:
    """Return the hash that belongs to an entry."""
    plain = {key: value for key, value in entry.items() if key != "hash"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write(folder: str, entry: Mapping[str, Any]) -> str:
    """Write an entry durably and return its file.

    Raises Conflict when there is one of that name, RollbackError when it can't be written.
    """
    plain = json.loads(json.dumps(redact(dict(entry)), default=str))
    plain["hash"] = hash_of(plain)
    store = LocalStore(folder, folder_mode=0o755, file_mode=0o644)
    name = f"{plain['environment']}/{plain['drill_id']}.json"
    with store.write(name) as stream:
        stream.write(json.dumps(plain, indent=2, sort_keys=True).encode() + b"\n")
    return os.path.join(store.place, name)


def read(folder: str, environment: str = "") -> Ledger:
    """Return the entries of one environment, or of all. A ledger that is not there yet is an empty one."""
    found = Ledger()
    store = LocalStore(folder)
    holders: dict[str, list[tuple[str, Entry]]] = {}
    for one in store.list(f"{environment}/" if environment else ""):
        if not one.name.endswith(".json"):
            continue
        try:
            entry = _entry(store.read(one.name))
        except (RollbackError, ValueError) as error:
            found.problems[one.name] = str(error)
            continue
        if os.path.dirname(one.name) != entry["environment"]:
            found.problems[one.name] = f"it is an entry of the environment '{entry['environment']}'"
            continue
        holders.setdefault(str(entry["drill_id"]), []).append((one.name, entry))
    for drill_id, both in holders.items():
        if len(both) == 1:
            found.entries.append(both[0][1])
            continue
        for name, dummy in both:
            others = ", ".join(other for other, dummy in both if other != name)
            found.problems[name] = f"it and {others} are entries of the same drill {drill_id}"
    found.entries.sort(key=lambda entry: (str(entry["started"]), str(entry["ended"])))
    return found


def _entry(content: bytes) -> Entry:
    """Return a file's entry; raises ValueError with the words that say why it does not count."""
    text = content.decode("utf-8", errors="replace")
    if any(line.startswith(CONFLICT) for line in text.splitlines()):
        raise ValueError("it holds the conflict markers of a merge: keep both drills, each in its own file")
    try:
        entry = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is no JSON ({error})") from error
    if not isinstance(entry, dict) or any(key not in entry for key in NEEDED):
        raise ValueError("it is no entry of a ledger")
    if entry["hash"] != hash_of(entry):
        raise ValueError("it was changed after it was written (its content does not match its hash)")
    if entry["result"] not in RESULTS:
        raise ValueError(f"there is no result '{entry['result']}'")
    return entry


def uncommitted(folder: str) -> tuple[list[str], str]:
    """Return the entries below the folder that git does not know as they are, and why that is not known.

    Both are empty when all is committed. A folder outside a checkout, or a machine without git, is told.
    """
    folder = os.path.abspath(os.path.expanduser(folder))
    if not os.path.isdir(folder):
        return [], ""
    argv = [
        "git",
        "-C",
        folder,
        "status",
        "--porcelain",
        "-z",
        "--untracked-files=all",
        "--ignored=matching",
        "--",
        ".",
    ]
    try:
        told = run(argv, Deadline(20), ok=None)
        top = run(["git", "-C", folder, "rev-parse", "--show-toplevel"], Deadline(20), ok=None)
    except RollbackError:
        return [], "git is not installed here: whether the ledger is committed is not known"
    if told.rc or top.rc:
        return [], "the ledger is in no git checkout"
    found = []
    for line in told.stdout.split("\0"):
        path = os.path.join(top.stdout.rstrip("\n"), line[3:])
        if line[2:3] != " ":
            continue
        if path.endswith(".json"):
            found.append(os.path.relpath(path, folder))
        elif line.startswith("!!") and path.endswith("/"):
            return [], "the ledger is in a folder that git ignores"
    return sorted(found), ""
