# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let threads that want to know the same thing at the same time share one answer.

Nobody gets an answer to a question that was put before he asked: it is as fresh as one of his own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

#: seconds for which a question waits for others to join, where it is known that there are others
GATHER = 0.01


class _Question:
    """One question: whoever made it asks; the others wait for ``answered``."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.answer: Any = None
        self.error: BaseException | None = None


class Together:
    """Questions by what they ask. One of a kind is asked at a time; those who come meanwhile share the next one."""

    def __init__(self) -> None:
        self._changed = threading.Lock()
        self._open: dict[Hashable, _Question] = {}
        self._turns: dict[Hashable, threading.Lock] = {}

    def ask(self, key: Hashable, work: Callable[[], Any], *, gather: float = GATHER) -> tuple[Any, bool]:
        """Return (what ``work`` returns, whether it was another thread that called it); its error is raised to all."""
        with self._changed:
            question = self._open.get(key)
            first = question is None
            if question is None:
                question = self._open[key] = _Question()
            turn = self._turns.setdefault(key, threading.Lock())
        if not first:
            question.answered.wait()
        else:
            with turn:
                time.sleep(gather)
                with self._changed:
                    del self._open[key]
                try:
                    question.answer = work()
                except BaseException as error:
                    question.error = error
                finally:
                    question.answered.set()
        if question.error:
            raise question.error
        return question.answer, not first
