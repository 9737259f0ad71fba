# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a log file and its rotated siblings from a time on, then follow it: each byte once, whatever rotation does.

How a file is known again: by device and inode, and by its head (its first bytes, which begin with a time and so differ
from file to file). Between two looks the live file may have been

- renamed (``.1``, a date): the handle is still open, the rest is read from it, the new live file from its begin;
- renamed and compressed: as above; the archive's head is the head of a file that was read, so it is left alone;
- copied and truncated: its head changed or it shrank; the copy bears the old head and is read on from where we were;
- rotated more than once: siblings that were never seen and were written since the begin are read in full.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

from ..core.errors import RollbackError

BLOCK = 64 * 1024
HEAD = 1024
#: heads shorter than this are too short to tell two files apart
SHORTEST_HEAD = 48
#: a line longer than this is read in pieces
LONGEST_LINE = 4 * 1024 * 1024

_NUMBER_OR_DATE = r"(?:[.-](?:\d{1,4}|\d{4}-?\d{2}-?\d{2}[-_T.:\dh]*|old))"
_ARCHIVE = r"(?P<archive>\.(?:gz|bz2|xz|zst|lz4))?"
_OPENERS: dict[str, Callable[[str], Any]] = {".gz": gzip.GzipFile, ".bz2": bz2.BZ2File, ".xz": lzma.LZMAFile}
#: returns the time of the line, None when it bears none
TimeOfBytes = Callable[[bytes], "float | None"]


@dataclass
class _Piece:
    """One file that is open and read so far up to ``offset``; ``rest`` is the begin of a line without its end."""

    stream: IO[bytes]
    head: bytes
    offset: int
    rest: bytes = b""

    def refresh_head(self) -> bool:
        """Take a longer head when the file has grown; return False when the file is not what it was: truncated."""
        now = os.pread(self.stream.fileno(), HEAD, 0)
        if os.fstat(self.stream.fileno()).st_size < self.offset or not now.startswith(self.head):
            return False
        self.head = now
        return True


class LogFile:
    """One live log file with its rotated siblings, read from ``begin`` (epoch seconds) on."""

    def __init__(self, path: str, begin: float, time_of: TimeOfBytes) -> None:
        self.path = path
        self.begin = begin
        self.time_of = time_of
        self._pieces: dict[tuple[int, int], _Piece] = {}
        self._lost: list[tuple[bytes, int]] = []
        self._archives: set[tuple[int, int]] = set()

    def blocks(self) -> Iterator[tuple[str, list[bytes]]]:
        """Yield the lines that were not yielded before, in blocks: (key of the file they stand in, its next lines).

        Lines before ``begin`` may come along (the begin is found by blocks): the caller compares each line's time.
        Raises RollbackError when a file can't be read; what was yielded until then is not yielded again.
        """
        try:
            yield from self._blocks()
        except OSError as error:
            raise RollbackError(f"the log can't be read: {error.strerror}", where=self.path) from error

    def _blocks(self) -> Iterator[tuple[str, list[bytes]]]:
        for piece in self._pieces.values():
            if not piece.refresh_head():
                self._lost.append((piece.head, piece.offset - len(piece.rest)))
                piece.head, piece.offset, piece.rest = b"", 0, b""
        plain, archives = self._family()
        for path in plain:
            self._open(path)
        for identity, piece in list(self._pieces.items()):
            for lines in _rest_of(piece):
                yield f"{identity}", lines
        for path in archives:
            for lines in self._archive(path):
                yield path, lines

    def close(self) -> None:
        """Close every handle."""
        for piece in self._pieces.values():
            piece.stream.close()
        self._pieces.clear()

    def _family(self) -> tuple[list[str], list[str]]:
        """Return (plain files, archives) of this log written since the begin, the live one first."""
        plain = [self.path] if os.path.exists(self.path) else []
        archives: list[str] = []
        for path, archive in siblings(self.path):
            try:
                recent = os.stat(path).st_mtime >= self.begin - 1
            except FileNotFoundError:
                continue
            if recent:
                (archives if archive else plain).append(path)
        return plain, archives

    def _open(self, path: str) -> None:
        try:
            stream: IO[bytes] = open(path, "rb")  # noqa: SIM115 - kept open to survive the next rotation
        except FileNotFoundError:
            return
        status = os.fstat(stream.fileno())
        identity = (status.st_dev, status.st_ino)
        head = os.pread(stream.fileno(), HEAD, 0)
        if identity in self._pieces or self._is_read(head):
            stream.close()
            return
        offset = self._where_lost(head)
        self._pieces[identity] = _Piece(
            stream, head, find_begin(stream, self.begin, self.time_of) if offset is None else offset
        )

    def _archive(self, path: str) -> Iterator[list[bytes]]:
        """Yield an archive's lines in blocks, once, unless its content was read before it was compressed.

        It is read to its end before the first line is yielded: half of an archive that is just being written would
        be counted again with the whole.
        """
        opener = _OPENERS.get(os.path.splitext(path)[1])
        try:
            status = os.stat(path)
            identity = (status.st_dev, status.st_ino)
            if identity in self._archives:
                return
            if opener is None:
                raise RollbackError("the rotated log is compressed in a way that can't be read", where=path)
            with opener(path) as stream:
                head = _read_up_to(stream, HEAD)
                if self._is_read(head):
                    return
                while stream.read(BLOCK * 16):
                    pass
                self._archives.add(identity)
                stream.seek(self._where_lost(head) or 0)
                rest = b""
                for block in iter(partial(stream.read, BLOCK * 16), b""):
                    *complete, rest = (rest + block).split(b"\n")
                    yield complete
                yield [rest]
        except FileNotFoundError:
            return
        except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
            raise RollbackError(f"the rotated log can't be read to its end: {error}", where=path) from error

    def _is_read(self, head: bytes) -> bool:
        """Return whether a file with this head is being read already, under another name or inode."""
        return any(_same_head(piece.head, head) for piece in self._pieces.values())

    def _where_lost(self, head: bytes) -> int | None:
        """Return up to where a file with this head was read before it was truncated; None when it never was."""
        return next((offset for lost, offset in self._lost if _same_head(lost, head)), None)


