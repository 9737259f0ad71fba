# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a backup out of its store: in chunks, counted, with its checksum taken on the way."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from ..core.errors import InvalidInput, RollbackError, VerificationFailed
from ..stores.base import Store
from .choose import Backup
from .formats import DIRECTORY, NOT_WHOLE

CHUNK = 1024 * 1024
WORK = "dualwrite-restore-"
_DIGEST = re.compile(rb"^\\?([0-9a-fA-F]{64})(?:\s|$)")


class Checksum:
    """What the content must add up to: ``expected`` is ``<kind>:<value>`` of a store, or empty."""

    def __init__(self, expected: str) -> None:
        self.expected = expected
        self.kind, dummy, rest = expected.partition(":")
        self._value, dummy, part = rest.partition(":")
        self._part = int(part or 0)
        self._whole: Any = hashlib.sha256() if self.kind in ("", "sha256") else hashlib.md5(usedforsecurity=False)
        self._held = 0
        #: what was found, ``<kind>:<value>``; empty as long as the content was not read to its end
        self.found = ""

    def update(self, chunk: bytes) -> None:
        """Add bytes."""
        if self.kind != "md5-parts":
            self._whole.update(chunk)
            return
        view = memoryview(chunk)
        while view:
            if not self._held:
                self._one: Any = hashlib.md5(usedforsecurity=False)
            taken = view[: self._part - self._held]
            self._one.update(taken)
            self._held += len(taken)
            view = view[len(taken) :]
            if self._held == self._part:
                self._whole.update(self._one.digest())
                self._held = 0

    def verify(self, name: str) -> str:
        """Return what was found, ``<kind>:<value>``; raises VerificationFailed when it is not what is expected."""
        if self._held:
            self._whole.update(self._one.digest())
            self._held = 0
        digest = self._whole.hexdigest()
        if not self.expected:
            self.found = f"sha256:{digest}"
            return self.found
        wanted = self._value.partition("-")[0].lower()
        if digest != wanted:
            raise VerificationFailed(
                f"the {self.kind} checksum is {digest}, expected {wanted}", where=name, hint=NOT_WHOLE
            )
        self.found = f"{self.kind}:{self._value}"
        return self.found


def expected_checksum(store: Store, backup: Backup) -> str:
    """Return the checksum that the file beside the backup tells, else the one that the store keeps, else "".

    Raises InvalidInput when the file beside it holds no SHA-256.
    """
    if backup.sidecar:
        found = _DIGEST.match(store.read(backup.sidecar)[:4096].strip())
        if found is None:
            raise InvalidInput("the file holds no SHA-256 checksum", where=f"{store.place}/{backup.sidecar}")
        return "sha256:" + found[1].decode().lower()
    return store.checksum(backup.name) if backup.format.kind != DIRECTORY else ""


def chunks(store: Store, name: str, checksum: Checksum | None, seen: Callable[[int], None]) -> Iterator[bytes]:
    """Walk through one object; ``seen`` is told the bytes of each chunk. The checksum is verified at the end."""
    with contextlib.closing(store.open(name)) as stream:
        while chunk := stream.read(CHUNK):
            seen(len(chunk))
            if checksum:
                checksum.update(chunk)
            yield chunk
    if checksum:
        checksum.verify(name)


def local_path(store: Store, backup: Backup) -> str:
    """Return where the backup lies on this host, empty when it has to be fetched."""
    path = os.path.join(store.place, backup.name)
    return path if store.place.startswith("/") and os.path.exists(path) else ""


def fetch(store: Store, backup: Backup, folder: str, checksum: Checksum | None, seen: Callable[[int], None]) -> str:
    """Copy the backup into a folder and return its path there; raises RollbackError when the disk is full."""
    target = os.path.join(folder, "backup")
    for name in backup.objects:
        path = target
        if backup.format.kind == DIRECTORY:
            path = os.path.join(target, os.path.basename(name))
            os.makedirs(target, exist_ok=True)
        try:
            with open(path, "wb") as file:
                for chunk in chunks(store, name, checksum if name == backup.name else None, seen):
                    file.write(chunk)
        except OSError as error:
            raise RollbackError(
                f"the backup can't be copied: {error.strerror}", where=path, hint="Free the disk or set work_dir."
            ) from error
    return target


@contextlib.contextmanager
def work_folder(parent: str | None, needed: int) -> Iterator[str]:
    """Make a folder that only this user can enter, removed at the end; those of killed runs are removed too.

    Raises RollbackError when the file system has less than ``needed`` bytes.
    """
    parent = parent or tempfile.gettempdir()
    try:
        _remove_abandoned(parent)
        free = shutil.disk_usage(parent).free
        if free < needed:
            raise RollbackError(
                f"{needed / 1e6:.0f} MB are needed for a copy of the backup, {free / 1e6:.0f} MB are free",
                where=parent,
                hint="Nothing was changed. Free the disk or set work_dir.",
            )
        folder, handle = _claimed(parent)
    except OSError as error:
        raise RollbackError(f"no folder can be made: {error.strerror}", where=parent, hint="Set work_dir.") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _claimed(parent: str) -> tuple[str, int]:
    """Make a folder and return it with the handle that keeps others from taking it for abandoned."""
    while True:
        folder = tempfile.mkdtemp(prefix=WORK, dir=parent)
        # until it is locked another run may take it for one of a killed run and remove it
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.stat(folder).st_ino == os.fstat(handle).st_ino:
                    return folder, handle
            except (BlockingIOError, FileNotFoundError):
                pass
            os.close(handle)


def _remove_abandoned(parent: str) -> None:
    for entry in os.scandir(parent):
        if not entry.name.startswith(WORK) or not entry.is_dir(follow_symlinks=False):
            continue
        with contextlib.suppress(OSError):
            handle = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(entry.path, ignore_errors=True)
            finally:
                os.close(handle)
