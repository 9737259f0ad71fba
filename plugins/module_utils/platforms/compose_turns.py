# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let workloads of one Compose project, which are rolled in parallel threads, be replaced by one `up`.

Whoever comes first acts for all that have asked by then; one `up` of a project runs at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ..core.errors import CommandFailed

#: seconds to wait for others that have asked and don't know yet how many containers they have
GATHER = 2.0
_CHANGED = threading.Condition()
_ALONE: dict[str, threading.Lock] = {}
_ASKED: dict[str, list[Wish]] = {}


class Wish:
    """The wish to have a service's containers replaced: by ``number`` new ones, None while that is not known."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.number: int | None = None
        self.done = False


@contextmanager
def asked(project: str, wish: Wish) -> Iterator[None]:
    """Let it be known that the wish is on its way, until the block ends."""
    with _CHANGED:
        _ASKED.setdefault(project, []).append(wish)
    try:
        yield
    finally:
        with _CHANGED:
            if wish in _ASKED[project]:
                _ASKED[project].remove(wish)
            _CHANGED.notify_all()


def alone(project: str) -> threading.Lock:
    """Return the lock that keeps a second `up` of the project out."""
    with _CHANGED:
        return _ALONE.setdefault(project, threading.Lock())


def fulfil(project: str, wish: Wish, number: int, replace: Callable[[Sequence[Wish]], None]) -> None:
    """Have the wish fulfilled, by ourselves with all others that have asked, or by one who came before.

    ``replace`` replaces the containers of several services. When it fails for several (CommandFailed), it is called for
    this one alone, so that the error is of the service that it is; the others do the same.
    """
    with _CHANGED:
        wish.number = number
        _CHANGED.notify_all()
    with alone(project):
        with _CHANGED:
            if wish.done:
                return
            _CHANGED.wait_for(lambda: all(one.number is not None for one in _ASKED[project]), GATHER)
            wishes = [one for one in _ASKED[project] if one.number is not None]
        try:
            replace(wishes)
        except CommandFailed:
            if len(wishes) == 1:
                raise
            wishes = [wish]
            replace(wishes)
        with _CHANGED:
            for one in wishes:
                one.done = True
                _ASKED[project].remove(one)
