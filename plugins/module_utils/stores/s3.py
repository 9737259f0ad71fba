# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bucket of an S3 service, below a prefix, as a store: retried, and read in ranges side by side."""

from __future__ import annotations

import contextlib
import io
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO, cast

from ..core.errors import Conflict, InvalidInput, NotFound, Refused, RollbackError, Unreachable
from ..core.evidence import format_time
from ..core.translate import require
from .base import Stat, Store

#: bytes of one range, of one uploaded part, and how many ranges are fetched at once
PART = 8 * 1024 * 1024
FIRST = 64 * 1024
AT_ONCE = 4
#: how often one range is asked for before the read fails
ATTEMPTS = 6
ACCESS_HINT = "Allow s3:ListBucket on the bucket and s3:GetObject on its objects to these credentials."
EXPIRED = ("ExpiredToken", "RequestExpired", "TokenRefreshRequired")


class S3Store(Store):
    """Objects are those of ``bucket`` below ``prefix``; with the credentials given, the profile's or the machine's.

    ``given`` are the suboptions of the option ``store``: bucket, prefix, endpoint_url, region, profile, access_key,
    secret_key, session_token, ca_cert, encryption, kms_key_id. Raises RollbackError when boto3 is not installed and
    InvalidInput for a profile that is not there.
    """

    def __init__(self, given: Mapping[str, Any], *, read_timeout: float = 15, attempts: int = ATTEMPTS) -> None:
        require("boto3", "boto3", needed_for="a store on S3")
        import boto3
        import botocore.config
        import botocore.exceptions

        self.bucket = str(given["bucket"])
        self.prefix = str(given.get("prefix") or "").strip("/")
        self.prefix += "/" if self.prefix else ""
        self.place = f"s3://{self.bucket}/{self.prefix}"
        self._attempts = attempts
        self._extra: dict[str, str] = {}
        if given.get("encryption"):
            self._extra["ServerSideEncryption"] = str(given["encryption"])
        if given.get("kms_key_id"):
            self._extra["SSEKMSKeyId"] = str(given["kms_key_id"])
        config = botocore.config.Config(
            connect_timeout=5,
            read_timeout=read_timeout,
            retries={"mode": "standard", "total_max_attempts": 4},
            max_pool_connections=AT_ONCE * 2,
            s3={"addressing_style": "path"} if given.get("endpoint_url") else {},
        )
        try:
            session = boto3.session.Session(
                profile_name=given.get("profile") or None,
                region_name=given.get("region") or None,
                aws_access_key_id=given.get("access_key") or None,
                aws_secret_access_key=given.get("secret_key") or None,
                aws_session_token=given.get("session_token") or None,
            )
            # some services that speak S3 want no region, the signature wants one
            region = None if session.region_name or not given.get("endpoint_url") else "us-east-1"
            self._client = session.client(
                "s3", endpoint_url=given.get("endpoint_url") or None, config=config, region_name=region,
                verify=given.get("ca_cert") or None,
            )  # fmt: skip
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise InvalidInput(f"the store can't be used: {error}", where=self.place) from error

    def put(self, name: str, content: bytes) -> str:
        """Replace an object in one step and return its address; raises RollbackError when it can't be written."""
        with self._told(name):
            self._client.put_object(Bucket=self.bucket, Key=self._key(name), Body=content, **self._extra)
        return self.place + name

    @contextlib.contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        """Upload in parts; the object appears when the block ends. Raises Conflict when there is one of that name."""
        if self.stat(name) is not None:
            raise Conflict("there is an object of that name already", where=self.place + name)
        key = self._key(name)
        with self._told(name):
            upload = self._client.create_multipart_upload(Bucket=self.bucket, Key=key, **self._extra)["UploadId"]
        parts: list[dict[str, Any]] = []

        def send(content: bytes) -> None:
            with self._told(name):
                sent = self._client.upload_part(
                    Bucket=self.bucket, Key=key, UploadId=upload, PartNumber=len(parts) + 1, Body=content
                )
            parts.append({"PartNumber": len(parts) + 1, "ETag": sent["ETag"]})

        stream = _Parts(send)
        try:
            yield cast("BinaryIO", stream)
            stream.finish()
            with self._told(name):
                self._client.complete_multipart_upload(
                    Bucket=self.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
                )
        except BaseException:
            with contextlib.suppress(RollbackError), self._told(name):
                self._client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)
            raise

    def append(self, name: str, extend: Callable[[bytes], bytes]) -> None:
        """Read, extend and replace the object on the condition that nobody else did meanwhile; tries again if so."""
        for attempt in range(self._attempts * 4):
            head = self._head(name)
            condition = {"IfMatch": head["ETag"]} if head else {"IfNoneMatch": "*"}
            try:
                content = self.read(name) if head else b""
                with self._told(name):
                    self._client.put_object(
                        Bucket=self.bucket, Key=self._key(name), Body=content + extend(content),
                        **condition, **self._extra,
                    )  # fmt: skip
                return
            except Conflict:
                time.sleep(random.uniform(0.01, 0.05 * (attempt + 1)))  # not in step with the other
        raise Conflict("somebody else goes on changing the object", where=self.place + name)

    def open(self, name: str) -> BinaryIO:
        """Return a stream that fetches the object's ranges ahead; raises NotFound when there is no such object.

        What is read is one version of the object: when it is replaced meanwhile a read raises Conflict.
        """
        head = self._head(name)
        if head is None:
            raise NotFound("the object does not exist", where=self.place + name)
        pinned = {"IfMatch": head["ETag"]}
        if head.get("VersionId") not in (None, "null"):
            pinned["VersionId"] = head["VersionId"]

        def fetch(start: int, end: int) -> bytes:
            return self._range(name, start, end, pinned)

        return cast("BinaryIO", io.BufferedReader(_Ranges(fetch, int(head["ContentLength"]))))

    def list(self, prefix: str = "") -> list[Stat]:
        """Return the objects whose name starts with ``prefix``, sorted by name, however many there are."""
        found = []
        with self._told(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix + prefix
            )
            for page in pages:
                for item in page.get("Contents", []):
                    name = item["Key"][len(self.prefix) :]
                    if name and not name.endswith("/"):
                        found.append(Stat(name, int(item["Size"]), format_time(item["LastModified"])))
        return sorted(found, key=lambda item: item.name)

    def stat(self, name: str) -> Stat | None:
        """Return name, size and time of one object, None when there is none."""
        head = self._head(name)
        return head and Stat(name, int(head["ContentLength"]), format_time(head["LastModified"]))

    def checksum(self, name: str) -> str:
        """Return what the service knows: ``sha256:<hex>``, ``md5:<hex>``, ``md5-parts:<hex>:<bytes per part>`` or "".

        An ETag is the MD5 of the content, or of the parts' MD5s, unless the object is encrypted with a key of KMS or of
        the customer.
        """
        head = self._head(name, ChecksumMode="ENABLED") or {}
        if head.get("ChecksumSHA256") and "-" not in head["ChecksumSHA256"]:
            return "sha256:" + _hex(head["ChecksumSHA256"])
        etag = str(head.get("ETag", "")).strip('"')
        # aws:kms and aws:kms:dsse
        by_kms = str(head.get("ServerSideEncryption", "")).startswith("aws:kms")
        if by_kms or head.get("SSECustomerAlgorithm") or not etag:
            return ""
        digest, dash, parts = etag.partition("-")
        if not dash:
            return f"md5:{digest}" if len(digest) == 32 else ""
        if int(parts) == 1:
            return f"md5-parts:{digest}-1:{head['ContentLength']}"
        first = self._head(name, PartNumber=1) or {}
        size = int(first.get("ContentLength", 0))
        whole = int(head["ContentLength"])
        # a service that does not know part numbers answers with the whole object
        return f"md5-parts:{digest}-{parts}:{size}" if size and -(-whole // size) == int(parts) else ""

    def _head(self, name: str, **more: Any) -> Any:
        try:
            with self._told(name):
                return self._client.head_object(Bucket=self.bucket, Key=self._key(name), **more)
        except NotFound:
            return None

    def _key(self, name: str) -> str:
        if not name or name.startswith("/") or ".." in name.split("/"):
            raise InvalidInput(f"the name '{name}' leads out of the prefix", where=self.place)
        return self.prefix + name

    def _range(self, name: str, start: int, end: int, pinned: Mapping[str, str]) -> bytes:
        """Fetch bytes ``start`` to ``end`` (exclusive), again as long as the connection breaks."""
        for attempt in range(self._attempts):
            try:
                with self._told(name):
                    answer = self._client.get_object(
                        Bucket=self.bucket, Key=self._key(name), Range=f"bytes={start}-{end - 1}", **pinned
                    )
                    content = bytes(answer["Body"].read())
                if len(content) == end - start:
                    return content
                problem = f"{len(content)} of {end - start} bytes came"
            except Unreachable as error:
                problem = error.what
            time.sleep(min(0.1 * 2**attempt, 2.0))
        raise Unreachable(
            f"bytes {start} to {end} could not be read in {self._attempts} attempts: {problem}",
            where=self.place + name, hint="Nothing was changed; run the same command again.",
        )  # fmt: skip

    @contextlib.contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Raise what the service or the connection says as one of our errors."""
        import botocore.exceptions
        import urllib3.exceptions

        where = self.place + name
        try:
            yield
        except botocore.exceptions.ClientError as error:
            answer: Mapping[str, Any] = error.response
            code = str(answer.get("Error", {}).get("Code", ""))
            status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            said = str(answer.get("Error", {}).get("Message", "") or "no reason was given")
            # to HEAD there is an answer without a body, whose code is the status again
            what = f"S3 answers {status}{'' if code == str(status) else ' ' + code}: {said}"
            if code == "NoSuchBucket":
                raise NotFound(f"there is no bucket '{self.bucket}'", where=where) from error
            if status == 404:
                raise NotFound("the object does not exist", where=where) from error
            if status in (409, 412):
                raise Conflict("the object was changed by somebody else meanwhile", where=where) from error
            if status in (301, 307, 400) and code in ("PermanentRedirect", "AuthorizationHeaderMalformed", "301"):
                raise InvalidInput(
                    f"the bucket is in another region: {said}", where=where, hint="Set region."
                ) from error
            if code in EXPIRED:
                raise Refused(what, where=where, hint="The credentials have expired. Give new ones.") from error
            if status in (400, 401, 403):
                raise Refused(what, where=where, hint=ACCESS_HINT) from error
            raise Unreachable(what, where=where, hint="Run the same command again.") from error
        except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError) as error:
            hint = "Give profile or access_key and secret_key, or run on a machine that has a role."
            raise InvalidInput("no credentials for S3 were found", where=where, hint=hint) from error
        except (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"S3 does not answer: {' '.join(str(error).split())}", where=where) from error


class _Ranges(io.RawIOBase):
    """An object read from its start to its end; some ranges are fetched ahead, side by side."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        super().__init__()
        self._fetch, self._size, self._asked = fetch, size, 0
        self._pool = ThreadPoolExecutor(max_workers=AT_ONCE)
        self._ahead: deque[Future[bytes]] = deque()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            # who wants the first bytes only is not made to wait for more
            ahead, part = (AT_ONCE, PART) if self._asked else (1, FIRST)
            while len(self._ahead) < ahead and self._asked < self._size:
                end = min(self._asked + part, self._size)
                self._ahead.append(self._pool.submit(self._fetch, self._asked, end))
                self._asked = end
            if not self._ahead:
                return 0
            self._rest = memoryview(self._ahead.popleft().result())
        number = min(len(buffer), len(self._rest))
        buffer[:number] = self._rest[:number]
        self._rest = self._rest[number:]
        return number

    def close(self) -> None:
        for one in self._ahead:
            one.cancel()
        self._pool.shutdown(wait=False)
        super().close()


class _Parts(io.RawIOBase):
    """What is written goes out in parts of one size; S3 takes a smaller one only as the last."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        super().__init__()
        self._send, self._held, self._sent = send, bytearray(), 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._held += content
        while len(self._held) >= PART:
            self._send(bytes(self._held[:PART]))
            del self._held[:PART]
            self._sent += 1
        return len(content)

    def finish(self) -> None:
        if self._held or not self._sent:
            self._send(bytes(self._held))


def _hex(base64_text: str) -> str:
    import base64

    return base64.b64decode(base64_text).hex()
