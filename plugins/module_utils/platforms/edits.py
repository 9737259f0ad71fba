# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of files that can be shown and taken back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..core.account import Account, acting_as
from ..core.errors import Conflict, NotFound, RollbackError
from ..core.files import fsync_folder, read_bytes, write_atomically
from .base import Change

#: mode of a file that did not exist: a drop-in is for everybody to read, an env file is not
NEW_FILE_MODES = {".conf": 0o644}


@dataclass(frozen=True)
class FileEdit:
    """The bytes of one file before (None: it did not exist) and after; ``account`` is whose rights it is made with."""

    path: str
    before: bytes | None
    after: bytes
    account: Account | None = None


def read_if_there(path: str, account: Account | None = None) -> bytes | None:
    """Return the bytes of a file, None when it does not exist; raises InvalidInput when it can't be read."""
    try:
        with acting_as(account, path):
            return read_bytes(path)
    except NotFound:
        return None


def change_of(edit: FileEdit, before: Mapping[str, str | None], after: Mapping[str, str]) -> Change:
    """Return the change that an edit stands for; it shows the flags alone (raw values), never the file's other text."""
    return Change(
        where=edit.path,
        before="".join(f"{name}={value}\n" for name, value in before.items() if value is not None),
        after="".join(f"{name}={value}\n" for name, value in after.items()),
        undo=edit,
    )


def make(changes: Sequence[Change]) -> None:
    """Write all edits or none: when one can't be written, those before it are taken back and its error is raised."""
    made: list[Change] = []
    try:
        for change in changes:
            edit: FileEdit = change.undo
            if read_if_there(edit.path, edit.account) != edit.before:
                raise Conflict("the file was edited by somebody else just now", where=edit.path, hint="Run it again.")
            with acting_as(edit.account, edit.path):
                os.makedirs(os.path.dirname(edit.path) or ".", mode=0o755, exist_ok=True)
                write_atomically(edit.path, edit.after, mode=NEW_FILE_MODES.get(os.path.splitext(edit.path)[1], 0o600))
            made.append(change)
    except (RollbackError, OSError) as error:
        take_back(made)
        if isinstance(error, RollbackError):
            raise
        raise RollbackError(f"the folder can't be made: {error.strerror}", where=change.where) from error


def take_back(changes: Iterable[Change]) -> None:
    """Take edits back, newest first.

    Raises Conflict when a file is no longer as the edit left it; the other files are taken back first.
    """
    foreign: list[str] = []
    for change in reversed(list(changes)):
        edit: FileEdit = change.undo
        if read_if_there(edit.path, edit.account) != edit.after:
            foreign.append(edit.path)
            continue
        with acting_as(edit.account, edit.path):
            if edit.before is None:
                os.unlink(edit.path)
                fsync_folder(os.path.dirname(edit.path) or ".")
            else:
                write_atomically(edit.path, edit.before)
    if foreign:
        raise Conflict(
            "the file was edited by somebody else since, so the change was not taken back",
            where=", ".join(foreign),
            hint="Look at it and set the flags by hand.",
        )
