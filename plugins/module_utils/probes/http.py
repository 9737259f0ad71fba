# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a URL: status, values inside a JSON answer, latency, TLS."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ..core.deadline import Deadline
from ..core.evidence import FAIL, PASS, UNKNOWN
from ..core.redact import is_secret_name
from .base import Context, Probe, Seen
from .http_client import Request, Response, check_url, fetch, read_headers, request_options
from .judge import MISSING, Answer, between, equal, show, worst

READING = ("GET", "HEAD")
WRITING = ("POST", "PUT", "PATCH", "DELETE")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class HttpProbe(Probe):
    """One HTTP request per answer. The body never enters the evidence, only the JSON values that were asked for."""

    KIND = "http"
    OPTIONS = {
        "url": "what to ask; {name} stands for a value that an earlier probe remembered",
        "method": "GET when not given; any other than GET and HEAD makes it a writing probe",
        "headers": "header values that are no secrets",
        "headers_from": "headers whose values stand in files: {header: {file, prefix}}",
        "body": "sent as JSON",
        "status": "the status codes that are right, 200 when not given",
        "json": "dotted path in the JSON answer (list indexes too) to expected value",
        "max_latency": "seconds from connecting to the last byte",
        "ca_cert": "PEM file of the CA to trust instead of the system's",
        "validate_certs": "whether TLS certificates are verified, true when not given",
        "remember": "name to dotted path of a JSON value that later probes may use as {name}",
    }
    REQUIRED = ("url",)

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        super().__init__(options, context)
        self.method = str(self.options.get("method", "GET")).upper()
        if self.method not in READING + WRITING:
            raise self.bad(f"'{self.method}' is no method", hint=f"Use one of {', '.join(READING + WRITING)}.")
        self.url = str(self.options["url"])
        check_url(_PLACEHOLDER.sub("x", self.url), f"probe '{self.name}'")
        self.placeholders = _PLACEHOLDER.findall(self.url)
        self.status = self._status()
        self.expected: Mapping[str, Any] = self.options.get("json", {})
        self.remember: Mapping[str, str] = self.options.get("remember", {})
        self.max_latency = self.positive("max_latency")
        self._check_headers()

    @property
    def writes(self) -> bool:
        """Return whether the request may change something at the server."""
        return self.method not in READING

    @property
    def place(self) -> str:
        """Return the URL."""
        return self.url

    def secrets(self) -> Sequence[str]:
        """Return the header values that came from files."""
        values = read_headers(self.options.get("headers_from", {})).values()
        return [part for value in values for part in (value, value.rpartition(" ")[2])]

    def look(self, deadline: Deadline) -> Seen:
        """Send the request and judge status, latency and JSON values."""
        lacking = [name for name in self.placeholders if name not in self.context.remembered]
        if lacking:
            return Seen(
                Answer(UNKNOWN, f"not asked: no earlier probe remembered a value as '{lacking[0]}'"), where=self.url
            )
        url = _PLACEHOLDER.sub(lambda match: quote(self.context.remembered[match[1]], safe=""), self.url)
        body = json.dumps(self.options["body"]).encode() if "body" in self.options else None
        shared = request_options(self.options)
        if body is not None:
            shared["headers"] = {"Content-Type": "application/json", **shared.get("headers", {})}
        response = fetch(Request(url, self.method, body=body, **shared), deadline)
        return self._judge(url, response)

    def _judge(self, url: str, response: Response) -> Seen:
        value: dict[str, Any] = {"status": response.status}
        answers = [judge_status(response, self.status)]
        if self.max_latency is not None:
            answers.append(between("latency in s", round(response.took, 3), None, self.max_latency))
        if self.expected or self.remember:
            document, broken = parse_json(response)
            # an unhealthy answer often has another status and still says why in its JSON: look at both
            if broken is not None and answers[0].answer == PASS:
                answers.append(broken)
            elif broken is None:
                seen = {path: pick(document, path) for path in self.expected}
                answers += [equal(path, self.expected[path], seen[path]) for path in self.expected]
                value["json"] = {path: None if found is MISSING else found for path, found in seen.items()}
                answers += self._keep(document)
        return Seen(worst(answers), value, url, {"latency": round(response.took, 3)})

    def _keep(self, document: Any) -> list[Answer]:
        """Remember values for later probes; one that is missing is unknown."""
        answers = []
        for name, path in self.remember.items():
            found = pick(document, path)
            if found is MISSING or isinstance(found, (Mapping, list)) or found is None:
                answers.append(Answer(UNKNOWN, f"{path} is missing and can't be remembered as '{name}'"))
            else:
                self.context.remembered[name] = str(found)
        return answers

    def _status(self) -> list[int]:
        given = self.options.get("status", [200])
        codes = given if isinstance(given, list) else [given]
        try:
            status = [int(code) for code in codes]
        except (TypeError, ValueError):
            status = []
        if not status or any(not 100 <= code <= 599 for code in status):
            raise self.bad(f"status is '{show(given)}', which is no list of HTTP status codes")
        return status

    def _check_headers(self) -> None:
        for header in self.options.get("headers", {}):
            if is_secret_name(header) or header.lower() in ("cookie", "x-auth"):
                raise self.bad(
                    f"the value of header {header} is a secret and does not belong into the options",
                    hint="Put it into a file and name it in headers_from.",
                )
        for header, source in self.options.get("headers_from", {}).items():
            if not isinstance(source, Mapping) or not source.get("file") or set(source) - {"file", "prefix"}:
                raise self.bad(f"headers_from.{header} must be a dict with file and, if needed, prefix")
        read_headers(self.options.get("headers_from", {}))


def judge_status(response: Response, allowed: Sequence[int]) -> Answer:
    """Judge the status; a redirect that is not expected names its target, for it is not followed."""
    if response.status in allowed:
        return Answer(PASS, f"status is {response.status}")
    wanted = " or ".join(str(code) for code in allowed)
    target = response.headers.get("location", "")
    redirect = f", a redirect to {show(target.partition('?')[0])} that is not followed" if target else ""
    return Answer(FAIL, f"status is {response.status} instead of {wanted}{redirect}")


def parse_json(response: Response) -> tuple[Any, Answer | None]:
    """Return (document, None), or (None, why there is none)."""
    kind = response.content_type or "no content type"
    if response.truncated:
        return None, Answer(FAIL, "the answer is larger than 1 MiB")
    try:
        return json.loads(response.body.decode("utf-8")), None
    except (UnicodeDecodeError, ValueError):
        return None, Answer(FAIL, f"the answer is no JSON ({kind}, {len(response.body)} bytes)")


def pick(document: Any, path: str) -> Any:
    """Return the value at a dotted path ("checks.0.status"), MISSING when it is not there.

    A key that itself holds dots is found when it is named in full at its level.
    """
    if path == "":
        return document
    if isinstance(document, Mapping) and path in document:
        return document[path]
    head, _dot, rest = path.partition(".")
    if isinstance(document, Mapping):
        return pick(document[head], rest) if head in document else MISSING
    if isinstance(document, list) and head.lstrip("-").isdigit():
        index = int(head)
        return pick(document[index], rest) if -len(document) <= index < len(document) else MISSING
    return MISSING
