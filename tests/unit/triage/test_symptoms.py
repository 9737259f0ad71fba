"""What evidence, an operator's word and an alert say about a symptom, and how contradictions are told."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.triage.matrix import MATRIX
from ansible_collections.dualwrite.rollback.plugins.module_utils.triage.symptoms import judged
from ansible_collections.dualwrite.rollback.plugins.module_utils.triage.tell import lines_of, summary_of


def seen(*answers: str, **said: bool) -> dict[str, Any]:
    return judged(MATRIX[0], [{"answer": one, "probe": "p"} for one in answers], **{"stated": False, **said})


@pytest.mark.parametrize(
    ("answers", "said", "state", "contradiction"),
    [
        (["pass"], {}, "absent", False),
        (["fail"], {}, "present", False),
        ([], {}, "not measured", False),
        (["pass"], {"stated": True}, "present", True),
        (["fail"], {"stated": True}, "present", False),
        ([], {"stated": True}, "present", False),
        (["unknown"], {"stated": True}, "present", False),
        # an alert alone is enough for nothing
        (["pass"], {"alerted": True}, "absent", True),
        (["fail"], {"alerted": True}, "present", False),
        ([], {"alerted": True}, "unknown", False),
        (["error"], {"alerted": True}, "unknown", False),
        (["pass", "error"], {"alerted": True}, "unknown", False),
        (["pass"], {"alerted": True, "stated": True}, "present", True),
    ],
)
def test_the_state(answers: list[str], said: dict[str, bool], state: str, contradiction: bool) -> None:
    found = seen(*answers, **said)
    assert (found["state"], found["contradiction"]) == (state, contradiction)


def test_a_contradiction_is_told_by_who_says_it() -> None:
    stated, alerted = seen("pass", stated=True), seen("pass", alerted=True)
    plan = [{"urgency": "immediate"}]
    assert "; stated, but measured to be absent: requests_failing" in summary_of([stated], plan, [])
    assert summary_of([alerted], [], []) == "no symptom is seen; alerted, but measured to be absent: requests_failing"
    assert "PRESENT  requests_failing (stated, BUT MEASURED TO BE ABSENT)" in lines_of([stated], [])[0]
    assert "ABSENT   requests_failing (alerted, BUT MEASURED TO BE ABSENT)" in lines_of([alerted], [])[0]
    assert len(lines_of([alerted], [])) == 2, "the evidence against it is shown"


def test_an_alert_that_is_measured_or_that_nothing_measures() -> None:
    assert "(alerted and measured)" in lines_of([seen("fail", alerted=True)], [])[0]
    alone = seen(alerted=True)
    assert "UNKNOWN  requests_failing (alerted)" in lines_of([alone], [])[0]
    assert "could not be measured: requests_failing" in summary_of([alone], [], [])
