# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JUnit XML of a ledger, for the dashboards of CI: a case per phase of each drill, and one per exercise that is due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from .ledger import FAILED, ISSUES, REFUSED, Entry, Ledger

BAD = (FAILED, ISSUES, REFUSED)


def junit(ledger: Ledger, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the document; ``rows`` are those of ``status.rows`` as plain data.

    The last drill of each environment and exercise counts: its phases are cases, and its end is one. What is overdue,
    and a file of the ledger that does not count, is a failure of its own.
    """
    suites = ElementTree.Element("testsuites", name="dualwrite drills")
    latest: dict[tuple[str, str], Entry] = {(one["environment"], one["exercise"]): one for one in ledger.entries}
    for (environment, exercise), entry in latest.items():
        _suite(suites, f"drill.{environment}.{exercise}", entry)
    due = ElementTree.SubElement(suites, "testsuite", name="due")
    for row in rows:
        case = _case(due, f"drills.{row['environment']}", f"{row['exercise']} is in time", 0.0)
        if row["overdue"]:
            _fail(case, f"overdue: {row['why']}, last passed {row['last_passed'] or 'never'}")
    for name, words in ledger.problems.items():
        _fail(_case(due, "drills.ledger", name, 0.0), words)
    for suite in [*suites]:
        suite.set("tests", str(len(suite.findall("testcase"))))
        suite.set("failures", str(len(suite.findall("testcase/failure"))))
        suite.set("errors", "0")
        suite.set("time", f"{sum(float(case.get('time') or 0) for case in suite.findall('testcase')):.3f}")
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _suite(suites: ElementTree.Element, name: str, entry: Entry) -> None:
    suite = ElementTree.SubElement(suites, "testsuite", name=name, timestamp=str(entry["started"])[:19])
    for phase in entry.get("phases") or []:
        case = _case(suite, name, str(phase["phase"]), float(phase.get("seconds") or 0))
        if not phase.get("good", True):
            _fail(case, "the phase failed")
        elif phase.get("budget") and float(phase["seconds"]) > float(phase["budget"]):
            _fail(case, f"over budget: {float(phase['seconds']):.1f} s of {float(phase['budget']):.0f} s")
    case = _case(suite, name, "drill", 0.0)
    if entry["result"] in BAD:
        _fail(case, f"{entry['result']}: " + "; ".join(str(one) for one in entry.get("issues") or []))


def _case(suite: ElementTree.Element, owner: str, name: str, seconds: float) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=owner, name=name, time=f"{seconds:.3f}")


def _fail(case: ElementTree.Element, words: str) -> None:
    # what XML 1.0 has no way to write is left out
    plain = "".join(char for char in words if char >= " " or char in "\t\n")
    ElementTree.SubElement(case, "failure", message=plain[:300]).text = plain
