# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder as a store."""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import BinaryIO

from ..core.errors import Conflict, InvalidInput, NotFound, RollbackError
from ..core.evidence import format_time
from ..core.files import fsync_folder, write_atomically
from .base import Stat, Store

#: in the hidden name of a file that is being written: its writer holds a lock on it for as long as it lives
_WRITTEN = ".dualwrite-write-"
#: seconds for a writer to get that lock
_BEGINS = 2.0
FULL_DISK_HINT = "Free the disk or fix the permissions and run the same command again."


class LocalStore(Store):
    """Objects are files below ``place``; folders are made as needed with ``folder_mode``, files with ``file_mode``."""

    def __init__(self, place: str, *, folder_mode: int = 0o750, file_mode: int = 0o640) -> None:
        self.place = os.path.abspath(os.path.expanduser(place))
        self._folder_mode = folder_mode
        self._file_mode = file_mode

    def put(self, name: str, content: bytes) -> str:
        """Replace the file in one step and return its path; raises RollbackError when it can't be written."""
        path = self._ready(name)
        write_atomically(path, content, mode=self._file_mode)
        return path

    @contextlib.contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        """Write a new file beside its place, fsynced and linked to its name when the block ends without an error.

        Raises Conflict when a file of that name exists, RollbackError when the disk is full or may not be written.
        """
        path = self._ready(name)
        folder, aside = os.path.dirname(path), ""
        _remove_left_behind(folder, os.listdir(folder), emptied=False)
        try:
            handle, aside = tempfile.mkstemp(prefix=f".{os.path.basename(path)}{_WRITTEN}", dir=folder)
            with os.fdopen(handle, "wb") as stream:
                with contextlib.suppress(OSError):  # a file system without locks: its files are left alone
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.fchmod(handle, self._file_mode)
                yield stream
                stream.flush()
                os.fsync(handle)
            os.link(aside, path)
            fsync_folder(folder)
        except FileExistsError as error:
            raise Conflict("there is a file of that name already", where=path) from error
        except OSError as error:
            raise RollbackError(
                f"the file can't be written: {error.strerror}", where=path, hint=FULL_DISK_HINT
            ) from error
        finally:
            if aside:
                with contextlib.suppress(OSError):
                    os.unlink(aside)

    def append(self, name: str, extend: Callable[[bytes], bytes]) -> None:
        """Add to the file's end under flock, fsynced; raises RollbackError when it can't be written.

        A write that fails half way (disk full) is taken back, so that the file stays as it was.
        """
        path = self._ready(name)
        try:
            new = not os.path.exists(path)
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, self._file_mode)
            with os.fdopen(handle, "r+b", buffering=0) as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                content = stream.read()
                addition = extend(content)
                try:
                    written = 0
                    while written < len(addition):
                        written += os.write(handle, addition[written:])
                    os.fsync(handle)
                except OSError:
                    with contextlib.suppress(OSError):
                        os.ftruncate(handle, len(content))
                    raise
            if new:
                fsync_folder(os.path.dirname(path))
        except OSError as error:
            raise RollbackError(
                f"the file can't be written: {error.strerror}", where=path, hint=FULL_DISK_HINT
            ) from error

    def open(self, name: str) -> BinaryIO:
        """Return the file opened for reading; raises NotFound when it does not exist or can't be read."""
        path = self._path(name)
        try:
            return builtins.open(path, "rb")
        except FileNotFoundError as error:
            raise NotFound("the file does not exist", where=path) from error
        except OSError as error:
            raise InvalidInput(f"the file can't be read: {error.strerror}", where=path) from error

    def list(self, prefix: str = "") -> list[Stat]:
        """Return the files whose name starts with ``prefix``, sorted by name; hidden ones are left out.

        What a killed ``write`` has left is removed on the way: it may hold rows of users.
        """
        found = []
        start = os.path.dirname(self._path(prefix + "x"))
        for folder, folders, files in os.walk(start):
            folders[:] = [sub for sub in folders if not sub.startswith(".")]
            _remove_left_behind(folder, files)
            for file in files:
                name = os.path.relpath(os.path.join(folder, file), self.place)
                known = self.stat(name) if name.startswith(prefix) and not file.startswith(".") else None
                if known:
                    found.append(known)
        return sorted(found, key=lambda item: item.name)

    def stat(self, name: str) -> Stat | None:
        """Return name, size and time of one file, None when there is none."""
        try:
            seen = os.stat(self._path(name))
        except OSError:
            return None
        return Stat(name, seen.st_size, format_time(datetime.fromtimestamp(seen.st_mtime, timezone.utc)))

    def _path(self, name: str) -> str:
        path = os.path.normpath(os.path.join(self.place, name))
        if not path.startswith(self.place.rstrip("/") + "/"):
            raise InvalidInput(f"the name '{name}' leads out of the folder", where=self.place)
        return path

    def _ready(self, name: str) -> str:
        path = self._path(name)
        try:
            os.makedirs(os.path.dirname(path), mode=self._folder_mode, exist_ok=True)
        except OSError as error:
            raise RollbackError(
                f"the folder can't be made: {error.strerror}", where=os.path.dirname(path), hint=FULL_DISK_HINT
            ) from error
        return path


def _remove_left_behind(folder: str, names: Iterable[str], *, emptied: bool = True) -> None:
    """Remove the files in a folder that a killed writer was writing, and (``emptied``) a folder without others."""
    removed = False
    for name in names:
        if not (name.startswith(".") and _WRITTEN in name):
            continue
        path = os.path.join(folder, name)
        with contextlib.suppress(OSError), builtins.open(path, "rb") as stream:
            if time.time() - os.fstat(stream.fileno()).st_mtime > _BEGINS:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
                removed = True
    if removed and emptied:
        with contextlib.suppress(OSError):
            os.rmdir(folder)
