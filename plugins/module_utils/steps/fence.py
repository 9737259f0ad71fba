# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep two changes of the same workloads apart: the environment's lock, and one change at a time of the same thing."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from ..core.deadline import Deadline, wait_until
from ..core.errors import Conflict, DeadlinePassed, InvalidInput, Refused
from . import lock_place


def require_lock(params: Mapping[str, Any]) -> None:
    """Raise Refused when the lock that ``lock_file`` or ``lock_lease`` names is another run's than ``run_id``.

    Both are what the module ``run_lock`` returns. Raises InvalidInput when it is damaged, or when there is no run_id.
    """
    run_id = params.get("run_id")
    for option in ("lock_file", "lock_lease"):
        if not params.get(option):
            continue
        if not run_id:
            raise InvalidInput(f"{option} needs run_id", where="run_id", hint="Give the id of this run.")
        named = params[option]
        place = lock_place.of_file(named) if option == "lock_file" else lock_place.of_lease(named)
        held = place.read()
        if held is not None and held["run_id"] != run_id:
            raise Refused(
                f"run {held['run_id']} of {held.get('owner') or 'somebody'} holds the lock, not run {run_id}; "
                "nothing was changed",
                where=place.where,
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
