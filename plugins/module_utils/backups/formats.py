# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: what a backup is made of, by its first bytes; its bytes decompressed, with an end that has to be there."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

from ..core.errors import VerificationFailed
from ..core.translate import require

PLAIN, CUSTOM, TAR, DIRECTORY = "plain", "custom", "tar", "directory"
#: what a name ends with -> format; everything else in a store is not a backup
ENDINGS = {".sql": PLAIN, ".dump": CUSTOM, ".pgdump": CUSTOM, ".backup": CUSTOM, ".tar": TAR}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
#: the file that makes a folder an archive in the directory format
CONTENTS_FILE = "toc.dat"
HEAD = 512
#: what is decompressed is handed on in pieces of this size
PIECE = 1024 * 1024
#: bytes that are decompressed at once: so few that even zeros, of which gzip makes 1 of 1032 and zstd 1 of 32768, do
#: not become more than 8 MiB
_STEPS = {"gzip": 8 * 1024, "zstd": 256}
NOT_WHOLE = "It is not whole; choose another backup, or get this one again from where it came."


@dataclass(frozen=True)
class Format:
    """How a backup is kept: plain, custom, tar or directory, and the compression around it (plain only)."""

    kind: str
    compression: str = ""

    def __str__(self) -> str:
        """Return it as a person would say it."""
        return f"{self.kind}, {self.compression}" if self.compression else self.kind


def by_name(name: str) -> Format | None:
    """Return the format that a name promises, None when it promises none."""
    stem, compression = name, ""
    for ending, word in COMPRESSIONS.items():
        if name.endswith(ending):
            stem, compression = name[: -len(ending)], word
    for ending, kind in ENDINGS.items():
        if stem.endswith(ending):
            return Format(kind, compression) if kind == PLAIN or not compression else None
    return None


def by_content(head: bytes, name: str) -> Format:
    """Return the format of a backup that begins with these bytes; raises VerificationFailed for anything else."""
    if not head:
        raise VerificationFailed("the backup is empty", where=name, hint=NOT_WHOLE)
    if head.startswith(b"PGDMP"):
        return Format(CUSTOM)
    if head.startswith(b"\x1f\x8b"):
        return Format(PLAIN, "gzip")
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return Format(PLAIN, "zstd")
    if head[257:262] == b"ustar":
        return Format(TAR)
    if b"\0" in head:
        raise VerificationFailed("this is no backup made by pg_dump", where=name, hint="Choose another backup.")
    return Format(PLAIN)


def decompressed(chunks: Iterable[bytes], compression: str, name: str) -> Iterator[bytes]:
    """Walk through the content; raises VerificationFailed where the compressed data is damaged or ends too early."""
    return _inflated(chunks, compression, name) if compression else iter(chunks)


class _Decompressor(Protocol):
    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes) -> bytes: ...


def _inflated(chunks: Iterable[bytes], compression: str, name: str) -> Iterator[bytes]:
    make, failures = _tool(compression)
    one: _Decompressor | None = None
    held = bytearray()
    for given in _cut(chunks, _STEPS[compression]):
        rest = given
        while rest:
            # a file may hold several members one after the other
            one = one or make()
            try:
                held += one.decompress(rest)
            except failures as error:
                raise VerificationFailed(
                    f"the {compression} data is damaged: {error}", where=name, hint=NOT_WHOLE
                ) from error
            rest = one.unused_data if one.eof else b""
            one = None if one.eof else one
            if len(held) >= PIECE:
                yield bytes(held)
                held.clear()
    if one is not None:
        raise VerificationFailed(f"the {compression} data ends in the middle", where=name, hint=NOT_WHOLE)
    if held:
        yield bytes(held)


def _cut(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    return (chunk[start : start + size] for chunk in chunks for start in range(0, len(chunk), size))


def _tool(compression: str) -> tuple[Any, tuple[type[Exception], ...]]:
    if compression == "gzip":
        return _gunzip, (zlib.error,)
    require("zstandard", "zstandard", needed_for="a backup that is compressed with zstd")
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj, (zstandard.ZstdError,)


def _gunzip() -> _Decompressor:
    return cast("_Decompressor", zlib.decompressobj(31))
