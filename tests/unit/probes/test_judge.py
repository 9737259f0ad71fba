"""The judge as a table: what was seen, what is expected, which answer."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.booleans import BooleanWords
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes import judge
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.judge import MISSING, Answer


@pytest.mark.parametrize(
    ("expected", "seen", "answer", "detail"),
    [
        (1, 1, "pass", "v is 1"),
        (1, "1", "pass", "v is 1"),
        ("1.50", 1.5, "pass", "v is 1.5"),
        ("healthy", "healthy", "pass", "v is healthy"),
        ("healthy", "degraded", "fail", "v is degraded instead of healthy"),
        (True, True, "pass", "v is true"),
        (True, "true", "pass", "v is true"),
        (True, 1, "fail", "v is 1 instead of true"),
        (0, False, "fail", "v is false instead of 0"),
        (None, None, "pass", "v is null"),
        ("None", None, "fail", "v is null instead of None"),
        (None, "", "fail", "v is  instead of null"),
        ([1, 2], [1, 2], "pass", "v is [1, 2]"),
        ({"a": 1}, {"a": 2}, "fail", "v is {'a': 2} instead of {'a': 1}"),
        (None, MISSING, "unknown", "v is missing"),
        (False, MISSING, "unknown", "v is missing"),
    ],
)
def test_equal(expected: Any, seen: Any, answer: str, detail: str) -> None:
    assert judge.equal("v", expected, seen) == Answer(answer, detail)


@pytest.mark.parametrize(
    ("expected", "seen", "answer"),
    [
        (False, "False", "pass"),
        (False, "0", "pass"),
        (False, False, "pass"),
        (True, "off", "fail"),
        (False, "true ", "fail"),
        (False, "", "unknown"),
        (False, None, "unknown"),
        (False, MISSING, "unknown"),
        (False, "2", "unknown"),
        (True, 1, "pass"),
    ],
)
def test_boolean(expected: bool, seen: Any, answer: str) -> None:
    assert judge.boolean("FLAG", expected, seen, BooleanWords()).answer == answer


@pytest.mark.parametrize(
    ("seen", "lowest", "highest", "answer"),
    [
        (5, 5, 5, "pass"),
        (4.99, 5, None, "fail"),
        ("7", None, 6, "fail"),
        (5, None, None, "unknown"),
        (math.nan, 0, 1, "unknown"),
        (math.inf, 0, None, "unknown"),
        ("many", 0, 1, "unknown"),
        (None, 0, 1, "unknown"),
        (True, 0, 1, "unknown"),
    ],
)
def test_between(seen: Any, lowest: Any, highest: Any, answer: str) -> None:
    assert judge.between("v", seen, lowest, highest).answer == answer


@pytest.mark.parametrize(
    ("seen", "baseline", "expected", "answer", "final"),
    [
        (10, 10, "none", "pass", False),
        (11, 10, "none", "fail", True),
        ("b", "a", "none", "fail", True),
        ("a", "a", "none", "pass", False),
        (10, None, "none", "unknown", False),
        (11, 10, "increase", "pass", False),
        (10, 10, "increase", "fail", False),
        (9, 10, "increase", "fail", False),
        ("a", "a", "increase", "unknown", False),
        (13, 10, {"min": 1, "max": 3}, "pass", False),
        (14, 10, {"min": 1, "max": 3}, "fail", False),
        (9, 10, {"min": -1}, "pass", False),
    ],
)
def test_changed(seen: Any, baseline: Any, expected: Any, answer: str, final: bool) -> None:
    found = judge.changed("v", seen, baseline, expected)
    assert (found.answer, found.final) == (answer, final)


@pytest.mark.parametrize(
    ("seen", "baseline", "lowest", "highest", "answer"),
    [
        (20, 10, None, 2, "pass"),
        (20.1, 10, None, 2, "fail"),
        (4, 10, 0.5, None, "fail"),
        (0, 0, None, 2, "unknown"),
        (1, math.nan, None, 2, "unknown"),
        (None, 1, None, 2, "unknown"),
    ],
)
def test_ratio(seen: Any, baseline: Any, lowest: Any, highest: Any, answer: str) -> None:
    assert judge.ratio("v", seen, baseline, lowest, highest).answer == answer


@pytest.mark.parametrize(
    ("expected", "matched", "lines", "alive", "answer"),
    [
        ("absent", 0, 10, True, "pass"),
        ("absent", 0, 10, None, "pass"),
        ("absent", 0, 10, False, "unknown"),
        ("absent", 0, 0, None, "unknown"),
        ("absent", 1, 10, False, "fail"),
        ("present", 1, 10, None, "pass"),
        ("present", 0, 10, None, "fail"),
        ("present", 0, 0, None, "unknown"),
        ({"min": 2, "max": 3}, 1, 10, None, "fail"),
        ({"min": 2, "max": 3}, 3, 10, None, "pass"),
        ({"min": 2, "max": 3}, 4, 10, None, "fail"),
        ({"max": 3}, 0, 0, None, "unknown"),
    ],
)
def test_pattern_seen(expected: Any, matched: int, lines: int, alive: bool | None, answer: str) -> None:
    assert judge.pattern_seen(expected, matched, lines, alive).answer == answer


def test_a_forbidden_line_is_final_and_a_missing_one_is_not() -> None:
    assert judge.pattern_seen("absent", 1, 9, None).final
    assert not judge.pattern_seen("present", 0, 9, None).final


def test_nothing_found_is_unknown() -> None:
    assert judge.worst([]).answer == "unknown"


@given(st.lists(st.sampled_from(["pass", "fail", "unknown", "error"]), min_size=1))
def test_only_passes_pass(answers: list[str]) -> None:
    worst = judge.worst([Answer(answer, answer) for answer in answers]).answer
    assert (worst == "pass") == (set(answers) == {"pass"})
    assert worst in answers
