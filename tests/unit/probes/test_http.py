"""Kind http against real servers, plain and TLS."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.base import Context
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.http import pick
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.judge import MISSING

from .conftest import Site, free_port


def test_a_healthy_answer_passes_with_the_values_looked_at(ask: Callable[..., Any], site: Site) -> None:
    site.answers["/health/"] = (200, {}, {"status": "healthy", "checks": [{"state": "up"}], "private": "x"})
    seen = ask("http", url=f"{site.url}/health/", json={"status": "healthy", "checks.0.state": "up"}, max_latency=2)
    assert seen.answer == "pass"
    assert seen.value == {"status": 200, "json": {"status": "healthy", "checks.0.state": "up"}}
    assert seen.where == f"{site.url}/health/"
    assert "private" not in str(seen.as_dict())


def test_200_with_an_unhealthy_body_fails_with_the_value(ask: Callable[..., Any], site: Site) -> None:
    site.answers["/health/"] = (200, {}, {"status": "degraded"})
    seen = ask("http", url=f"{site.url}/health/", json={"status": "healthy"})
    assert (seen.answer, seen.detail) == ("fail", "status is degraded instead of healthy")


def test_503_that_says_why_shows_both(ask: Callable[..., Any], site: Site) -> None:
    site.answers["/health/"] = (503, {}, {"status": "unhealthy"})
    seen = ask("http", url=f"{site.url}/health/", json={"status": "healthy"})
    assert seen.detail == "status is 503 instead of 200; status is unhealthy instead of healthy"


def test_a_missing_value_is_unknown(ask: Callable[..., Any], site: Site) -> None:
    site.answers["/health/"] = (200, {}, {"state": "healthy"})
    seen = ask("http", url=f"{site.url}/health/", json={"status": "healthy"})
    assert (seen.answer, seen.detail) == ("unknown", "status is missing")


def test_html_instead_of_json_fails(ask: Callable[..., Any], site: Site) -> None:
    site.answers["/health/"] = (200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>login</html>")
    seen = ask("http", url=f"{site.url}/health/", json={"status": "healthy"})
    assert (seen.answer, seen.detail) == ("fail", "the answer is no JSON (text/html, 18 bytes)")


def test_a_redirect_is_not_followed(ask: Callable[..., Any], site: Site) -> None:
    site.answers["/health/"] = (302, {"Location": "https://login.example.com/?next=x"}, b"")
    seen = ask("http", url=f"{site.url}/health/")
    assert seen.answer == "fail"
    assert "302 instead of 200, a redirect to https://login.example.com/ that is not followed" in seen.detail
    assert len(site.asked) == 1
    assert ask("http", url=f"{site.url}/health/", status=[301, 302]).answer == "pass"


def test_a_slow_answer_fails_on_latency(ask: Callable[..., Any], site: Site) -> None:
    def slow(asked: Any) -> tuple[int, dict[str, str], bytes]:
        time.sleep(0.12)
        return 200, {}, b""

    site.answers["/"] = slow
    seen = ask("http", url=site.url, max_latency=0.1)
    assert seen.answer == "fail"
    assert "latency in s is 0.1" in seen.detail
    assert "above 0.1" in seen.detail


def test_a_body_beyond_the_cap_is_not_read(ask: Callable[..., Any], site: Site) -> None:
    site.answers["/"] = (200, {}, b'"' + b"x" * 3_000_000 + b'"')
    assert ask("http", url=site.url, json={"a": 1}).detail == "the answer is larger than 1 MiB"
    assert ask("http", url=site.url).answer == "pass"


def test_a_post_with_a_token_from_a_file(ask: Callable[..., Any], site: Site, tmp_path: Path, context: Context) -> None:
    token = tmp_path / "token"
    token.write_text("s3cr3t-value\n")
    site.answers["/teams/"] = (201, {}, {"team": {"id": 7}, "echo": "s3cr3t-value"})
    seen = ask(
        "http",
        url=f"{site.url}/teams/",
        method="POST",
        headers_from={"Authorization": {"file": str(token), "prefix": "Token "}},
        body={"name": "canary"},
        status=[201],
        json={"echo": "x"},
        remember={"canary": "team.id"},
    )
    asked = site.asked[0]
    assert asked["headers"]["Authorization"] == "Token s3cr3t-value"
    assert (asked["method"], json.loads(asked["body"])) == ("POST", {"name": "canary"})
    assert "s3cr3t" not in str(seen.as_dict())
    assert context.remembered == {"canary": "7"}
    site.answers["/teams/7/"] = (204, {}, b"")
    assert ask("http", url=f"{site.url}/teams/{{canary}}/", method="DELETE", status=[204]).answer == "pass"


def test_a_value_that_nobody_remembered_is_unknown_and_not_asked(ask: Callable[..., Any], site: Site) -> None:
    seen = ask("http", url=f"{site.url}/teams/{{canary}}/", method="DELETE")
    assert (seen.answer, site.asked) == ("unknown", [])


def test_nothing_listens(ask: Callable[..., Any]) -> None:
    seen = ask("http", url=f"http://127.0.0.1:{free_port()}/")
    assert (seen.answer, seen.detail) == ("error", "the connection was refused: nothing listens there")


def test_an_unknown_host(ask: Callable[..., Any]) -> None:
    assert ask("http", url="http://no-such-host.invalid/").detail == "the host name is not known"


def test_a_server_that_never_answers(ask: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        seen = ask("http", seconds=0.3, url=f"http://127.0.0.1:{silent.getsockname()[1]}/")
    assert (seen.answer, seen.detail) == ("error", "no complete answer within 0.3 s")
    assert time.monotonic() - started < 2


def test_a_server_that_drips_can_not_outlive_the_deadline(ask: Callable[..., Any]) -> None:
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            link, address = server.accept()
            with link:
                link.recv(4096)
                link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not stop.wait(0.05):
                    try:
                        link.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        seen = ask("http", seconds=0.5, url=f"http://127.0.0.1:{server.getsockname()[1]}/")
        stop.set()
        thread.join(5)
    assert (seen.answer, seen.detail) == ("error", "no complete answer within 0.5 s")


@pytest.mark.parametrize(
    ("reply", "detail"),
    [
        (b"", "the server closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the answer is no HTTP: BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", "the answer broke off before its end"),
    ],
)
def test_broken_answers(ask: Callable[..., Any], reply: bytes, detail: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def once() -> None:
            link, address = server.accept()
            with link:
                link.recv(4096)
                link.sendall(reply)

        thread = threading.Thread(target=once, daemon=True)
        thread.start()
        seen = ask("http", url=f"http://127.0.0.1:{server.getsockname()[1]}/")
        thread.join(5)
    assert (seen.answer, seen.detail) == ("error", detail)


class TestTls:
    def test_a_trusted_certificate(self, ask: Callable[..., Any], tls_site: Callable[..., tuple[Site, Path]]) -> None:
        site, ca_cert = tls_site()
        site.answers["/"] = (200, {}, b"")
        assert ask("http", url=site.url, ca_cert=str(ca_cert)).answer == "pass"
        assert ask("http", url=site.url, validate_certs=False).answer == "pass"
        seen = ask("http", url=site.url)
        assert (seen.answer, site.asked[2:]) == ("error", [])
        assert "self-signed and not trusted here" in seen.detail

    @pytest.mark.parametrize(
        ("host", "days", "reason"),
        [
            ("127.0.0.1", (-3, -1), "the server's certificate has expired"),
            ("127.0.0.1", (1, 3), "the server's certificate is not valid yet"),
            ("127.0.0.9", (-1, 1), "the server's certificate is for another address"),
        ],
    )
    def test_a_bad_certificate(
        self,
        ask: Callable[..., Any],
        tls_site: Callable[..., tuple[Site, Path]],
        host: str,
        days: tuple[int, int],
        reason: str,
    ) -> None:
        site, ca_cert = tls_site(host, *days)
        seen = ask("http", url=site.url, ca_cert=str(ca_cert))
        assert (seen.answer, seen.detail.partition(".")[0]) == ("error", reason)

    def test_another_host_name(self, ask: Callable[..., Any], tls_site: Callable[..., tuple[Site, Path]]) -> None:
        site, ca_cert = tls_site("other.example.com")
        seen = ask("http", url=site.url.replace("127.0.0.1", "localhost"), ca_cert=str(ca_cert))
        assert "for another host name" in seen.detail

    def test_plain_http_behind_https(self, ask: Callable[..., Any], site: Site) -> None:
        seen = ask("http", url=site.url.replace("http:", "https:"))
        assert seen.answer == "error"
        assert "no TLS connection" in seen.detail


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "needs the option 'url'"),
        ({"url": "ftp://x/"}, "'ftp://x/' is no URL of http or https"),
        ({"url": "http://user:pw@x/"}, "a URL must not hold a user or password"),
        ({"url": "http://x/ y"}, "holds a blank"),
        ({"url": "http://x:99999/"}, "is no URL"),
        ({"url": "http://x/", "method": "TRACE"}, "'TRACE' is no method"),
        ({"url": "http://x/", "status": [99]}, "no list of HTTP status codes"),
        ({"url": "http://x/", "max_latency": 0}, "max_latency must be more than 0"),
        ({"url": "http://x/", "headers": {"Authorization": "Token x"}}, "is a secret and does not belong"),
        ({"url": "http://x/", "headers_from": {"A": {"path": "/x"}}}, "must be a dict with file"),
        ({"url": "http://x/", "headers_from": {"A": {"file": "/no/such"}}}, "No such file"),
        ({"url": "http://x/", "pattern": "x"}, "a probe of kind http has no option 'pattern'"),
    ],
)
def test_wrong_options(build: Callable[..., Any], options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        build("http", **options)
    assert sentence in str(caught.value)
    assert "user:pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [("a.b", 1), ("l.1.c", 2), ("l.-1.c", 2), ("flags.X.Y", 3), ("a.x", MISSING), ("l.7", MISSING), ("a.b.c", MISSING)],
)
def test_pick(path: str, value: Any) -> None:
    assert pick({"a": {"b": 1}, "l": [0, {"c": 2}], "flags": {"X.Y": 3}}, path) == value
