# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep two changes of the same workloads apart: the environment's lock, and one change at a time of the same thing."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from ..core.deadline import Deadline, wait_until
from ..core.errors import Conflict, DeadlinePassed, InvalidInput, Refused
from ..run import lock


def require_lock(lock_file: str | None, run_id: str | None) -> None:
    """Raise Refused when ``lock_file`` exists and another run than ``run_id`` holds it.

    The file is that of the module ``run_lock``. Raises InvalidInput when it is damaged, or when there is no run_id.
    """
    if not lock_file:
        return
    if not run_id:
        raise InvalidInput("lock_file needs run_id", where="run_id", hint="Give the id of this run.")
    held = lock.read(lock_file)
    if held is not None and held["run_id"] != run_id:
        raise Refused(
            f"run {held['run_id']} of {held.get('owner') or 'somebody'} holds the lock, not run {run_id}; "
            "nothing was changed",
            where=lock_file,
            hint="Wait for its end, or take the lock over on purpose.",
        )


def fence_files(touched: Iterable[str]) -> list[str]:
    """Return the files that keep changes of these things apart, in the order in which every change takes them."""
    folder = next((path for path in ("/run/lock", tempfile.gettempdir()) if os.access(path, os.W_OK)), "/tmp")
    digests = {hashlib.sha256(thing.encode()).hexdigest()[:16] for thing in touched}
    return [os.path.join(folder, f"dualwrite.rollback.{os.geteuid()}.{digest}.lock") for digest in sorted(digests)]


@contextmanager
def one_at_a_time(touched: Iterable[str], deadline: Deadline) -> Iterator[None]:
    """Keep out, per user of this host, every other change that touches one of these things.

    Raises Conflict when the other change does not end in time.
    """
    with ExitStack() as held:
        for path in fence_files(touched):
            held.enter_context(_alone(path, deadline))
        yield


@contextmanager
def _alone(path: str, deadline: Deadline) -> Iterator[None]:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused(f"the lock file can't be opened: {error.strerror}", where=path) from error

    def taken() -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    try:
        try:
            wait_until(taken, deadline, what="the end of another change")
        except DeadlinePassed as error:
            raise Conflict(
                "another call is changing the same workloads on this host and did not end in time",
                where=path,
                hint="Wait for it and run the same command again.",
            ) from error
        yield
    finally:
        os.close(handle)
