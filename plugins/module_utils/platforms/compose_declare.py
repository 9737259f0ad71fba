# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let workloads of one Compose project, which are declared in parallel threads, be written and looked over together.

Compose is asked what it makes of the files once before and once after all edits, not twice for each workload.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.errors import RollbackError
from ..core.together import GATHER
from . import edits
from .base import Change
from .compose_project import ComposeProject

#: what one workload plans, given what Compose makes of the files and, by path, the bytes that others' edits leave
Planner = Callable[[Mapping[str, Any], "dict[str, bytes]"], "list[Change]"]
#: raises when what Compose made of the files before and makes of them now is not what was meant
Meant = Callable[[Mapping[str, Any], Mapping[str, Any]], None]
_CHANGED = threading.Lock()
#: one batch at a time, whatever its project: two projects may have a file in common
_ALONE = threading.Lock()
_ASKED: dict[str, list[Wish]] = {}


class Wish:
    """The wish of one workload to have its flags declared; afterwards its changes, or its error."""

    def __init__(self, project: ComposeProject, plan: Planner, meant: Meant) -> None:
        self.project = project
        self.plan = plan
        self.meant = meant
        self.done = False
        self.changes: list[Change] = []
        self.error: RollbackError | None = None


def declare(wish: Wish) -> list[Change]:
    """Have the wish fulfilled, by ourselves with all others that have asked, or by one who came before.

    All edits of a batch are made or none; when it fails, each of its workloads is declared by itself, so that the
    error is of the one that it is. Raises that error.
    """
    key = wish.project.key()
    with _CHANGED:
        _ASKED.setdefault(key, []).append(wish)
    with _ALONE:
        if not wish.done:
            time.sleep(GATHER if wish.project.docker.among_others else 0)
            with _CHANGED:
                wishes = _ASKED.pop(key)
            _fulfil(wishes)
    if wish.error:
        raise wish.error
    return wish.changes


def _fulfil(wishes: Sequence[Wish]) -> None:
    try:
        for wish, changes in zip(wishes, _declared(wishes)):
            wish.changes = changes
    except RollbackError as error:
        if len(wishes) == 1:
            wishes[0].error = error
        else:
            for wish in wishes:
                _fulfil([wish])
    finally:
        for wish in wishes:
            wish.done = True


def _declared(wishes: Sequence[Wish]) -> list[list[Change]]:
    """Write the files, and take them back when Compose then makes something else of them than was meant."""
    before = wishes[0].project.config()
    left: dict[str, bytes] = {}
    planned = [wish.plan(before, left) for wish in wishes]
    changes = [change for mine in planned for change in mine]
    edits.make(changes)
    if changes:
        try:
            after = wishes[0].project.config()
            for wish, mine in zip(wishes, planned):
                if mine:
                    wish.meant(before, after)
        except RollbackError:
            edits.take_back(changes)
            raise
    return planned
