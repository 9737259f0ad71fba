# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows that a cleanup removes, as COPY writes them: compressed, with a checksum each and a manifest last."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from ..core.errors import InvalidInput, VerificationFailed
from ..core.evidence import utc_now
from ..stores.base import Store

FORMAT = 1
MANIFEST = "manifest.json"
OUTCOME = "outcome.json"
COMMITTED = "committed"
ROLLED_BACK = "rolled back"
UNKNOWN = "unknown"
#: rows were removed, or only lost a reference
REMOVED = "removed"
DETACHED = "detached"
_BLOCK = 1 << 20
_UNFIT = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Part:
    """One table's rows in an archive; ``columns`` are (name, type) in the order in which COPY has them.

    Tables of one ``group`` reference each other in a circle and go in and out together.
    """

    object: str
    kind: str
    schema: str
    table: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    rows: int
    bytes: int
    sha256: str
    group: int = 0
    reference: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """Return the table's name for a person to read."""
        return self.table if self.schema == "public" else f"{self.schema}.{self.table}"


@dataclass(frozen=True)
class Manifest:
    """What an archive holds, parents before children, of which database, and which transaction was to remove it."""

    archive: str
    made: str
    run_id: str
    server: Mapping[str, Any]
    transaction: str
    parts: tuple[Part, ...]
    sha256: str = ""

    def content(self) -> bytes:
        """Return the manifest as it is stored."""
        plain = {
            "format": FORMAT,
            "archive": self.archive,
            "made": self.made,
            "run_id": self.run_id,
            "server": dict(self.server),
            "transaction": self.transaction,
            "parts": [vars(one) for one in self.parts],
        }
        return (json.dumps(plain, indent=1, sort_keys=True, default=str) + "\n").encode()


class Writer:
    """The parts of an archive that is being written; they appear in the store when ``writing`` ends well."""

    def __init__(self, store: Store | None, name: str, undo: contextlib.ExitStack) -> None:
        self.name = name
        self.parts: list[Part] = []
        self._store = store
        self._undo = undo

    @contextlib.contextmanager
    def part(self, **known: Any) -> Iterator[Any]:
        """Give a stream for one table's rows; ``known`` are the fields of Part that the caller knows."""
        title = _UNFIT.sub("-", f"{known['schema']}.{known['table']}")[:80]
        object_name = f"{self.name}/{len(self.parts) + 1:03d}-{title}.copy.gz"
        hashed = _Hashed(self._undo.enter_context(self._store.write(object_name))) if self._store else None
        packed = gzip.GzipFile("", "wb", 1, hashed, 0) if hashed else None
        tally = _Tally(packed)
        with io.BufferedWriter(tally, _BLOCK) as stream:
            yield stream
        if packed is not None:
            packed.close()
        sha256 = hashed.hash.hexdigest() if hashed else ""
        self.parts.append(Part(object=object_name, bytes=tally.bytes, sha256=sha256, **known))


class _Tally(io.RawIOBase):
    """Count the bytes that come in and pass them on, if there is somebody to pass them on to."""

    def __init__(self, target: gzip.GzipFile | None) -> None:
        self.bytes = 0
        self._target = target

    def writable(self) -> bool:
        return True

    def write(self, block: Any) -> int:
        self.bytes += len(block)
        if self._target is not None:
            self._target.write(block)
        return len(block)


class _Hashed:
    """Hash what is written to a stream."""

    def __init__(self, target: BinaryIO) -> None:
        self.hash = hashlib.sha256()
        self._target = target

    def write(self, block: bytes) -> int:
        self.hash.update(block)
        return self._target.write(block)

    def flush(self) -> None:
        self._target.flush()


def new_name(run_id: str) -> str:
    """Return a name for a new archive: that of the run, or the time, and a few letters that make it the only one."""
    label = _UNFIT.sub("-", run_id) or "cleanup-" + _UNFIT.sub("", utc_now()).replace("-", "")
    return f"{label}-{secrets.token_hex(2)}"


@contextlib.contextmanager
def writing(store: Store | None, name: str) -> Iterator[Writer]:
    """Write an archive's parts: all appear, whole and durable, when the block ends, or none when it raises.

    Without a store nothing is kept: a rehearsal reads the rows as it would for an archive.
    """
    with contextlib.ExitStack() as undo:
        yield Writer(store, name, undo)


def seal(store: Store, manifest: Manifest) -> str:
    """Write the manifest, which makes the parts an archive; return its SHA-256."""
    content = manifest.content()
    store.put(f"{manifest.archive}/{MANIFEST}", content)
    return hashlib.sha256(content).hexdigest()


def read(store: Store, name: str) -> Manifest:
    """Return an archive's manifest; raises NotFound when there is none, InvalidInput when it is not one of ours."""
    where = f"{store.place}, {name}/{MANIFEST}"
    content = store.read(f"{name}/{MANIFEST}")
    try:
        plain = json.loads(content)
        if plain["format"] != FORMAT:
            raise InvalidInput(f"the archive has format {plain['format']}, this version reads {FORMAT}", where=where)
        parts = tuple(
            Part(**{**one, "columns": tuple(tuple(pair) for pair in one["columns"]), "key": tuple(one["key"]),
                    "reference": tuple(one["reference"])})
            for one in plain["parts"]
        )  # fmt: skip
        manifest = Manifest(
            plain["archive"], plain["made"], plain["run_id"], plain["server"], plain["transaction"], parts,
            hashlib.sha256(content).hexdigest(),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"the manifest can't be read: {error}", where=where, hint="Nothing was changed.") from error
    for one in manifest.parts:
        if not one.object.startswith(f"{name}/"):
            raise InvalidInput(f"the manifest names {one.object}, which is no part of it", where=where)
    return manifest


def verify(store: Store, manifest: Manifest) -> None:
    """Read every part to its end; raises VerificationFailed when one is not what the cleanup wrote."""
    for one in manifest.parts:
        digest = hashlib.sha256()
        with store.open(one.object) as stream:
            for block in iter(lambda: stream.read(_BLOCK), b""):
                digest.update(block)
        if digest.hexdigest() != one.sha256:
            raise VerificationFailed(
                "the rows were changed or cut short since they were archived (the checksum differs)",
                where=f"{store.place}, {one.object}",
                hint="Nothing was put back. Take the archive from a copy of the store.",
            )


@contextlib.contextmanager
def opened(store: Store, part: Part) -> Iterator[BinaryIO]:
    """Give a stream of a part's rows as COPY wrote them."""
    with store.open(part.object) as packed, gzip.GzipFile(fileobj=packed) as stream:
        yield io.BufferedReader(stream, _BLOCK)


def outcome_of(store: Store, name: str) -> str:
    """Return what is known of the transaction that an archive belongs to, empty when nobody has looked yet."""
    if store.stat(f"{name}/{OUTCOME}") is None:
        return ""
    try:
        return str(json.loads(store.read(f"{name}/{OUTCOME}"))["outcome"])
    except (ValueError, KeyError, TypeError):
        return ""


def tell_outcome(store: Store, name: str, outcome: str, how: str) -> None:
    """Write down what became of the transaction."""
    told = {"outcome": outcome, "how": how, "at": utc_now()}
    store.put(f"{name}/{OUTCOME}", (json.dumps(told) + "\n").encode())


def unresolved(store: Store) -> list[str]:
    """Return the archives whose transaction nobody knows the end of, oldest first."""
    names = {one.name for one in store.list()}
    found: Sequence[str] = sorted(name[: -len(MANIFEST) - 1] for name in names if name.endswith("/" + MANIFEST))
    return [name for name in found if f"{name}/{OUTCOME}" not in names]
