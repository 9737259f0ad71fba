# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One rollback at a time: a lock where every operator sees it, by default a file on the target host.

The file appears whole or not at all (written aside, then linked), and every decision is made under flock of its
folder, so that of any number of contenders exactly one wins. No lock is ever removed because it is old.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from ..core.deadline import Deadline, wait_until
from ..core.errors import InvalidInput, Refused, RollbackError
from ..core.evidence import parse_time
from ..core.files import fsync_folder, write_atomically

Lock = dict[str, Any]
FOLDER_WAIT = 10.0
_MAY_NOT = "Run with become: true, or set dualwrite_lock_folder to a place that this user may write."


def decide(held: Lock | None, wanted: Mapping[str, Any], takeover_of: Sequence[str], where: str) -> bool:
    """Return whether the lock is to be written; False means that this run holds it already.

    Raises Refused, saying who holds it, why, since when, and the words that take it over, when another run holds it.
    """
    if held is None or held["run_id"] in takeover_of:
        return True
    if held["run_id"] == wanted["run_id"]:
        return False
    who = f"{held.get('owner') or 'somebody'} from {held.get('controller') or 'an unknown controller'}"
    raise Refused(
        f"another rollback is under way: run {held['run_id']} of {who}, since {held.get('since', 'an unknown time')}"
        f"{age(held)}, reason: {held.get('reason') or 'none given'}",
        where=where,
        hint=f"Talk to {held.get('owner') or 'its owner'} first. If that run is dead, take its lock over: run the same "
        f"command again with -e dualwrite_takeover={held['run_id']}",
        evidence={"held_by": dict(held)},
    )


def age(lock: Mapping[str, Any]) -> str:
    """Return how old a lock is as " (12 min ago)", empty when it does not say since when."""
    try:
        seconds = (datetime.now(timezone.utc) - parse_time(str(lock["since"]))).total_seconds()
    except (KeyError, ValueError):
        return ""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f" ({seconds / size:.0f} {unit} ago)"
    return f" ({max(0, seconds):.0f} s ago)"


class LockPlace(ABC):
    """Where one lock is; ``where`` says it to a person."""

    where: str

    @abstractmethod
    def read(self) -> Lock | None:
        """Return who holds the lock, None when nobody does.

        Raises InvalidInput when something is there but is no lock (half of it, edited, another program's).
        """

    @abstractmethod
    def acquire(self, wanted: Lock, takeover_of: Sequence[str] = ()) -> tuple[bool, Lock | None]:
        """Take the lock and return (whether it was written, the lock that it replaced).

        Raises Refused when another run holds it, InvalidInput as ``read``, RollbackError when it can't be written.
        """

    @abstractmethod
    def release(self, run_id: str) -> tuple[bool, Lock | None]:
        """Remove the lock if ``run_id`` holds it; return (whether it was removed, the other run's lock left alone)."""


class FileLock(LockPlace):
    """A file, 0644 and without secrets, in a folder that is made (0755) when it is missing."""

    def __init__(self, path: str) -> None:
        self.path = self.where = path

    def read(self) -> Lock | None:
        try:
            with open(self.path, encoding="utf-8") as stream:
                text = stream.read()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable(self.path) from error
        try:
            lock = json.loads(text)
        except ValueError as error:
            raise _unreadable(self.path) from error
        if not isinstance(lock, dict) or not lock.get("run_id") or not isinstance(lock["run_id"], str):
            raise _unreadable(self.path)
        return lock

    def acquire(self, wanted: Lock, takeover_of: Sequence[str] = ()) -> tuple[bool, Lock | None]:
        folder = os.path.dirname(self.path)
        try:
            os.makedirs(folder, mode=0o755, exist_ok=True)
        except OSError as error:
            raise RollbackError(
                f"the lock's folder can't be made: {error.strerror}",
                where=folder,
                hint=_MAY_NOT,
            ) from error
        with _alone(folder):
            held = self.read()
            if not decide(held, wanted, takeover_of, self.where):
                return False, None
            content = json.dumps({**wanted, **({"taken_over": held} if held else {})}, sort_keys=True).encode() + b"\n"
            if held:
                write_atomically(self.path, content, mode=0o644)
            else:
                _create(self.path, content)
            return True, held

    def release(self, run_id: str) -> tuple[bool, Lock | None]:
        folder = os.path.dirname(self.path)
        if not os.path.isdir(folder):
            return False, None
        with _alone(folder):
            held = self.read()
            if held is None or held["run_id"] != run_id:
                return False, held
            try:
                os.unlink(self.path)
                fsync_folder(folder)
            except OSError as error:
                raise RollbackError(
                    f"the lock can't be removed: {error.strerror}",
                    where=self.path,
                    hint=f"Remove it by hand: rm {self.path}",
                ) from error
            return True, None


def _create(path: str, content: bytes) -> None:
    aside = f"{path}.{os.getpid()}"
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(handle)
        os.link(aside, path)
        fsync_folder(os.path.dirname(path))
    except OSError as error:
        raise RollbackError(
            f"the lock can't be written: {error.strerror}",
            where=path,
            hint=_MAY_NOT
            if isinstance(error, PermissionError)
            else "Free the disk or fix the permissions and run the same command again.",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(aside)


@contextmanager
def _alone(folder: str) -> Iterator[None]:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RollbackError(
            f"the lock's folder can't be opened: {error.strerror}", where=folder, hint=_MAY_NOT
        ) from error

    def locked() -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    try:
        wait_until(locked, Deadline(FOLDER_WAIT), what="another process's work on the lock folder ended", where=folder)
        yield
    finally:
        os.close(handle)


def _unreadable(path: str) -> InvalidInput:
    return InvalidInput(
        "the lock file is there but is no lock that this collection wrote (damaged, or of another program)",
        where=path,
        hint=f"Look at it, make sure that no rollback is under way, remove it (rm {path}) and run the same command "
        "again.",
    )
