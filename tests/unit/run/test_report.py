"""What an operator, a manager and the next shift read after a run: from the record alone."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput
from ansible_collections.dualwrite.rollback.plugins.module_utils.run.checklist import item_of
from ansible_collections.dualwrite.rollback.plugins.module_utils.run.outcome import of_hosts, overall
from ansible_collections.dualwrite.rollback.plugins.module_utils.run.record import extended, read_chain
from ansible_collections.dualwrite.rollback.plugins.module_utils.run.report import render
from ansible_collections.dualwrite.rollback.plugins.module_utils.run.times import times

HERE = Path(__file__).resolve().parent
TEMPLATES = str(HERE.parents[2] / "roles" / "report" / "templates")
RUN_ID = "20261123T103000Z-rollback-dual-write-1f2e"
FLAG = "TEAM_VNEXT_DUAL_WRITE_ENABLED"


def chain_of(name):
    lines = (HERE / "records" / f"{name}.jsonl").read_text().splitlines()
    return read_chain(extended(b"", [{"run_id": RUN_ID, **json.loads(line)} for line in lines]))


def report_of(name):
    return render(chain_of(name), [TEMPLATES], "/srv/reports/staging/" + RUN_ID)


def text_of(page):
    texts = []

    class Reader(HTMLParser):
        def handle_data(self, data):
            texts.append(data)

    Reader().feed(page)
    return " ".join(" ".join(texts).split())


@pytest.mark.parametrize(
    ("name", "whole", "hosts"),
    [
        ("proved", "proved", {"web-1": "done", "web-2": "done"}),
        ("already", "proved", {"web-1": "unchanged"}),
        ("undone", "failed", {"web-1": "undone"}),
        ("overrun", "proved", {"web-1": "done"}),
        ("unfinished", "failed", {"web-1": "no_answer"}),
        ("partly", "partly", {"web-1": "done", "web-2": "failed", "web-3": "unreachable", "web-4": "no_answer"}),
    ],
)
def test_the_outcome_of_each_host_and_of_the_run(name, whole, hosts):
    found = of_hosts(chain_of(name).entries)
    assert {host: one.outcome for host, one in found.items()} == hosts
    assert overall(found.values()) == whole


def test_unknown_answers_and_missing_phases_never_pass():
    opened = {"at": "2026-11-23T10:30:00Z", "run_id": "r", "type": "open", "host": None, "data": {"hosts": ["a", "b"]}}
    verify = {"phase": "verify", "result": {"answers": {"pass": 3, "unknown": 1}}}
    flag = {"phase": "flag", "result": {"changed": True, "rolled": {}}}
    entries = [
        opened,
        {**opened, "type": "phase", "host": "a", "data": verify},
        {**opened, "type": "phase", "host": "b", "data": flag},
    ]
    assert {host: one.outcome for host, one in of_hosts(entries).items()} == {"a": "failed", "b": "no_answer"}
    assert overall([]) == "failed"


def test_the_communication_template_is_filled_in_from_evidence():
    markdown = report_of("proved")["incident.md"]
    for line in (
        "### Dual-Write Rollback Notification",
        f"**Date:** 2026-11-23 10:30:01 UTC (run `{RUN_ID}`)",
        "**Environment:** staging",
        f"**Action Taken:** {FLAG}: true → false",
        "Create requests fail with 500 since 10:21",
        "- vNext operations: Unaffected (canary create on web-1: 201 Created)",
        f"- {FLAG}: **false** (effective: false in 10 instances)",
        "**Team:** ann",
        "**Incident Ticket:** INC-4711",
        "Time: 10.7 s of 300 s.",
        "/etc/deltacrown/web.env:7",
        f"- Head hash: `{chain_of('proved').head}`",
        "- Undo: `ansible-playbook rollback_dual_write.yml -i staging -e dualwrite_undo=true`",
        f"state=verified path=/srv/reports/staging/{RUN_ID}",
    ):
        assert line in markdown


def test_each_ticked_line_names_probe_value_place_and_time_and_the_rest_is_left_open():
    markdown = report_of("proved")["incident.md"]
    assert dict(ticks_of(markdown)) == {
        "Flag changes applied": "x",
        "Instances hold the new values (restarted or reloaded)": "x",
        "No dual-write lines in the logs": "x",
        "A vNext request succeeds": "x",
        "Error rates": "x",
        "No performance regression": "x",
        "Incident log updated with the rollback's details": "x",
        "Team notified of the rollback's completion": " ",
    }
    said = "pass: dual-write lines on web-1 (/var/log/deltacrown/*.log), 2026-11-23T10:30:09.800Z: 0 of 412 lines match"
    assert said in markdown


def ticks_of(markdown):
    return [(text, mark) for mark, text in re.findall(r"^- \[(.)\] \*\*(.*?)\*\*", markdown, re.M)]


def test_failures_stand_on_top_and_nothing_unproved_is_ticked():
    rendered = report_of("partly")
    markdown, page = rendered["incident.md"], text_of(rendered["incident.html"])
    assert "**NOT PROVED ON 3 OF 4 HOSTS:**" in markdown
    assert markdown.index("NOT PROVED") < markdown.index("**Reason:**")
    for host in ("web-2: failed", "web-3: unreachable", "web-4: no answer"):
        assert host in markdown
        assert host in page
    assert "web-4: no answer.** not proved: nothing was recorded for it, 'verify' is missing" in markdown
    ticks = dict(ticks_of(markdown))
    assert ticks["Flag changes applied"] == " "
    assert ticks["No dual-write lines in the logs"] == " "
    assert "passed where it was asked, but not asked on: web-3, web-4" in markdown
    assert "Legacy operations: Perhaps still being written" in markdown
    assert f"- {FLAG}: **false** (effective: false in 10 instances; NOT READ on web-3, web-4)" in markdown
    assert "Goes on after the interrupted run `20261123T102100Z-rollback-dual-write-77aa`" in markdown


def test_a_change_that_was_taken_back_shows_what_runs_now():
    markdown = report_of("undone")["incident.md"]
    assert "web-1: failed, change taken back." in markdown
    assert "Dual-write is STILL ON" in markdown
    assert f"- {FLAG}: **true**" in markdown
    assert "- [x] **Flag" not in markdown


def test_an_overrun_is_said_loudly():
    rendered = report_of("overrun")
    assert "OVER BUDGET: 41.5 s of 30 s, 11.5 s too long" in rendered["incident.md"]
    assert "Done and proved on every host, but over budget" in text_of(rendered["incident.html"])
    assert 'class="banner warn"' in rendered["incident.html"]


def test_each_phase_tells_its_share_of_the_budget():
    rendered = report_of("proved")
    for page in ("incident.md", "incident.html"):
        assert "flag took 1.0 s of its share of 165 s" in rendered[page], page
        assert "verify took 5.9 s of its share of 105 s" in rendered[page], page


@pytest.mark.parametrize(
    ("kind", "name", "item"),
    [
        ("log", "no dual-write in the web log", "quiet"),
        ("log", "no failed dual-write in the web log", "errors"),
        ("log", "no request failed since the roll", "errors"),
        ("sql", "the canary reached vNext", "requests"),
        ("metric", "p95 latency in seconds", "performance"),
        ("settings", "the application's own answer", "flags"),
        ("sql", "mappings do not grow", "other"),
    ],
)
def test_what_a_probe_speaks_for(kind, name, item):
    assert item_of({"kind": kind, "probe": name}) == item


def test_the_header_names_what_was_set_and_what_was_forgotten_stands_on_top():
    rendered = report_of("way_back")
    assert f"**Action Taken:** {FLAG}: false → true\n" in rendered["incident.md"]
    said = "web-1: the inventory lists no workload for what still holds another value: pid 7 (sh) holds it"
    for page in (rendered["incident.md"], text_of(rendered["incident.html"])):
        assert page.index(said) < page.index("Checklist")


def test_the_way_back_tells_how_long_it_was_off_and_how_far_the_models_had_drifted_apart():
    rendered = report_of("way_back")
    markdown, page = rendered["incident.md"], text_of(rendered["incident.html"])
    said = f"{FLAG} was false from 2026-11-22 10:30:04 UTC (run `20261122T103000Z-disable-dual-write-1f2e`)"
    assert f"- {said} to 2026-11-23 10:30:04 UTC" in markdown
    assert "**Divergence of the two models before this run, accepted by the operator:**" in markdown
    assert "- fail: vNext teams that legacy does not know: the value is 12, above 0" in markdown
    assert "was false from 2026-11-22 10:30:04 UTC to 2026-11-23 10:30:04 UTC" in page
    assert "vNext teams that legacy does not know: the value is 12, above 0" in page
    assert of_hosts(chain_of("way_back").entries)["web-1"].outcome == "done"


def test_what_an_operator_typed_is_text_and_nothing_else():
    rendered = report_of("overrun")
    assert "<script" not in rendered["incident.html"]
    assert "&lt;script&gt;" in rendered["incident.html"]
    assert "<script" not in rendered["incident.md"]
    assert r"\| **p95** \`x\`" in rendered["incident.md"]


@pytest.mark.parametrize("name", ["proved", "already", "undone", "overrun", "unfinished", "partly"])
def test_the_page_needs_nothing_but_itself_and_the_picture_is_described(name):
    page = report_of(name)["incident.html"]
    assert not re.search(r"<(script|link|img|iframe|object)\b|@import|url\(|\bon[a-z]+=", page)
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    picture = ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    names = {child.tag.rpartition("}")[2]: child.text for child in picture}
    assert names["title"] == "Timeline of the run"
    assert names["desc"].startswith("Budget: ")


def test_the_times_of_the_picture():
    chain = chain_of("proved")
    when = times(chain.entries, of_hosts(chain.entries), 10.7)
    marks = {mark[1]: mark[0] for mark in when.marks}
    assert marks == {"declared": pytest.approx(1.9), "rolled": pytest.approx(3.85), "last": pytest.approx(3.5)}
    flag = next(one for one in when.bars if (one.host, one.phase) == ("web-1", "flag"))
    assert (flag.start, flag.end) == (pytest.approx(1.79), pytest.approx(2.82))
    assert [part[0] for part in flag.parts] == ["read", "declare", "roll", "prove"]
    assert when.series[0][0] < 0
    assert when.series[-1][1] == 0
    assert when.skews == {}


def test_a_host_whose_clock_is_wrong_is_moved_and_named():
    lines = (HERE / "records" / "proved.jsonl").read_text()
    wrong = []
    for entry in map(json.loads, lines.splitlines()):
        if entry["host"] == "web-2":
            entry["data"] = json.loads(json.dumps(entry["data"]).replace("T10:30:", "T10:34:"))
        wrong.append({"run_id": RUN_ID, **entry})
    chain = read_chain(extended(b"", wrong))
    when = times(chain.entries, of_hosts(chain.entries), 10.7)
    assert -242 < when.skews["web-2"] < -235
    assert all(0 <= one.start <= one.end <= 10.7 for one in when.bars)
    assert "The clock of web-2 differs" in render(chain, [TEMPLATES], "x")["incident.md"]


def test_own_templates_override_one_by_one_and_a_broken_one_is_one_sentence(tmp_path):
    (tmp_path / "incident.md.j2").write_text("{{ run.run_id }} {{ outcome }}")
    own = render(chain_of("proved"), [str(tmp_path), TEMPLATES], "x")
    assert own["incident.md"] == f"{RUN_ID} proved"
    assert own["incident.html"].startswith("<!DOCTYPE html>")
    (tmp_path / "incident.md.j2").write_text("{% if %}")
    with pytest.raises(
        InvalidInput, match=r"incident.md.j2:1: the report's template can't be rendered.*state=reported"
    ):
        render(chain_of("proved"), [str(tmp_path), TEMPLATES], "x")


odd = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
known = st.sampled_from(
    [
        "summary",
        "changed",
        "before",
        "after",
        "instances",
        "timings",
        "rolled",
        "roll_started",
        "roll_ended",
        "undone",
        "evidence",
        "answers",
        "msg",
        "failed",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(known, odd, max_size=6), st.dictionaries(st.sampled_from(["probe", "extra", "at", "took"]), odd))
def test_a_report_is_made_whatever_a_module_returned(result, evidence):
    entry = {"at": "2026-11-23T10:30:00.000Z", "run_id": "r", "host": "h", "type": "phase"}
    entries = [
        {**entry, "type": "open", "host": None, "data": {"hosts": ["h"]}},
        {**entry, "data": {"phase": "flag", "result": result}},
        {**entry, "data": {"phase": "verify", "result": {"evidence": [{"probe": "p", **evidence}]}}},
        {**entry, "type": "close", "host": None, "data": {"spent": 1.0}},
    ]
    rendered = render(read_chain(extended(b"", entries)), [TEMPLATES], "x")
    assert "Verification Checklist" in rendered["incident.md"]
