"""An exchange whose connection breaks has been made or not, and which of the two is found out."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core import libpq
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import RollbackError, Unreachable
from ansible_collections.dualwrite.rollback.plugins.module_utils.postgres import swap


def loaded(shop: Any) -> list[str]:
    """Have a database of 200 teams ready beside one of 7, and return the databases."""
    shop.dump("shop.dump", "-Fc")
    shop.restore(state="loaded")
    shop.sql("DELETE FROM members; DELETE FROM teams WHERE id > 7")
    return shop.databases()


def test_a_session_that_is_ended_before_the_commit_has_changed_nothing(shop: Any) -> None:
    before = loaded(shop)
    holder = shop.server.connect(admin=True, database="postgres")
    ended = threading.Event()

    def end() -> None:
        asked = (
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'dualwrite.rollback swap' "
            "AND wait_event_type = 'Lock'"
        )
        while not ended.is_set():
            for (pid,) in shop.admin("postgres", asked):
                shop.admin("postgres", f"SELECT pg_terminate_backend({pid})")
                ended.set()

    with contextlib.closing(holder), holder.cursor() as cursor:
        cursor.execute(f"BEGIN; COMMENT ON DATABASE {shop.name} IS 'held'")
        ender = threading.Thread(target=end)
        ender.start()
        try:
            with pytest.raises(
                RollbackError, match="the connection was lost during the exchange: .*; nothing was changed"
            ):
                shop.restore(state="swapped")
        finally:
            ended.set()
            ender.join()
    assert shop.databases() == before
    assert shop.teams() == 7
    assert shop.restore(state="swapped")["changed"]
    assert shop.teams() == 200


def test_one_that_is_lost_behind_the_commit_is_known_to_be_made(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to the commit is taken away, and who asks again is let in the third time: a crash in that moment."""
    import psycopg2

    loaded(shop)
    rename, connect, starting = swap._rename, libpq.connect, iter([True, True])

    def let_in(*arguments: Any, **more: Any) -> Any:
        if next(starting, False):
            raise Unreachable("no connection: the database system is starting up")
        return connect(*arguments, **more)

    def lost(link: Any, *arguments: Any) -> None:
        rename(link, *arguments)
        link.close()
        monkeypatch.setattr(libpq, "connect", let_in)
        raise psycopg2.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(swap, "_rename", lost)
    done = shop.restore(state="swapped", run_id="one")
    assert done["changed"]
    assert shop.teams() == 200
    assert done["replaced"] in shop.databases()
    assert next(starting, None) is None


def test_a_server_that_does_not_come_back_leaves_words_with_which_to_find_out(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that never comes back would end the other tests too: nobody is let in any more."""
    import psycopg2

    loaded(shop)

    def out_of_reach(*arguments: Any, **more: Any) -> None:
        raise Unreachable("no connection: the database system is starting up")

    def lost(link: Any, *arguments: Any) -> None:
        link.close()
        monkeypatch.setattr(libpq, "connect", out_of_reach)
        raise psycopg2.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(swap, "_rename", lost)
    monkeypatch.setattr(libpq, "PATIENCE", 1)
    with pytest.raises(RollbackError, match="whether the databases were exchanged before is not known") as caught:
        shop.restore(state="swapped")
    assert f"If there is a database {shop.name}_replaced_" in str(caught.value)
