# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a Prometheus server for one number: against limits, or against another query or another time.

Source: the HTTP API of Prometheus, "Instant queries" (prometheus.io/docs/prometheus/latest/querying/api).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from ..core.deadline import Deadline
from ..core.errors import RollbackError
from ..core.evidence import UNKNOWN, parse_time
from .base import Context, Probe, Seen
from .http_client import Request, check_url, fetch, read_headers, request_options
from .judge import Answer, between, changed, number, ratio, worst

#: seconds by which the clocks of two machines may differ
_CLOCKS = 60.0


class MetricProbe(Probe):
    """One or two instant queries per answer."""

    KIND = "metric"
    OPTIONS = {
        "url": "the server, with its path prefix if it has one",
        "query": "PromQL whose answer is one number",
        "min": "the lowest right value",
        "max": "the highest right value",
        "baseline_query": "PromQL of the number to compare with",
        "baseline_offset": "seconds to go back in time for the number to compare with",
        "baseline_at": "time (ISO 8601) of the number to compare with, the start of a run for instance",
        "max_ratio": "the highest right multiple of the baseline",
        "min_ratio": "the lowest right multiple of the baseline",
        "max_increase": "how much higher than the baseline the metric may be",
        "headers": "header values that are no secrets",
        "headers_from": "headers whose values stand in files: {header: {file, prefix}}",
        "ca_cert": "PEM file of the CA to trust instead of the system's",
        "validate_certs": "whether TLS certificates are verified, true when not given",
    }
    REQUIRED = ("url", "query")

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        super().__init__(options, context)
        check_url(str(self.options["url"]), f"probe '{self.name}'")
        self.limited = "min" in self.options or "max" in self.options
        self.compared = any(name in self.options for name in ("min_ratio", "max_ratio", "max_increase"))
        has_baseline = any(name in self.options for name in ("baseline_query", "baseline_offset", "baseline_at"))
        if not self.limited and not self.compared:
            raise self.bad(
                "nothing is expected of the metric", hint="Give min, max, min_ratio, max_ratio or max_increase."
            )
        if self.compared != has_baseline:
            raise self.bad(
                "a comparison and a baseline belong together",
                hint="Give min_ratio, max_ratio or max_increase, and baseline_query, baseline_offset or baseline_at.",
            )
        self.offset = self.positive("baseline_offset") or 0.0
        self.moment = self._moment()
        for header, source in self.options.get("headers_from", {}).items():
            if not isinstance(source, Mapping) or not source.get("file"):
                raise self.bad(f"headers_from.{header} must be a dict with file and, if needed, prefix")
        read_headers(self.options.get("headers_from", {}))

    @property
    def place(self) -> str:
        """Return the server's URL."""
        return str(self.options["url"])

    def secrets(self) -> Sequence[str]:
        """Return the header values that came from files."""
        return list(read_headers(self.options.get("headers_from", {})).values())

    def look(self, deadline: Deadline) -> Seen:
        """Query and judge."""
        now = time.time()
        query = str(self.options["query"])
        value, lacking = self._ask(query, now, deadline)
        if lacking is not None:
            return Seen(lacking, value, self.place, {"query": query})
        answers = []
        extra: dict[str, Any] = {"query": query}
        if self.limited:
            answers.append(between("the metric", value, self.options.get("min"), self.options.get("max")))
        if self.compared:
            earlier = str(self.options.get("baseline_query", query))
            then = self.moment if self.moment is not None else now - self.offset
            base, lacking = self._ask(earlier, then, deadline)
            extra.update(baseline=base, baseline_query=earlier, baseline_offset=round(now - then, 3))
            if lacking is not None:
                answers.append(Answer(lacking.answer, f"the baseline: {lacking.detail}"))
            else:
                answers += self._compare(value, base)
        return Seen(worst(answers), value, self.place, extra)

    def _compare(self, value: Any, base: Any) -> list[Answer]:
        limits = self.options.get("min_ratio"), self.options.get("max_ratio")
        answers = [ratio("the metric", value, base, *limits)] if limits != (None, None) else []
        if "max_increase" in self.options:
            answers.append(changed("the metric", value, base, {"max": self.options["max_increase"]}))
        return answers

    def _moment(self) -> float | None:
        """Return ``baseline_at`` as seconds since 1970; raises InvalidInput unless it is a time that has passed."""
        text = self.options.get("baseline_at")
        if text is None:
            return None
        if "baseline_offset" in self.options:
            raise self.bad("baseline_offset and baseline_at name two times", hint="Give one of them.")
        try:
            moment = parse_time(str(text)).timestamp()
        except ValueError:
            raise self.bad(f"baseline_at is '{text}', which is no ISO 8601 time") from None
        if moment > time.time() + _CLOCKS:
            raise self.bad(f"baseline_at is {text}, which is still to come")
        return moment

    def _ask(self, query: str, moment: float, deadline: Deadline) -> tuple[Any, Answer | None]:
        """Return (number, None) of one instant query, or (what was seen, why it is no number)."""
        arguments = urlencode({"query": query, "time": f"{moment:.3f}"})
        url = f"{self.place.rstrip('/')}/api/v1/query?{arguments}"
        response = fetch(Request(url, **request_options(self.options)), deadline)
        try:
            document = json.loads(response.body.decode("utf-8"))
        except ValueError:
            document = None
        if not isinstance(document, dict) or "status" not in document:
            raise RollbackError(f"status {response.status} without the JSON of a Prometheus server", where=self.place)
        if document["status"] != "success":
            words = " ".join(str(document.get("error", "no reason given")).split())
            raise RollbackError(f"the server refuses the query: {words[:200]}", where=self.place)
        return read_sample(document.get("data") or {})


def read_sample(data: Mapping[str, Any]) -> tuple[Any, Answer | None]:
    """Return (number, None) of a query's data, or (what was seen, unknown): empty, several series, NaN, Inf."""
    kind, result = data.get("resultType"), data.get("result")
    if kind == "vector" and isinstance(result, list):
        if len(result) != 1:
            found = f"{len(result)} series instead of one" if result else "no series"
            return len(result), Answer(UNKNOWN, f"the query finds {found}")
        sample = result[0].get("value")
    elif kind == "scalar":
        sample = result
    else:
        return None, Answer(UNKNOWN, f"the query answers with a {kind} instead of one number")
    text = sample[1] if isinstance(sample, list) and len(sample) == 2 else None
    value = number(text)
    if value is None:
        return text, Answer(UNKNOWN, f"the metric is {text}, which is no number")
    return int(value) if value == value.to_integral_value() and abs(value) < 2**53 else float(value), None
