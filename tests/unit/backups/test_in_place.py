"""In place all or nothing is replaced, whatever dies, and what was there before is kept and never chosen by itself."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import CommandFailed, RollbackError
from ansible_collections.dualwrite.rollback.plugins.module_utils.postgres import load
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps import backup_in_place

KILLED = """
import json, os, signal, sys, time
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps import backup_in_place
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.backup_restore import backup_restore

upto = sys.argv[2].encode()
whole = backup_in_place.pieces


def cut(*arguments):
    dump, content = whole(*arguments)

    def begun():
        text = b"".join(content)
        yield text[: text.index(upto)] if upto else b""
        time.sleep(0.7)  # psql has had it all
        os.kill(os.getpid(), signal.SIGKILL)

    return dump, begun()


backup_in_place.pieces = cut
backup_restore(json.loads(sys.argv[1]))
"""
IN_PLACE = {"state": "swapped", "mode": "in_place"}


def sessions(shop: Any) -> list[tuple[Any, ...]]:
    """The sessions of the shop's database, but for the one that asks."""
    asked = f"SELECT pid FROM pg_stat_activity WHERE datname = '{shop.name}' AND backend_type = 'client backend'"
    return shop.admin("postgres", asked)


@pytest.mark.parametrize("upto", ["", "COPY public.members", "\n--\n-- Data for Name: teams"])
def test_killed_in_the_middle_the_database_is_what_it_was(shop: Any, upto: str) -> None:
    """The child ends itself between two pieces, as one does that is killed while it waits for the store."""
    shop.dump("shop.sql")
    shop.sql("DELETE FROM members; DELETE FROM teams WHERE id > 7")
    options = shop.options("backup_restore", IN_PLACE)
    child = subprocess.run([sys.executable, "-c", KILLED, json.dumps(options), upto], check=False)
    assert child.returncode == -9
    for dummy in range(100):
        if not sessions(shop):
            break
        time.sleep(0.05)
    assert shop.teams() == 7
    assert shop.restore(**IN_PLACE)["changed"]
    assert shop.teams() == 200


@pytest.mark.parametrize("committed", [True, False])
def test_a_lost_answer_is_found_out(shop: Any, monkeypatch: pytest.MonkeyPatch, committed: bool) -> None:
    """psql's answer is taken away: a network that breaks in that very moment can't be had."""
    shop.dump("shop.sql")
    shop.sql("DELETE FROM members; DELETE FROM teams WHERE id > 7")
    stream = load.stream

    def lost(*arguments: Any, **more: Any) -> None:
        if committed:
            stream(*arguments, **more)
        raise CommandFailed("psql ended with 2: server closed the connection unexpectedly")

    monkeypatch.setattr(backup_in_place.load, "stream", lost)
    if committed:
        done = shop.restore(**IN_PLACE)
        assert done["changed"]
        assert any("The load had ended well when its answer was lost" in note for note in done["notes"])
    else:
        with pytest.raises(RollbackError, match="server closed the connection") as caught:
            shop.restore(**IN_PLACE)
        assert f"{shop.name} is as it was; it is also saved as" in str(caught.value)
    assert shop.teams() == (200 if committed else 7)


def test_what_was_replaced_comes_back_by_its_name_only(shop: Any) -> None:
    pattern = f"{shop.name}_%Y%m%d_%H%M.dump"
    shop.dump(f"{shop.name}_20260101_0000.dump", "-Fc")
    shop.sql("DELETE FROM members; DELETE FROM teams WHERE id > 7")
    saved = shop.restore(**IN_PLACE, pattern=pattern)["saved"]
    assert shop.teams() == 200
    for given in ({}, {"pattern": f"{shop.name}_%Y%m%d_%H%M*"}):
        told = shop.info(**given)
        assert told["chosen"]["name"] == f"{shop.name}_20260101_0000.dump"
        reasons = {one["name"]: one["not_taken"] for one in told["backups"]}
        assert "what a restore has replaced" in reasons[saved]
    assert shop.restore(backup=saved, pattern=pattern)["changed"]
    assert shop.teams() == 7
