# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A user of this host, and work on files with the rights of that user and no more.

What a user can write decides where root would write too: a symlink in a home leads wherever its owner wants. So files
that a user's own configuration names are touched with that user's rights.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import InvalidInput, NotFound, RollbackError

_UNCHANGED = -1


@dataclass(frozen=True)
class Account:
    """One user: ids, all groups, home."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def account_of(name: str, where: str) -> Account:
    """Return the user of that name.

    Raises NotFound when there is none, InvalidInput when this process is neither root nor that user.
    """
    try:
        entry = pwd.getpwnam(name)
    except KeyError as error:
        raise NotFound(
            f"this host has no user '{name}'", where=where, hint="Check the workload's option 'user'."
        ) from error
    if os.geteuid() not in (0, entry.pw_uid):
        raise InvalidInput(
            f"only root and '{name}' can work with the units of '{name}'",
            where=where,
            hint="Run the task as root or as that user (become).",
        )
    groups = tuple(os.getgrouplist(name, entry.pw_gid))
    return Account(name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)


@contextlib.contextmanager
def acting_as(account: Account | None, path: str = "") -> Iterator[None]:
    """Look at and write files as the user would; None, or the user itself, changes nothing.

    Holds for this thread alone (setfsuid(2) takes root's power over files away from it, and no other thread's). The
    group is the one of the file at ``path`` where it is one of the user's, so that it can be kept.
    """
    if account is None or account.uid == os.geteuid():
        yield
        return
    import ctypes

    libc = ctypes.CDLL(None)
    user, group = libc.setfsuid(_UNCHANGED), libc.setfsgid(_UNCHANGED)
    libc.setfsgid(_group_for(account, path))
    libc.setfsuid(account.uid)
    try:
        if libc.setfsuid(_UNCHANGED) != account.uid:
            raise RollbackError(f"files can't be touched as '{account.name}' here", where=path)
        yield
    finally:
        libc.setfsuid(user)
        libc.setfsgid(group)


def _group_for(account: Account, path: str) -> int:
    with contextlib.suppress(OSError):
        group = os.stat(path).st_gid
        if group in account.groups:
            return group
    return account.gid
