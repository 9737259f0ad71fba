"""Workloads of one project that are rolled at once: one `up` for all, and each its own error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import CommandFailed
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.compose_turns import Wish, asked, fulfil

SERVICES = ("web", "worker", "beat")


def roll(project: str, replace: Callable[[Sequence[Wish]], None]) -> dict[str, str]:
    """Roll all services at once and return the error of each, empty for none."""
    start = Barrier(len(SERVICES))

    def one(service: str) -> str:
        wish = Wish(service)
        with asked(project, wish):
            start.wait(5)
            try:
                fulfil(project, wish, 1, replace)
            except CommandFailed as error:
                return error.what
        return ""

    with ThreadPoolExecutor(len(SERVICES)) as pool:
        return dict(zip(SERVICES, pool.map(one, SERVICES)))


def test_one_acts_for_all() -> None:
    calls: list[list[str]] = []
    told = roll("all", lambda wishes: calls.append(sorted(one.service for one in wishes)))
    assert told == dict.fromkeys(SERVICES, "")
    assert calls == [sorted(SERVICES)]


def test_the_one_that_fails_fails_alone() -> None:
    replaced: set[str] = set()

    def replace(wishes: Sequence[Wish]) -> None:
        if any(one.service == "worker" for one in wishes):
            raise CommandFailed("no such image")
        replaced.update(one.service for one in wishes)

    assert roll("one fails", replace) == {"web": "", "worker": "no such image", "beat": ""}
    assert replaced == {"web", "beat"}


def test_one_who_gives_up_is_not_waited_for() -> None:
    with pytest.raises(CommandFailed), asked("gone", Wish("worker")):
        raise CommandFailed("the engine said no")
    calls: list[int] = []
    with asked("gone", wish := Wish("web")):
        fulfil("gone", wish, 2, lambda wishes: calls.append(len(wishes)))
    assert calls == [1]
