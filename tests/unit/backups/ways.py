"""A way to the S3 service on which answers are changed: stands in for what the service can't be made to do."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_OWN = ("connection", "content-length", "date", "server", "transfer-encoding")


@dataclass(frozen=True)
class Answer:
    """What the service has answered, or is made to have answered, to ``asked`` (as `GET /bucket/name`)."""

    asked: str
    status: int
    headers: dict[str, str]
    body: bytes

    def refused(self, status: int, code: str, said: str) -> Answer:
        """Return it as S3 would have refused."""
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{said}</Message></Error>".encode()
        return replace(self, status=status, headers={"Content-Type": "application/xml"}, body=body)


class Way:
    """Passes each request on to the service on port ``target`` and its answer back, changed by ``change``."""

    def __init__(self, target: int, change: Callable[[Answer], Answer]) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with contextlib.closing(HTTPConnection("127.0.0.1", target, timeout=20)) as link:
                    # the request is signed: it has to arrive as it was sent
                    link.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in self.headers.items():
                        link.putheader(name, value)
                    link.endheaders()
                    given = link.getresponse()
                    length = given.getheader("Content-Length")
                    seen = Answer(f"{self.command} {self.path}", given.status, dict(given.getheaders()), given.read())
                answer = change(seen)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in _OWN:
                        self.send_header(name, value)
                asks_for_head = self.command == "HEAD"
                self.send_header("Content-Length", str(length if asks_for_head else len(answer.body)))
                self.end_headers()
                if not asks_for_head:
                    self.wfile.write(answer.body)

            do_HEAD = do_GET

            def log_message(self, *words: object) -> None:
                """Keep still."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint_url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
