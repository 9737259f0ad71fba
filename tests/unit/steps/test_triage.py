"""Symptoms in real log files and of a server that is down: seen, stated, not known."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.triage import triage


def params(**more: Any) -> dict[str, Any]:
    given = {"state": "planned", "window": 120, "trend": 0.1, "timeout": 5, "patience": 0}
    return {**given, **more}


def write(path: Path, event: str, seconds_ago: float = 1) -> None:
    stamp = datetime.fromtimestamp(time.time() - seconds_ago, timezone.utc).isoformat()
    with path.open("a") as file:
        file.write(json.dumps({"time": stamp, "event": event}) + "\n")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "web.log"
    write(path, "served")
    return path


def failing(log: Path, name: str = "none fails") -> dict[str, Any]:
    probe = {"name": name, "kind": "log", "paths": [str(log)], "pattern": "dual_write_failed"}
    return {"symptom": "dual_write_failing", "probes": [probe]}


def silent_server(symptom: str = "requests_failing") -> dict[str, Any]:
    """A metric whose server is down (nothing listens on port 9 of the loopback)."""
    probe = {"name": "rate", "kind": "metric", "url": "http://127.0.0.1:9", "query": "up", "max": 1}
    return {"symptom": symptom, "probes": [probe]}


def test_a_symptom_is_seen_with_its_evidence_and_one_that_is_not_makes_no_plan(log: Path) -> None:
    calm = triage(params(symptoms=[failing(log)]))
    assert (calm["summary"], calm["plan"], calm["changed"]) == ("no symptom is seen", [], False)
    write(log, "dual_write_failed")
    seen = triage(params(symptoms=[failing(log)]))
    assert seen["summary"] == "LOW: dual_write_failing; 1 step"
    assert seen["present"] == ["dual_write_failing"]
    assert any("seen: 'none fails'" in line and str(log) in line for line in seen["lines"])


def test_what_lies_before_the_window_counts_no_more(log: Path) -> None:
    write(log, "dual_write_failed", seconds_ago=300)
    write(log, "served")
    assert triage(params(symptoms=[failing(log)]))["present"] == []
    assert triage(params(symptoms=[failing(log)], window=600))["present"] == ["dual_write_failing"]


def test_a_server_that_is_down_is_not_known_and_never_absent() -> None:
    found = triage(params(symptoms=[silent_server()]))
    assert (found["present"], found["unknown"]) == ([], ["requests_failing"])
    assert found["summary"] == "no symptom is seen; could not be measured: requests_failing"
    assert any("no answer: 'rate' (http://127.0.0.1:9" in line for line in found["lines"])


def test_a_log_that_shows_no_life_is_not_known_either(log: Path) -> None:
    probe = {**failing(log)["probes"][0], "alive_pattern": "heartbeat"}
    found = triage(params(symptoms=[{"symptom": "dual_write_failing", "probes": [probe]}]))
    assert (found["present"], found["unknown"]) == ([], ["dual_write_failing"])
    assert any("unknown: 'none fails'" in line for line in found["lines"])


def test_one_probe_that_fails_is_enough_although_another_can_not_be_answered(log: Path) -> None:
    write(log, "dual_write_failed")
    both = {**failing(log), "probes": [*failing(log)["probes"], *silent_server()["probes"]]}
    assert triage(params(symptoms=[both]))["present"] == ["dual_write_failing"]


def test_what_is_stated_is_there_and_a_contradiction_is_told(log: Path) -> None:
    found = triage(params(symptoms=[failing(log)], stated=["dual_write_failing", "latency_degraded"]))
    assert found["present"] == ["latency_degraded", "dual_write_failing"]
    assert found["summary"].startswith("HIGH: latency_degraded, dual_write_failing; 2 steps; ")
    assert found["summary"].endswith("stated, but measured to be absent: dual_write_failing")
    contradicted = [one["symptom"] for one in found["symptoms"] if one["contradiction"]]
    assert contradicted == ["dual_write_failing"]


def test_hosts_are_put_together_and_one_that_told_nothing_is_named(log: Path) -> None:
    measured = triage(params(state="measured", symptoms=[failing(log)]))
    write(log, "dual_write_failed")
    elsewhere = triage(params(state="measured", symptoms=[failing(log)]))
    assert "plan" not in measured
    found = triage(params(found={"web-1": measured, "web-2": elsewhere, "web-3": {"unreachable": True, "msg": "no"}}))
    assert found["summary"] == "LOW: dual_write_failing; 1 step; hosts that could not be asked: web-3"
    assert any("web-2" in line for line in found["lines"])
    assert not any("web-1" in line for line in found["lines"])


def test_the_command_is_one_that_can_be_typed() -> None:
    [step] = triage(params(stated=["latency_degraded"], inventory=["my staging"]))["plan"]
    assert step["command"] == (
        "ansible-playbook dualwrite.rollback.rollback_dual_write -i 'my staging' "
        "-e 'dualwrite_reason='\"'\"'triage: latency_degraded'\"'\"''"
    )


def test_with_patience_a_symptom_may_go_away(log: Path) -> None:
    probe = {"name": "mended", "kind": "log", "paths": [str(log)], "pattern": "mended", "expect": "present"}
    given = params(symptoms=[{"symptom": "requests_failing", "probes": [probe]}], patience=5)
    write(log, "mended")
    started = time.monotonic()
    assert triage(given)["present"] == []
    assert time.monotonic() - started < 3


def test_one_looks_at_some_symptoms_only(log: Path) -> None:
    write(log, "dual_write_failed")
    found = triage(params(symptoms=[failing(log), silent_server()], only=["requests_failing"]))
    assert [one["symptom"] for one in found["symptoms"]] == ["requests_failing"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"stated": ["{{ 1 + 1 }}"]}, "stated: there is no symptom '{{ 1 . 1 }}'. Symptoms are: requests_failing, "),
        ({"symptoms": [{"symptom": "sadness", "probes": []}]}, "symptoms: there is no symptom 'sadness'"),
        ({"symptoms": [{"symptom": "latency_degraded", "probes": []}]}, "no probes are given"),
        (
            {
                "symptoms": [
                    {
                        "symptom": "latency_degraded",
                        "probes": [{"name": "post", "kind": "http", "url": "http://127.0.0.1:9/", "method": "POST"}],
                    }
                ]
            },
            "a probe of a symptom must not write",
        ),
    ],
)
def test_bad_input_is_one_sentence(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        triage(params(**given))