def siblings(path: str) -> list[tuple[str, bool]]:
    """Return the rotated files of a log: [(path, whether it is an archive)].

    Known are app.log.1, app.log.2.gz, app.log-20260125, app.log.2026-01-25_18, app-20260125.log, app.log.old.
    """
    folder, name = os.path.split(path)
    stem, extension = os.path.splitext(name)
    forms = [re.compile(re.escape(name) + _NUMBER_OR_DATE + _ARCHIVE)]
    if stem and extension:
        forms.append(re.compile(re.escape(stem) + _NUMBER_OR_DATE + re.escape(extension) + _ARCHIVE))
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError:
        return []
    matches = [(other, form.fullmatch(other)) for other in names for form in forms]
    return [(os.path.join(folder, other), bool(match["archive"])) for other, match in matches if match]


def expand(patterns: list[str]) -> list[str]:
    """Return the live log files that the globs name; a rotated sibling of another one is read with that one."""
    found = sorted({path for pattern in patterns for path in glob.glob(pattern, recursive=True)})
    rotated = {sibling for path in found for sibling, _archive in siblings(path)}
    return [path for path in found if path not in rotated and os.path.isfile(path)]


def find_begin(stream: IO[bytes], begin: float, time_of: TimeOfBytes) -> int:
    """Return an offset at a line's start from which on every line of time ``begin`` or later stands.

    Seeks backwards in blocks that double: reads what lies after the begin and little more, also in files of many GB.
    """
    size = os.fstat(stream.fileno()).st_size
    length = BLOCK
    while length < size:
        offset = size - length
        block = os.pread(stream.fileno(), BLOCK, offset)
        start = block.find(b"\n") + 1
        first = next((time for time in map(time_of, block[start:].splitlines()) if time is not None), None)
        if start and first is not None and first < begin:
            return offset + start
        length *= 2
    return 0


def _rest_of(piece: _Piece) -> Iterator[list[bytes]]:
    """Yield the complete lines that were added, in blocks; keep the begin of the last one for the next time."""
    while True:
        block = os.pread(piece.stream.fileno(), BLOCK * 16, piece.offset)
        if not block:
            return
        piece.offset += len(block)
        *complete, piece.rest = (piece.rest + block).split(b"\n")
        if len(piece.rest) > LONGEST_LINE:
            complete, piece.rest = [*complete, piece.rest], b""
        if complete:
            yield complete


def _same_head(known: bytes, other: bytes) -> bool:
    """Return whether two heads begin the same file; the shorter one decides, unless it is too short to tell.

    In doubt a file is read again: a line counted twice is safer than a line never read.
    """
    shorter = min(len(known), len(other))
    return shorter >= SHORTEST_HEAD and known[:shorter] == other[:shorter]


def _read_up_to(stream: IO[bytes], length: int) -> bytes:
    pieces = b""
    while len(pieces) < length:
        block = stream.read(length - len(pieces))
        if not block:
            break
        pieces += block
    return pieces
