"""Threads that want the same answer: one asks for all, and nobody gets one from before he asked."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import NotFound
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.together import Together


def test_those_who_come_while_it_is_asked_share_the_next_answer() -> None:
    together, numbers = Together(), count(1)
    begun, goes_on = threading.Event(), threading.Event()

    def first() -> int:
        begun.set()
        assert goes_on.wait(5)
        return next(numbers)

    with ThreadPoolExecutor(4) as pool:
        early = pool.submit(together.ask, "ps", first)
        assert begun.wait(5)
        late = [pool.submit(together.ask, "ps", lambda: next(numbers), gather=0.2) for dummy in range(3)]
        other = together.ask("config", lambda: "another question waits for nobody")
        goes_on.set()
        assert early.result(5) == (1, False)
        assert sorted(one.result(5) for one in late) == [(2, False), (2, True), (2, True)]
    assert other == ("another question waits for nobody", False)
    assert together.ask("ps", lambda: next(numbers)) == (3, False)


def test_an_error_is_raised_to_all_and_the_next_one_asks_anew() -> None:
    together = Together()

    def gone() -> None:
        raise NotFound("the engine is gone")

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(together.ask, "ps", gone, gather=0.2) for dummy in range(2)]
        for one in asked:
            with pytest.raises(NotFound, match="the engine is gone"):
                one.result(5)
    assert together.ask("ps", lambda: "back") == ("back", False)
