# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replace a file in one step and keep what it was: mode, owner, SELinux context, symlink."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import time

from .errors import InvalidInput, NotFound, RollbackError

#: seconds after which a temporary file can't be that of a writer at work: its writer was killed
LEFT_BEHIND = 60.0


def read_bytes(path: str) -> bytes:
    """Return the bytes of a regular file.

    Raises NotFound when it does not exist, InvalidInput when it can't be read or is no regular file.
    """
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError as error:
        raise NotFound("the file does not exist", where=path) from error
    except OSError as error:
        raise InvalidInput(f"the file can't be read: {error.strerror}", where=path) from error


def decode(content: bytes, where: str) -> str:
    """Return the text of a file; raises InvalidInput when it is not UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"the file is not UTF-8 at byte {error.start}", where=where, hint="Fix the file's encoding first."
        ) from error


def write_atomically(path: str, content: bytes, *, mode: int = 0o600) -> None:
    """Replace ``path`` by ``content``: a reader sees the old or the new bytes, also after a crash.

    A symlink is followed and kept. An existing file keeps mode, owner and extended attributes (SELinux context,
    ACL); a new one gets ``mode``. Written to a temporary file in the same folder, fsynced, renamed, folder fsynced.
    What a killed writer left there is removed, since it holds the same secrets.
    Raises RollbackError when the folder is not writable or the disk is full; the old file is untouched then.
    """
    target = os.path.realpath(path)
    folder, prefix = os.path.dirname(target), f".{os.path.basename(target)}.dualwrite-"
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=prefix, dir=folder)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            _copy_identity(target, stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.replace(temporary, target)
        temporary = ""
        _remove_left_behind(folder, prefix)
        fsync_folder(folder)
    except OSError as error:
        raise RollbackError(
            f"the file can't be written: {error.strerror}",
            where=path,
            hint="The old content is untouched; free the disk or fix the permissions and run the same command again.",
        ) from error
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def fsync_folder(folder: str) -> None:
    """Make a rename or creation inside ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _copy_identity(target: str, handle: int, mode: int) -> None:
    try:
        before = os.stat(target)
    except FileNotFoundError:
        os.fchmod(handle, mode)
        return
    now = os.fstat(handle)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        os.fchown(handle, before.st_uid, before.st_gid)
    os.fchmod(handle, stat.S_IMODE(before.st_mode))
    for name in os.listxattr(target):
        # an attribute that this file system or user may not set is not worth losing the change for
        with contextlib.suppress(OSError):
            os.setxattr(handle, name, os.getxattr(target, name))


def _remove_left_behind(folder: str, prefix: str) -> None:
    for entry in os.scandir(folder):
        if entry.name.startswith(prefix):
            with contextlib.suppress(OSError):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > LEFT_BEHIND:
                    os.unlink(entry.path)
