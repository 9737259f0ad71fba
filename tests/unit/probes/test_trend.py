"""The trend that triage asks for: a value of a real PostgreSQL, looked at twice."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.triage import triage

TREND = {"name": "teams become no more", "kind": "sql", "query": "SELECT count(*) FROM teams", "change": {"max": 0}}


def look(postgres: dict[str, Any], trend: float, timeout: float = 5) -> dict[str, Any]:
    """Measure whether the table grows."""
    symptoms = [{"symptom": "orphans_increasing", "probes": [TREND]}]
    login = {key: value for key, value in postgres.items() if key.startswith("login_") or key == "passfile"}
    return triage({**login, "symptoms": symptoms, "trend": trend, "timeout": timeout, "window": 60, "patience": 0})


def orphans(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the evidence of the one symptom that is measured here."""
    [one] = [one for one in found["symptoms"] if one["symptom"] == "orphans_increasing"]
    return list(one["evidence"])


@pytest.fixture
def one_more(postgres: dict[str, Any]) -> threading.Timer:
    """What writes one more row, 0.4 s after it is started."""
    postgres["execute"]("TRUNCATE teams")
    return threading.Timer(0.4, postgres["execute"], ["INSERT INTO teams (name) VALUES ('late')"])


def test_a_row_between_the_two_looks_is_seen_and_over_how_long_is_told(
    postgres: dict[str, Any], one_more: threading.Timer
) -> None:
    one_more.start()
    found = look(postgres, trend=1)
    one_more.join()
    assert found["present"] == ["orphans_increasing"]
    [evidence] = orphans(found)
    assert (evidence["extra"]["baseline"], evidence["value"]) == (0, 1)
    assert 1 <= evidence["extra"]["over"] < 3
    [line] = [line for line in found["lines"] if TREND["name"] in line]
    words = "the value went from 0 to 1 (+1): the change is 1, above 0"
    assert line.endswith(f"{words}, over {evidence['extra']['over']} s")


def test_a_row_after_them_is_not_and_absent_is_told_with_how_long_it_was_looked(
    postgres: dict[str, Any], one_more: threading.Timer
) -> None:
    one_more.start()
    found = look(postgres, trend=0.1)
    one_more.join()
    assert found["present"] == []
    [line] = [line for line in found["lines"] if TREND["name"] in line]
    assert "not seen: " in line
    assert line.endswith("the value went from 0 to 0 (+0), over 0.1 s")


def test_a_trend_may_be_longer_than_a_look_may_take(postgres: dict[str, Any], one_more: threading.Timer) -> None:
    one_more.start()
    began = time.monotonic()
    found = look(postgres, trend=1.5, timeout=0.2)
    one_more.join()
    assert time.monotonic() - began >= 1.5
    assert found["present"] == ["orphans_increasing"]
