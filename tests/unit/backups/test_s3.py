"""The store on S3, on a real service; faults of the way to it by a proxy that cuts and holds connections."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    Refused,
    RollbackError,
    Unreachable,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.stores.registry import open_store
from ansible_collections.dualwrite.rollback.plugins.module_utils.stores.s3 import PART, S3Store

BIG = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(PART // 32 * 2 + 1000))


@pytest.fixture
def store(objects: Any, request: pytest.FixtureRequest) -> S3Store:
    """A prefix of its own."""
    found = open_store(objects.store(request.node.name.replace("[", "-").strip("]")))
    assert isinstance(found, S3Store)
    return found


def test_what_is_written_in_parts_is_read_in_ranges(store: S3Store) -> None:
    with store.write("big") as stream:
        for start in range(0, len(BIG), 3_000_000):
            stream.write(BIG[start : start + 3_000_000])
    assert store.read("big") == BIG
    seen = store.stat("big")
    assert seen is not None
    assert seen.size == len(BIG)
    assert store.checksum("big").startswith("md5-parts:")
    with pytest.raises(Conflict), store.write("big") as stream:
        stream.write(b"again")


def test_what_the_service_is_to_encrypt_is_encrypted_and_read_without_a_word(objects: Any) -> None:
    given = objects.store("encrypted")
    open_store({**given, "encryption": "AES256"}).put("one", BIG)
    with open_store({**given, "encryption": "AES256"}).write("many") as stream:
        stream.write(BIG)
    plain = open_store(given)
    assert plain.read("one") == plain.read("many") == BIG
    for name in ("one", "many"):
        head = objects.client().head_object(Bucket=given["bucket"], Key=f"encrypted/{name}")
        assert head["ServerSideEncryption"] == "AES256"


def test_a_write_that_fails_leaves_nothing(store: S3Store) -> None:
    def fail() -> None:
        with store.write("half") as stream:
            stream.write(BIG)
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        fail()
    assert store.list() == []
    assert store.stat("half") is None


def test_an_object_that_is_replaced_while_it_is_read_is_no_mixture(store: S3Store) -> None:
    store.put("one", BIG)
    with contextlib.closing(store.open("one")) as stream:
        assert stream.read(100) == BIG[:100]
        store.put("one", b"another" * 4_000_000)
        with pytest.raises(Conflict, match="changed by somebody else"):
            stream.read()


def test_two_writers_that_append_lose_nothing(store: S3Store) -> None:
    def add(mark: bytes) -> None:
        for dummy in range(5):
            store.append("ledger", lambda seen: mark + b"\n")

    threads = [threading.Thread(target=add, args=(mark,)) for mark in (b"a", b"b")]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(store.read("ledger").split()) == [b"a"] * 5 + [b"b"] * 5


def test_a_long_list_is_read_to_its_end(objects: Any, store: S3Store) -> None:
    objects.fill([f"{store.prefix}shop_{number:05}.sql.gz" for number in range(5000)])
    assert len(store.list()) == 5000


def test_a_version_that_was_asked_for_is_the_one_that_is_read(objects: Any, store: S3Store) -> None:
    client = objects.client()
    client.put_bucket_versioning(Bucket=store.bucket, VersioningConfiguration={"Status": "Enabled"})
    try:
        store.put("one", b"first")
        store.put("one", b"second")
        assert store.read("one") == b"second"
    finally:
        client.put_bucket_versioning(Bucket=store.bucket, VersioningConfiguration={"Status": "Suspended"})


@pytest.mark.parametrize(
    ("wrong", "kind", "words"),
    [
        ({"bucket": "no-such-bucket"}, NotFound, "there is no bucket 'no-such-bucket'"),
        ({"secret_key": "wrong"}, Refused, "SignatureDoesNotMatch"),
        ({"access_key": "WRONG"}, Refused, "InvalidAccessKeyId"),
        ({"endpoint_url": "http://127.0.0.1:9"}, Unreachable, "does not answer"),
        ({"access_key": None, "secret_key": None, "profile": "nobody"}, InvalidInput, "nobody"),
    ],
)
def test_what_is_wrong_is_said(objects: Any, wrong: dict[str, Any], kind: type[RollbackError], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        open_store({**objects.store(), **wrong}).list()
    assert objects.store()["secret_key"] not in str(caught.value)


def test_a_reader_may_not_write_and_says_so(objects: Any) -> None:
    with pytest.raises(Refused, match="403 AccessDenied"):
        open_store(objects.store("x", "reader")).put("one", b"")


def test_no_object_is_not_found_and_no_name_leads_out(store: S3Store) -> None:
    with pytest.raises(NotFound):
        store.open("missing")
    for name in ("../other", "/etc/passwd", "a/../../b", ""):
        with pytest.raises(InvalidInput):
            store.open(name)


# --- the way to it ---------------------------------------------------------------------------------------------------


class Proxy:
    """A way to the service on which answers are cut or held: a fault that the service itself can't be made to have."""

    def __init__(self, target: int) -> None:
        self.target, self.cuts, self.held = target, 0, 0
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._door.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        # a thread that waits for a client holds the door open otherwise, for one more of whoever knocks
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, dummy = self._door.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self.target)) as server:
            threading.Thread(target=self._up, args=(client, server), daemon=True).start()
            passed = 0
            while chunk := server.recv(65536):
                passed += len(chunk)
                if passed > 1_000_000 and self.cuts > 0:
                    self.cuts -= 1
                    break
                if passed > 1_000_000 and self.held > 0:
                    self.held -= 1
                    threading.Event().wait(3)
                    break
                client.sendall(chunk)
            client.shutdown(socket.SHUT_RDWR)

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := client.recv(65536):
                server.sendall(chunk)


@pytest.fixture
def proxied(objects: Any) -> Iterator[tuple[Proxy, Callable[..., S3Store]]]:
    """The proxy, and the store by way of it."""
    proxy = Proxy(objects.state["port"])

    def store(**more: Any) -> S3Store:
        return S3Store({**objects.store("way"), "endpoint_url": f"http://127.0.0.1:{proxy.port}"}, **more)

    yield proxy, store
    proxy.close()


def test_a_connection_that_breaks_or_stalls_half_way_is_asked_again(proxied: Any) -> None:
    proxy, store = proxied
    store().put("big", BIG)
    proxy.cuts = 3
    assert store().read("big") == BIG
    assert proxy.cuts == 0
    proxy.held = 2
    assert store(read_timeout=1).read("big") == BIG
    assert proxy.held == 0


def test_a_connection_that_goes_on_breaking_is_said(proxied: Any) -> None:
    proxy, store = proxied
    store().put("big", BIG)
    proxy.cuts = 10**6
    with pytest.raises(Unreachable, match="could not be read in 2 attempts"):
        store(attempts=2).read("big")
