"""A restore from S3 where the service or the way to it fails: found by the object's own checksum, or said at once."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import RollbackError, Unreachable
from ansible_collections.dualwrite.rollback.plugins.module_utils.stores.registry import open_store
from ansible_collections.dualwrite.rollback.plugins.module_utils.stores.s3 import PART, S3Store
from ansible_collections.dualwrite.rollback.tests.unit.backups.test_refusals import refused
from ansible_collections.dualwrite.rollback.tests.unit.backups.ways import Answer, Way

#: a byte that is in the dump once: the way to the service makes another one of it
MARK, FLIPPED = b"~", b"#"


@pytest.fixture
def way(objects: Any, shop: Any) -> Iterator[Callable[[Callable[[Answer], Answer]], dict[str, str]]]:
    """Return the option `store` for the shop's prefix by a way that changes answers."""
    with contextlib.ExitStack() as undo:

        def store(change: Callable[[Answer], Answer]) -> dict[str, str]:
            made = Way(objects.state["port"], change)
            undo.callback(made.close)
            return {**objects.store(shop.name), "endpoint_url": made.endpoint_url}

        yield store


def flip(answer: Answer) -> Answer:
    """Damage what is read of a dump."""
    return replace(answer, body=answer.body.replace(MARK, FLIPPED)) if ".sql" in answer.asked else answer


def uploaded(shop: Any, objects: Any, rows: int = 0, **more: str) -> bytes:
    """Make a backup in one piece, or in parts where there are many rows, and return it."""
    shop.sql(f"UPDATE teams SET note = '{MARK.decode()}' WHERE id = 77")
    if rows:
        shop.sql(f"INSERT INTO members (team_id) SELECT 1 + i % 200 FROM generate_series(1, {rows}) i")
    content = bytes(shop.dump("shop.sql").read_bytes())
    assert content.count(MARK) == 1
    if rows:
        with open_store(objects.store(shop.name)).write("shop.sql") as stream:
            stream.write(content)
    else:
        objects.client().put_object(Bucket="deltacrown-backups", Key=f"{shop.name}/shop.sql", Body=content, **more)
    return content


def found(shop: Any, way: Any, words: str) -> None:
    """Assert that a flipped byte is found before and while the backup is loaded."""
    for verification in ("before", "during"):
        refused(shop, words, store=way(flip), verification=verification)


def test_a_flipped_byte_is_found_by_the_md5_of_an_object(shop: Any, objects: Any, way: Any) -> None:
    content = uploaded(shop, objects)
    digest = hashlib.md5(content).hexdigest()
    found(shop, way, f"the md5 checksum is [0-9a-f]{{32}}, expected {digest}")
    done = shop.restore(True, store=way(lambda answer: answer))
    assert done["backup"]["checksum"] == f"md5:{digest}"


def test_a_flipped_byte_is_found_by_the_md5_of_an_objects_parts(shop: Any, objects: Any, way: Any) -> None:
    content = uploaded(shop, objects, rows=900_000)
    assert PART < len(content) < 2 * PART
    both = b"".join(hashlib.md5(part).digest() for part in (content[:PART], content[PART:]))
    digest = hashlib.md5(both).hexdigest()
    refused(shop, f"the md5-parts checksum is [0-9a-f]{{32}}, expected {digest}", store=way(flip))
    done = shop.restore(True, store=way(lambda answer: answer))
    assert done["backup"]["checksum"] == f"md5-parts:{digest}-2"


def test_a_flipped_byte_is_found_by_the_sha256_that_s3_keeps(shop: Any, objects: Any, way: Any) -> None:
    digest = hashlib.sha256(uploaded(shop, objects, ChecksumAlgorithm="SHA256")).hexdigest()
    found(shop, way, f"the sha256 checksum is [0-9a-f]{{64}}, expected {digest}")
    done = shop.restore(True, store=way(lambda answer: answer))
    assert done["backup"]["checksum"] == f"sha256:{digest}"


@pytest.mark.parametrize(
    "encrypted",
    [
        {"x-amz-server-side-encryption": "aws:kms"},
        {"x-amz-server-side-encryption": "aws:kms:dsse"},
        {"x-amz-server-side-encryption-customer-algorithm": "AES256"},
    ],
)
def test_the_etag_of_an_encrypted_object_is_no_checksum(
    shop: Any, objects: Any, way: Any, encrypted: dict[str, str]
) -> None:
    content = uploaded(shop, objects).replace(MARK, FLIPPED)

    def encrypt(answer: Answer) -> Answer:
        # what is read is not what the ETag adds up, as it is where the ETag is one of encrypted bytes
        return replace(flip(answer), headers={**answer.headers, **encrypted})

    done = shop.restore(True, store=way(encrypt))
    assert done["backup"]["checksum"] == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_objects_that_may_be_listed_and_not_read_are_said(shop: Any, objects: Any, way: Any) -> None:
    uploaded(shop, objects)

    def deny(asked: str) -> Callable[[Answer], Answer]:
        return lambda one: one.refused(403, "AccessDenied", "Access Denied") if one.asked.startswith(asked) else one

    path = f"/deltacrown-backups/{shop.name}/shop.sql"
    error = refused(shop, "S3 answers 403 AccessDenied: Access Denied", store=way(deny(f"GET {path}")))
    assert "s3:GetObject on its objects" in str(error)
    error = refused(shop, "S3 answers 403: Forbidden", store=way(deny(f"HEAD {path}")))
    assert "s3:GetObject on its objects" in str(error)
    assert error.kind == "refused"
    assert objects.store()["secret_key"] not in str(error)


def test_a_service_that_is_too_busy_is_asked_again_and_then_said(shop: Any, objects: Any, way: Any) -> None:
    uploaded(shop, objects)
    busy = iter([True] * 3)

    def slow_down(answer: Answer) -> Answer:
        asked = answer.asked.startswith("GET") and "shop.sql" in answer.asked
        return (
            answer.refused(503, "SlowDown", "Please reduce your request rate.")
            if asked and next(busy, False)
            else answer
        )

    assert shop.restore(True, store=way(slow_down))["changed"]
    assert next(busy, None) is None

    def refuse(answer: Answer) -> Answer:
        return answer.refused(503, "SlowDown", "Please reduce your request rate.")

    error = refused(shop, "S3 answers 503 SlowDown: Please reduce your request rate", store=way(refuse))
    assert error.hint
    assert error.kind == "unreachable"
    assert objects.store()["secret_key"] not in str(error)

    def refuse_to_be_read(answer: Answer) -> Answer:
        return refuse(answer) if answer.asked.startswith("GET") else answer

    with pytest.raises(Unreachable, match="could not be read in 1 attempts: S3 answers 503 SlowDown"):
        S3Store(way(refuse_to_be_read), attempts=1).read("shop.sql")


@pytest.mark.parametrize("code", ["ExpiredToken", "RequestExpired", "TokenRefreshRequired"])
def test_credentials_that_have_expired_are_said_as_such(shop: Any, objects: Any, way: Any, code: str) -> None:
    uploaded(shop, objects)

    def expire(answer: Answer) -> Answer:
        # while the backup is read
        asked = answer.asked.startswith("GET") and "shop.sql" in answer.asked
        return answer.refused(400, code, "The provided token has expired.") if asked else answer

    store = way(expire)
    for verification in ("before", "during"):
        error: RollbackError = refused(shop, f"400 {code}", store=store, verification=verification)
        assert "Give new ones" in error.hint
        assert store["secret_key"] not in str(error)
