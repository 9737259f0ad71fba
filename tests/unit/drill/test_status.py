"""What is overdue, and how the history looks as a page and as JUnit XML."""

from __future__ import annotations

import re
from datetime import date
from typing import Any
from xml.etree import ElementTree

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.drill.exercises import complete
from ansible_collections.dualwrite.rollback.plugins.module_utils.drill.junit import junit
from ansible_collections.dualwrite.rollback.plugins.module_utils.drill.ledger import Ledger
from ansible_collections.dualwrite.rollback.plugins.module_utils.drill.page import page
from ansible_collections.dualwrite.rollback.plugins.module_utils.drill.status import rows

Q1 = {"disable_dual_write": complete({})["disable_dual_write"]}


def drill(day: str, result: str = "passed", **more: Any) -> dict[str, Any]:
    """An entry as it stands in the ledger."""
    return {
        "drill_id": f"{day}-{result}",
        "environment": "staging",
        "exercise": "disable_dual_write",
        "quarter": f"{day[:4]}-Q{(int(day[5:7]) + 2) // 3}",
        "started": f"{day}T10:00:00.000Z",
        "ended": f"{day}T10:01:00.000Z",
        "result": result,
        "spent": 12.5,
        "budget": 300.0,
        "time_to_effect": 6.1,
        "issues": [],
        "phases": [{"phase": "respond", "seconds": 12.5, "good": True, "budget": 300.0}],
        **more,
    }


@pytest.mark.parametrize(
    ("entries", "today", "overdue", "due", "why"),
    [
        ([], "2026-05-01", True, "", "never passed"),
        ([drill("2026-02-03")], "2026-03-01", False, "2027-02-03", "every 365 days"),
        ([drill("2026-02-03")], "2027-02-03", False, "2027-02-03", "every 365 days"),
        ([drill("2026-02-03")], "2027-02-04", True, "2027-02-03", "every 365 days"),
        ([drill("2025-11-03")], "2026-04-01", True, "2026-03-31", "within 2026-Q1"),
        ([drill("2026-04-20")], "2026-05-01", False, "2027-03-31", "within 2027-Q1"),
        ([drill("2026-02-03", "failed")], "2026-03-01", True, "", "never passed"),
        ([drill("2026-02-03", "refused")], "2026-03-01", True, "", "never passed"),
        ([drill("2026-02-03", "issues found")], "2026-03-01", False, "2027-02-03", "every 365 days"),
        ([drill("2026-02-03"), drill("2026-02-04", "failed")], "2026-03-01", False, "2027-02-03", "every 365 days"),
    ],
)
def test_an_exercise_is_overdue_by_its_interval_or_by_its_quarter(entries, today, overdue, due, why):
    found = rows(entries, Q1, ["staging"], date.fromisoformat(today), 365)
    assert [(one.overdue, one.due, one.why) for one in found] == [(overdue, due, why)]


def test_drills_are_asked_for_from_a_day_on():
    since = date(2026, 4, 10)
    [row] = rows([], Q1, ["staging"], date(2026, 5, 1), 365, since)
    assert (row.overdue, row.due) == (False, "2027-03-31")
    [row] = rows([], Q1, ["staging"], date(2027, 4, 1), 365, since)
    assert (row.overdue, row.why) == (True, "within 2027-Q1")


def test_an_exercise_of_no_quarter_is_asked_for_by_its_own_interval_only():
    exercises = complete({"alert_chain": {"response": "await", "healed": [{"kind": "sql"}]}})
    names = [one.exercise for one in rows([], exercises, ["staging"], date(2026, 5, 1), 365)]
    assert names == ["disable_dual_write", "disable_strict_mode", "cleanup_test_data", "restore_backup"]
    exercises["alert_chain"]["interval"] = 90
    assert rows([], exercises, ["staging"], date(2026, 5, 1), 365)[-1].exercise == "alert_chain"


def test_the_page_needs_nothing_but_itself_and_writes_what_it_is_given_as_text():
    entries = [drill("2025-02-03", spent=30.0), drill("2026-02-03", "failed", issues=["<script>alert(1)</script>"])]
    found = Ledger(entries, {"staging/x.json": "it holds the conflict markers of a merge"})
    told = [one.as_dict() for one in rows(entries, Q1, ["staging"], date(2026, 5, 1), 365)]
    text = page(found, told, date(2026, 5, 1))
    assert not re.search(r"(src|href)=|@import|url\(|https?://", text)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "staging/x.json: it holds the conflict markers" in text
    assert text.count("<circle") == 2
    assert "2026-Q1" in text
    ElementTree.fromstring(re.search(r"<svg.*?</svg>", text, re.DOTALL)[0])


@pytest.mark.parametrize(("budget", "drawn"), [(60.0, True), (3000.0, False)])
def test_the_budget_is_a_line_unless_it_would_press_all_times_flat(budget, drawn):
    text = page(Ledger([drill("2026-02-03", budget=budget)]), [], date(2026, 5, 1))
    assert ('<line class="budget"' in text) is drawn
    assert f"budget {budget:g} s" in text


def test_junit_fails_what_is_overdue_failed_late_or_not_counted():
    late = {"phase": "respond", "seconds": 400.0, "good": True, "budget": 300.0}
    entries = [drill("2025-02-03"), drill("2026-02-03", "issues found", phases=[late], issues=["respond took 400.0 s"])]
    told = [one.as_dict() for one in rows(entries, Q1, ["staging"], date(2028, 5, 1), 365)]
    root = ElementTree.fromstring(junit(Ledger(entries, {"staging/x.json": "it was \x00 changed"}), told))
    failed = {case.get("name"): case.find("failure").get("message") for case in root.iter("testcase") if len(case)}
    assert failed == {
        "respond": "over budget: 400.0 s of 300 s",
        "drill": "issues found: respond took 400.0 s",
        "disable_dual_write is in time": "overdue: every 365 days, last passed 2026-02-03",
        "staging/x.json": "it was  changed",
    }
    assert [suite.get("failures") for suite in root] == ["2", "2"]
