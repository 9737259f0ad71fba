"""Kind metric on a real Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput

from .conftest import Site, free_port


@pytest.mark.parametrize(
    ("query", "options", "answer", "value"),
    [
        ("requests_total", {"min": 120, "max": 120}, "pass", 120),
        ("requests_total", {"max": 119.5}, "fail", 120),
        ("ratio", {"max": 0.3}, "pass", 0.25),
        ("scalar(requests_total)", {"min": 1}, "pass", 120),
        ("sum(shards)", {"min": 3}, "pass", 3),
        ("shards", {"min": 0}, "unknown", 2),
        ("no_such_metric", {"max": 5}, "unknown", 0),
        ("broken", {"max": 5}, "unknown", "NaN"),
        ("endless", {"min": 5}, "unknown", "+Inf"),
        ("requests_total / zero", {"max": 5}, "unknown", "+Inf"),
        ("requests_total[1m]", {"max": 5}, "unknown", None),
        ("requests_total", {"baseline_query": "requests_total / 4", "max_ratio": 4}, "pass", 120),
        ("requests_total", {"baseline_query": "requests_total / 4", "max_ratio": 3.9}, "fail", 120),
        ("requests_total", {"baseline_query": "zero", "max_ratio": 2}, "unknown", 120),
        ("requests_total", {"baseline_query": "no_such_metric", "max_ratio": 2}, "unknown", 120),
        ("requests_total", {"baseline_offset": 86400, "max_ratio": 2}, "unknown", 120),
        ("requests_total", {"baseline_at": "2001-01-01T00:00:00Z", "max_ratio": 2}, "unknown", 120),
        ("requests_total", {"baseline_query": "zero", "max_increase": 120}, "pass", 120),
        ("requests_total", {"baseline_query": "zero", "max_increase": 119}, "fail", 120),
        ("broken", {"baseline_query": "zero", "max_increase": 1}, "unknown", "NaN"),
        ("requests_total", {"baseline_query": "broken", "max_increase": 1}, "unknown", 120),
        ("requests_total", {"min": 200, "baseline_query": "requests_total", "max_ratio": 2}, "fail", 120),
    ],
)
def test_queries(
    ask: Callable[..., Any], prometheus: str, query: str, options: dict[str, Any], answer: str, value: Any
) -> None:
    seen = ask("metric", url=prometheus, query=query, **options)
    assert (seen.answer, seen.value) == (answer, value)
    assert seen.where == prometheus


def test_the_evidence_names_both_numbers(ask: Callable[..., Any], prometheus: str) -> None:
    seen = ask("metric", url=prometheus, query="requests_total", baseline_query="requests_total / 4", max_ratio=2)
    assert seen.detail == "the metric is 120, 4.00 times its baseline 30; allowed is at most 2"
    assert seen.extra["baseline"] == 30


def test_a_moment_of_the_past_is_asked_for(ask: Callable[..., Any], prometheus: str) -> None:
    moment = datetime.now(timezone.utc) - timedelta(seconds=2)
    seen = ask("metric", url=prometheus, query="time()", baseline_at=moment.isoformat(), max_increase=60)
    assert seen.answer == "pass"
    assert seen.extra["baseline"] == pytest.approx(moment.timestamp(), abs=0.01)
    assert seen.value - seen.extra["baseline"] == pytest.approx(seen.extra["baseline_offset"], abs=0.01)


def test_a_query_that_is_none(ask: Callable[..., Any], prometheus: str) -> None:
    seen = ask("metric", url=prometheus, query="sum(", min=1)
    assert seen.answer == "error"
    assert "the server refuses the query:" in seen.detail
    assert "parse error" in seen.detail


def test_nothing_listens(ask: Callable[..., Any]) -> None:
    assert ask("metric", url=f"http://127.0.0.1:{free_port()}", query="x", min=1).answer == "error"


def test_a_server_that_is_no_prometheus(ask: Callable[..., Any], site: Site) -> None:
    seen = ask("metric", url=site.url, query="x", min=1)
    assert (seen.answer, seen.detail) == ("error", "status 404 without the JSON of a Prometheus server")


def test_path_prefix_and_token(ask: Callable[..., Any], site: Site, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cr3t-value")
    site.answers["/prom/api/v1/query"] = (
        200,
        {},
        {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1.5, "7"]}]}},
    )
    seen = ask(
        "metric",
        url=f"{site.url}/prom/",
        query='x{a="b c"}',
        min=7,
        headers_from={"Authorization": {"file": str(token), "prefix": "Bearer "}},
    )
    assert seen.answer == "pass"
    assert site.asked[0]["headers"]["Authorization"] == "Bearer s3cr3t-value"
    assert "query=x%7Ba%3D%22b+c%22%7D" in site.asked[0]["path"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"query": "x", "min": 1}, "needs the option 'url'"),
        ({"url": "http://x"}, "needs the option 'query'"),
        ({"url": "http://x", "query": "x"}, "nothing is expected of the metric"),
        ({"url": "http://x", "query": "x", "max_ratio": 2}, "and a baseline belong together"),
        (
            {"url": "http://x", "query": "x", "min": 1, "baseline_query": "y"},
            "and a baseline belong together",
        ),
        ({"url": "http://x", "query": "x", "baseline_offset": 0, "max_ratio": 1}, "must be more than 0"),
        ({"url": "http://x", "query": "x", "max_increase": 1}, "and a baseline belong together"),
        ({"url": "http://x", "query": "x", "baseline_at": "noon", "max_ratio": 1}, "which is no ISO 8601 time"),
        ({"url": "http://x", "query": "x", "baseline_at": "2999-01-01T00:00:00Z", "max_ratio": 1}, "still to come"),
        (
            {"url": "http://x", "query": "x", "baseline_at": "2026-01-01", "baseline_offset": 9, "max_ratio": 1},
            "name two times",
        ),
    ],
)
def test_wrong_options(build: Callable[..., Any], options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        build("metric", **options)
    assert sentence in str(caught.value)
