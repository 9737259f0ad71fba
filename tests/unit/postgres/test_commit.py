"""A connection that breaks at COMMIT, cut between us and the server, who may have heard it or not."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import Conflict, Unreachable

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"  # as the protocol has it
#: what becomes of a COMMIT, the connection is cut in each case: the server never hears it; hears it, and its answer is
#: dropped; hears it only when we have long asked again
LOST, UNANSWERED, LATE = "lost", "unanswered", "late"
LATENESS = 1.0


class Way:
    """A way to the server which is cut at the first COMMIT; with ``stays_cut`` nobody comes through afterwards."""

    def __init__(self, target: int, commit: str, stays_cut: bool) -> None:
        self.target, self.commit, self.stays_cut = target, commit, stays_cut
        self.cut = False
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._door.getsockname()[1])
        self._late: list[threading.Timer] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Let nobody in any more, and wait for what is late."""
        # a thread that waits for a client holds the door open otherwise, for one more of whoever knocks
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        for one in self._late:
            one.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, dummy = self._door.accept()
                if self.cut and self.stays_cut:
                    client.close()
                    continue
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self.target))
        with contextlib.suppress(OSError), client:
            while True:
                for one in select.select([client, server], [], [])[0]:
                    chunk = one.recv(65536)
                    if one is client and chunk == COMMIT and not self.cut:
                        self._cut(server)
                        return
                    if not chunk:
                        server.close()
                        return
                    (server if one is client else client).sendall(chunk)

    def _cut(self, server: socket.socket) -> None:
        self.cut = True
        if self.commit == LATE:
            self._late.append(threading.Timer(LATENESS, self._say, [server]))
            self._late[-1].start()
        elif self.commit == UNANSWERED:
            self._say(server)
        else:
            server.close()

    def _say(self, server: socket.socket) -> None:
        with server:
            server.sendall(COMMIT)
            server.recv(65536)


@pytest.fixture
def way(database: Any) -> Iterator[Callable[..., dict[str, Any]]]:
    """Make a way to the server that is cut at COMMIT, and return the options with which a call takes it."""
    with contextlib.ExitStack() as undo:

        def make(commit: str, stays_cut: bool = False) -> dict[str, Any]:
            made = Way(database.server.port, commit, stays_cut)
            undo.callback(made.close)
            return {"login_port": made.port}

        yield make


# --- a cleanup -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("commit", [UNANSWERED, LATE])
@pytest.mark.parametrize("without_archive", [False, True])
def test_a_cleanup_finds_out_at_once_that_the_server_has_heard_it(
    database: Any, way: Any, commit: str, without_archive: bool
) -> None:
    done = database.clean(**way(commit), without_archive=without_archive)
    assert done["changed"]
    assert any(
        "The connection broke at COMMIT; the transaction is known as committed" in note for note in done["notes"]
    )
    assert database.counts("team") == {"team": 7}
    if not without_archive:
        assert database.undo(done["archive"])["rows"] == done["rows"]


def test_a_cleanup_finds_out_that_the_server_has_not_heard_it(database: Any, way: Any) -> None:
    before = database.content()
    with pytest.raises(Conflict, match="the connection broke at COMMIT, and the transaction was rolled back"):
        database.clean(**way(LOST))
    assert database.content() == before
    assert database.clean()["changed"]


@pytest.mark.parametrize(("commit", "outcome"), [(UNANSWERED, "committed"), (LOST, "rolled back")])
def test_a_cleanup_that_can_ask_nobody_says_so_and_the_next_one_finds_out(
    database: Any, way: Any, commit: str, outcome: str
) -> None:
    with pytest.raises(Unreachable, match="whether the rows are removed is not known") as raised:
        database.clean(**way(commit, stays_cut=True))
    assert "Run the same command again: it finds out" in str(raised.value)
    again = database.clean()
    assert again["changed"] == (commit == LOST)
    assert [one["outcome"] for one in again["earlier"]] == [outcome]
    assert "An earlier cleanup ended without saying how" in again["notes"][0]
    archive = again["archive"] or again["earlier"][0]["archive"]
    assert database.undo(archive)["changed"]
    assert database.counts("team") == {"team": 10}


# --- an undo ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("commit", [UNANSWERED, LATE])
def test_an_undo_finds_out_at_once_that_the_server_has_heard_it(database: Any, way: Any, commit: str) -> None:
    before = database.content()
    done = database.clean()
    back = database.undo(done["archive"], **way(commit))
    assert back["changed"]
    assert back["rows"] == done["rows"]
    assert back["notes"] == ["The connection broke at COMMIT; all rows are back."]
    assert database.content() == before
    assert not database.undo(done["archive"])["changed"]


def test_an_undo_finds_out_that_the_server_has_not_heard_it(database: Any, way: Any) -> None:
    done = database.clean()
    cleaned = database.content()
    with pytest.raises(Conflict, match="the connection broke at COMMIT, and the rows are not back"):
        database.undo(done["archive"], **way(LOST))
    assert database.content() == cleaned
    assert database.undo(done["archive"])["rows"] == done["rows"]


@pytest.mark.parametrize("commit", [UNANSWERED, LOST])
def test_an_undo_that_can_ask_nobody_says_so_and_the_next_one_finds_out(database: Any, way: Any, commit: str) -> None:
    before = database.content()
    archive = database.clean()["archive"]
    with pytest.raises(Unreachable, match="whether the rows are back is not known") as raised:
        database.undo(archive, **way(commit, stays_cut=True))
    assert "Run the same command again: it finds out" in str(raised.value)
    assert "Nothing was changed" not in str(raised.value)
    assert database.undo(archive)["changed"] == (commit == LOST)
    assert database.content() == before
