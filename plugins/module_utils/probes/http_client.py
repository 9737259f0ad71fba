# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP request with the standard library: TLS verified, no redirect followed, body capped, a deadline over all."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..core.deadline import Deadline
from ..core.errors import DeadlinePassed, InvalidInput, RollbackError, Unreachable

MAX_BODY = 1024 * 1024
_EXPIRED, _NOT_YET, _SELF_SIGNED, _SELF_SIGNED_CHAIN, _NO_ISSUER, _WRONG_HOST, _WRONG_IP = 10, 9, 18, 19, 20, 62, 64


@dataclass(frozen=True)
class Request:
    """What to ask. ``headers_from`` names files that hold header values: {header: {file, prefix}}."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    headers_from: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    body: bytes | None = None
    ca_cert: str | None = None
    validate_certs: bool = True


@dataclass(frozen=True)
class Response:
    """What came back: status, headers (names in lower case), the body up to MAX_BODY bytes, seconds from connect."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    took: float

    @property
    def content_type(self) -> str:
        """Return the media type without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_url(url: str, where: str) -> None:
    """Raise InvalidInput unless ``url`` is http(s) with a host, a valid port and no user or password in it."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise InvalidInput(f"'{_without_user(url)}' is no URL of http or https", where=where)
    if "@" in parts.netloc:
        raise InvalidInput(
            "a URL must not hold a user or password",
            where=where,
            hint="Put the whole header value into a file and name it in headers_from.",
        )
    if any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise InvalidInput(f"'{url!r}' holds a blank or control character", where=where)


def read_headers(headers_from: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return {header: prefix + first line of the file}.

    Raises InvalidInput when a file is missing, unreadable, empty or holds more than one line.
    """
    found: dict[str, str] = {}
    for header, source in headers_from.items():
        path = str(source["file"])
        try:
            with open(path, encoding="utf-8") as stream:
                text = stream.read(64 * 1024).strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise InvalidInput(f"the value of header {header} can't be read: {reason}", where=path) from error
        if not text or not text.isprintable():
            raise InvalidInput(f"the value of header {header} must be one non-empty line", where=path)
        found[header] = f"{source.get('prefix') or ''}{text}"
    return found


def context_for(request: Request) -> ssl.SSLContext | None:
    """Return the TLS settings for a request, None for plain http; raises InvalidInput for a bad CA file."""
    if urlsplit(request.url).scheme != "https":
        return None
    if request.ca_cert and not os.path.isfile(request.ca_cert):
        raise InvalidInput("the file with the CA certificate does not exist", where=request.ca_cert)
    try:
        context = ssl.create_default_context(cafile=request.ca_cert)
    except (ssl.SSLError, OSError) as error:
        raise InvalidInput("the file holds no CA certificate in PEM format", where=request.ca_cert or "") from error
    if not request.validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def fetch(request: Request, deadline: Deadline) -> Response:
    """Send the request once and return the answer, whatever its status; a redirect is an answer, too.

    Raises Unreachable (refused, unknown host, bad certificate, broken answer), DeadlinePassed and InvalidInput.
    """
    parts = urlsplit(request.url)
    context = context_for(request)
    host = str(parts.hostname)
    seconds = max(deadline.left(), 0.05)
    connection: http.client.HTTPConnection
    if context is not None:
        connection = http.client.HTTPSConnection(host, parts.port, timeout=seconds, context=context)
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=seconds)
    headers = {"User-Agent": "dualwrite.rollback", "Accept": "*/*", "Connection": "close", **request.headers}
    headers.update(read_headers(request.headers_from))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    started = time.monotonic()
    try:
        connection.request(request.method, target, body=request.body, headers=headers)
        answer = connection.getresponse()
        body, truncated = _read(answer, connection, deadline)
        took = time.monotonic() - started
        received = {name.lower(): value for name, value in answer.getheaders()}
        return Response(answer.status, received, body, truncated, took)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _explain(error, request.url, deadline) from error
    finally:
        connection.close()


def _read(
    answer: http.client.HTTPResponse, connection: http.client.HTTPConnection, deadline: Deadline
) -> tuple[bytes, bool]:
    """Return the body up to the cap, in pieces, so that a dripping server can't outlive the deadline."""
    pieces: list[bytes] = []
    size = 0
    while size <= MAX_BODY:
        if deadline.passed():
            raise TimeoutError
        if connection.sock is not None:
            connection.sock.settimeout(max(deadline.left(), 0.05))
        piece = answer.read1(min(64 * 1024, MAX_BODY + 1 - size))
        if not piece:
            if answer.length:
                raise http.client.IncompleteRead(b"", answer.length)
            return b"".join(pieces), False
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)[:MAX_BODY], True


def _explain(error: Exception, url: str, deadline: Deadline) -> RollbackError:
    where = _without_user(url).partition("?")[0]
    if isinstance(error, (TimeoutError, socket.timeout)):
        return DeadlinePassed(f"no complete answer within {deadline.seconds:.1f} s", where=where)
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = {
            _EXPIRED: "the server's certificate has expired",
            _NOT_YET: "the server's certificate is not valid yet",
            _SELF_SIGNED: "the server's certificate is self-signed and not trusted here",
            _SELF_SIGNED_CHAIN: "the server's certificate comes from a CA that is not trusted here",
            _NO_ISSUER: "the server's certificate comes from a CA that is not trusted here",
            _WRONG_HOST: "the server's certificate is for another host name",
            _WRONG_IP: "the server's certificate is for another address",
        }.get(error.verify_code, f"the server's certificate is not accepted: {error.verify_message}")
        return Unreachable(reason, where=where, hint="Renew it, or name the CA in ca_cert.")
    if isinstance(error, ssl.SSLError):
        return Unreachable(f"no TLS connection: {error.reason or error}", where=where)
    if isinstance(error, ConnectionRefusedError):
        return Unreachable("the connection was refused: nothing listens there", where=where)
    if isinstance(error, socket.gaierror):
        return Unreachable("the host name is not known", where=where)
    if isinstance(error, http.client.RemoteDisconnected):
        return Unreachable("the server closed the connection without an answer", where=where)
    if isinstance(error, http.client.IncompleteRead):
        return Unreachable("the answer broke off before its end", where=where)
    if isinstance(error, http.client.HTTPException):
        return Unreachable(f"the answer is no HTTP: {type(error).__name__}", where=where)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Unreachable(f"no answer: {reason}", where=where)


def _without_user(url: str) -> str:
    head, at, rest = url.partition("@")
    return f"{head.partition('//')[0]}//{rest}" if at and "//" in head and "/" not in head.partition("//")[2] else url


def request_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of Request that the http and metric probes share."""
    shared = {key: options[key] for key in ("headers", "headers_from", "ca_cert") if options.get(key)}
    shared["validate_certs"] = options.get("validate_certs", True)
    return shared
