"""Telling of a run from its record: once per channel, beside the run at its start, and never at the run's cost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.run.controller import identity
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.notify import broken, notify
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.run_record import run_record
from ansible_collections.dualwrite.rollback.tests.support.receivers import serving

from .conftest import FLAG, TEMPLATES

PEOPLE = {"on_call_engineer": {"name": "Ann", "reach": "Slack @ann"}}


@pytest.fixture
def site():
    with serving() as found:
        found.answers["/hook"] = (200, {}, b"ok")
        yield found


def tell(path, site, event="end", **more):
    return notify(
        {
            "event": event,
            "path": path,
            "notices": [{"kind": "webhook", "url": f"{site.url}/hook", "timeout": 2}],
            "contacts": PEOPLE,
            "default_template_dir": TEMPLATES,
            **more,
        }
    )


def entries(path):
    return [json.loads(line) for line in (Path(path) / "record.jsonl").read_text().splitlines()]


def test_the_end_is_told_with_flags_budget_and_contacts_and_stands_in_the_report(run, site):
    path = run(reason="p95 doubled", ticket="INC-1")
    told = tell(path, site)
    assert (told["event"], told["not_told"]) == ("end", [])
    (body,) = [json.loads(one["body"]) for one in site.asked]
    assert body["flags"] == [{"name": FLAG, "value": "false", "held": "false in 1 instances"}]
    assert (body["budget"], body["outcome"], body["hosts"]) == (86400.0, "proved", {"web-1": "done"})
    assert [one["reach"] for one in body["contacts"]] == ["Slack @ann"]
    assert f"- {FLAG}: **false** (effective: false in 1 instances)" in body["markdown"]
    assert "## Verification Checklist" not in body["markdown"]
    page = (Path(path) / "incident.md").read_text()
    assert "[x] **Team notified of the rollback's completion**: told by webhook-1 (http://127.0.0.1:" in page
    assert "| end | webhook-1 (webhook) |" in page


def test_nobody_is_told_twice_of_the_same(run, site):
    path = run()
    tell(path, site)
    again = tell(path, site)
    assert (len(site.asked), again["notices"]) == (1, [])


def test_what_was_not_sent_is_tried_again(run, site):
    path = run()
    site.answers["/hook"] = (500, {}, b"")
    assert tell(path, site)["not_told"] == ["webhook-1: it answers 500"]
    page = (Path(path) / "incident.md").read_text()
    assert "[ ] **Team notified of the rollback's completion**: webhook-1 (http://127.0.0.1:" in page
    site.answers["/hook"] = (200, {}, b"")
    assert tell(path, site)["not_told"] == []
    assert "[x] **Team notified" in (Path(path) / "incident.md").read_text()


def test_a_run_that_is_not_proved_is_told_as_a_failure(run, site):
    path = run(proved=False)
    only = {"kind": "webhook", "url": f"{site.url}/hook", "events": ["failure"], "urgency": "immediate"}
    assert tell(path, site, notices=[only])["event"] == "failure"
    body = json.loads(site.asked[0]["body"])
    assert [one["host"] for one in body["failures"]] == ["web-1"]
    assert body["headline"] == "Not done: no host is proved"


def test_a_run_that_goes_on_does_not_say_again_that_it_starts(run, site, tmp_path):
    gone = {**identity(os.getpid()), "started": "1"}
    first = run(closed=False, controller=gone)
    assert tell(first, site, "start")["event"] == "start"
    second = run(closed=False)
    assert entries(second)[0]["data"]["resumes"] == [os.path.basename(first)]
    tell(second, site, "start")
    assert [json.loads(one["body"])["event"] for one in site.asked] == ["start"]


def test_the_start_names_who_why_and_no_outcome(run, site):
    path = run(closed=False, reason="p95 doubled")
    tell(path, site, "start")
    body = json.loads(site.asked[0]["body"])
    assert (body["event"], body["outcome"], body["urgency"]) == ("start", "", "immediate")
    assert "**Reason:** p95 doubled" in body["markdown"]


def test_a_wrong_channel_is_told_and_the_others_get_theirs(run, site):
    wrong = {"kind": "pigeon", "name": "birds"}
    told = tell(run(), site, notices=[wrong, {"kind": "webhook", "url": f"{site.url}/hook"}])
    assert len(site.asked) == 1
    assert "NOT TOLD: birds" in told["summary"]


def test_that_nobody_can_be_told_is_written_down(run):
    path = run()
    told = broken({"event": "end", "path": path, "default_template_dir": TEMPLATES}, "no template")
    assert told["not_told"] == ["all: no template"]
    assert "NO: no template" in (Path(path) / "incident.md").read_text()
    assert run_record({"state": "verified", "path": path})["closed"] is True


def test_a_broken_template_of_the_operators_own_costs_no_notice(run, site, tmp_path):
    (tmp_path / "notice.md.j2").write_text("{{ nothing. }}")
    tell(run(), site, template_dir=str(tmp_path))
    assert f"- {FLAG}: **false**" in json.loads(site.asked[0]["body"])["markdown"]


def test_check_mode_tells_nobody(run, site):
    path = run()
    params = {"event": "end", "path": path, "notices": [{"kind": "webhook", "url": f"{site.url}/hook"}]}
    assert notify(params, check=True)["notices"] == []
    assert site.asked == []
