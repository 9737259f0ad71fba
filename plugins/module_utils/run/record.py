# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's record: append-only JSON lines, each holding the hash of the one before.

An entry is ``{"seq", "at", "run_id", "type", "host", "data", "previous", "hash"}``. ``hash`` is the SHA-256 of the
entry's canonical JSON (sorted keys, no spaces, ASCII) without ``hash``; ``previous`` is the hash of the entry before,
64 zeros for the first. Editing, removing or reordering a line breaks the chain. Cutting entries off the end does not:
hence the head hash that ``close`` also writes into incident.md.

A writer that dies in the middle of a write leaves a torn line. Nothing is taken away: the next append ends that line
and puts a ``torn`` entry behind it that names its size and SHA-256, and ``verify`` accepts exactly those bytes there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ..core.errors import VerificationFailed
from ..core.evidence import utc_now
from ..core.redact import redact
from ..stores.base import Store

RECORD = "record.jsonl"
START = "0" * 64
TYPES = ("open", "phase", "failure", "interrupted", "takeover", "note", "torn", "close")
LONGEST_TEXT = 4000
LONGEST_LIST = 2000

Entry = dict[str, Any]


@dataclass
class Chain:
    """What a record holds: its entries, the hash of the last one, and the first bad line if there is one."""

    entries: list[Entry] = field(default_factory=list)
    head: str = START
    torn: int = 0
    bad_line: int = 0
    problem: str = ""


def new_run_id(scenario: str) -> str:
    """Return a name for a run, e.g. ``20261123T103000123Z-rollback-1f2e``.

    Names sort as the runs began, those of one second too: history and the takeover of a dead run read them so. There
    are only letters, digits and dashes in them, so that a canary named after its run is a slug as well.
    """
    now = datetime.now(timezone.utc)
    moment = f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z"
    word = "".join(char if char.isalnum() and char.isascii() else "-" for char in scenario.lower()).strip("-") or "run"
    return f"{moment}-{word}-{os.urandom(2).hex()}"


def canonical(entry: Mapping[str, Any]) -> bytes:
    """Return the bytes of an entry that its hash is taken from."""
    plain = {key: value for key, value in entry.items() if key != "hash"}
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def seal(entry: Mapping[str, Any]) -> Entry:
    """Return the entry with its hash."""
    return {**entry, "hash": hashlib.sha256(canonical(entry)).hexdigest()}


def line(entry: Entry) -> bytes:
    """Return a sealed entry as the line that stands in the file."""
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


def read_chain(content: bytes) -> Chain:
    """Return the entries of a record's bytes and what is wrong with them, if anything.

    Entries are read to the end even behind a bad line, so that a report can still be made. Torn lines at the very end
    (a crash in the middle of a write) are counted in ``torn`` and are no problem; ``bad_line`` counts from 1.
    """
    chain = Chain()
    torn: list[tuple[int, bytes]] = []
    for number, raw in enumerate(_lines(content), start=1):
        entry = _parse(raw)
        if entry is None:
            torn.append((number, raw))
            continue
        problem = _problem(entry, raw, chain) or _torn_problem(entry, torn)
        if problem and not chain.problem:
            chain.bad_line, chain.problem = (torn[0][0] if torn else number), problem
        torn = []
        chain.entries.append(entry)
        chain.head = str(entry["hash"])
    chain.torn = len(torn)
    return chain


def extended(content: bytes, entries: Sequence[Mapping[str, Any]]) -> bytes:
    """Return what must be added to a record's bytes to append ``entries`` (each type, host, data, run_id, at)."""
    lines = _lines(content)
    start = b"" if not content or content.endswith(b"\n") else b"\n"
    torn: list[bytes] = []
    last: Entry | None = None
    while lines:
        last = _parse(lines[-1])
        if last is not None:
            break
        torn.insert(0, lines.pop())
    seq, previous = (int(last["seq"]), str(last["hash"])) if last else (0, START)
    todo = list(entries)
    if torn and todo:
        what = {"lines": len(torn), "bytes": len(b"\n".join(torn)), "sha256": _digest(torn)}
        todo.insert(0, {**todo[0], "type": "torn", "host": None, "data": what})
    added = start
    for entry in todo:
        seq += 1
        sealed = seal({**entry, "seq": seq, "previous": previous})
        previous = sealed["hash"]
        added += line(sealed)
    return added


class Record:
    """The record of one run in a store; every method may be called by several processes at once."""

    def __init__(self, store: Store, run_id: str) -> None:
        self.store = store
        self.run_id = run_id

    def append(self, kind: str, data: Mapping[str, Any], *, host: str | None = None) -> None:
        """Append one entry, redacted and cut to a sane size, durably; raises RollbackError when it can't be written."""
        if kind not in TYPES:
            raise ValueError(kind)
        plain = json.loads(json.dumps(shortened(redact(dict(data))), default=str))
        entry = {"at": utc_now(), "run_id": self.run_id, "type": kind, "host": host, "data": plain}
        self.store.append(RECORD, lambda content: extended(content, [entry]))

    def read(self) -> Chain:
        """Return the record as it stands, good or not; raises NotFound when there is none."""
        return read_chain(self.store.read(RECORD))

    def verify(self) -> Chain:
        """Return the record when its chain holds.

        Raises VerificationFailed with the first bad line, NotFound when there is no record.
        """
        chain = self.read()
        if chain.problem:
            raise VerificationFailed(
                f"the record was changed after it was written: line {chain.bad_line}: {chain.problem}",
                where=f"{self.store.place}/{RECORD}",
                hint="Compare it with the head hash in incident.md and with a copy; don't trust this report.",
                evidence={"bad_line": chain.bad_line, "problem": chain.problem},
            )
        return chain


def shortened(value: Any) -> Any:
    """Return plain data with texts over 4000 characters and lists over 2000 items cut, and said to be."""
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return f"{value[:LONGEST_TEXT]} … ({len(value) - LONGEST_TEXT} more characters)"
    if isinstance(value, Mapping):
        return {str(key): shortened(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        kept = [shortened(item) for item in value[:LONGEST_LIST]]
        return kept if len(value) <= LONGEST_LIST else [*kept, f"… ({len(value) - LONGEST_LIST} more)"]
    return value


def _lines(content: bytes) -> list[bytes]:
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _parse(raw: bytes) -> Entry | None:
    try:
        entry = json.loads(raw)
    except ValueError:
        return None
    keys = {"seq", "at", "run_id", "type", "host", "data", "previous", "hash"}
    whole = isinstance(entry, dict) and keys <= set(entry) and isinstance(entry["data"], dict)
    return entry if whole and isinstance(entry["seq"], int) else None


def _problem(entry: Entry, raw: bytes, chain: Chain) -> str:
    seq = chain.entries[-1]["seq"] + 1 if chain.entries else 1
    if hashlib.sha256(canonical(entry)).hexdigest() != entry["hash"] or line(entry) != raw + b"\n":
        return "its content does not match its hash (edited)"
    if entry["previous"] != chain.head or entry["seq"] != seq:
        return f"entry {entry['seq']} does not follow the one before it (a line was removed, added or moved)"
    return ""


def _torn_problem(entry: Entry, torn: Sequence[tuple[int, bytes]]) -> str:
    raw = [content for number, content in torn]
    if entry["type"] == "torn":
        return "" if raw and entry["data"].get("sha256") == _digest(raw) else "the torn line that it names is not there"
    return "the line is not an entry of a record" if torn else ""


def _digest(lines: Sequence[bytes]) -> str:
    return hashlib.sha256(b"\n".join(lines)).hexdigest()
