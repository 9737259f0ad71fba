"""Whom a rollback tells, on the lab under traffic, to real receivers; and the checklist afterwards."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.lab import Lab
from tests.lab.waiting import wait_until
from tests.support.measure import FLAG, dual_writing, figures, restart
from tests.support.play import ROOT, Ended, call, environ
from tests.support.published import published
from tests.support.receivers import Mailbox, Site, mail_server, serving

CANARY = "s3cr3t-canary-93b1"
PEOPLE = {"on_call_engineer": {"name": "Ann", "reach": "Slack @ann"}}
Run = Callable[..., Ended]


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as found:
        found.answers["/hook"] = (200, {}, b"ok")
        yield found


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as found:
        yield found


@pytest.fixture
def run(lab: Lab, reports: Path, tmp_path: Path) -> Run:
    """Run a playbook as an operator does, with short waits; the variables are the inventory's, as templates may be."""

    def playbook(name: str, *more: str, env: dict[str, str] | None = None, **variables: Any) -> Ended:
        given = {"dualwrite_hold": 1, "dualwrite_verify_timeout": 20, "dualwrite_contacts": PEOPLE, **variables}
        told = tmp_path / "told.yml"
        told.write_text(json.dumps({"dualwrite": {"hosts": {"lab": given}}}))
        argv = ["ansible-playbook", f"{name}.yml", "-i", "lab", "-i", str(told), *more]
        return call(argv, reports, environ(reports, DUALWRITE_LAB=str(lab.dir), **(env or {})))

    return playbook


def measured(lab: Lab) -> None:
    """Wait until Prometheus has a rate: without one there is no "before" to compare with."""
    query = urllib.parse.urlencode({"query": "sum(rate(http_requests_total[10s])) > 0"})
    url = f"{lab.state['prometheus']['url']}/api/v1/query?{query}"

    def has_a_rate() -> bool:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(json.load(answer)["data"]["result"])

    wait_until(has_a_rate, "a rate of requests in Prometheus")


def end_of(ended: Ended) -> dict[str, Any]:
    """Return the data of the entry that closed a run; what was told to whom stands behind it."""
    return next(one["data"] for one in ended.entries() if one["type"] == "close")


def item(ended: Ended, text: str) -> str:
    """Return the line of the checklist that an operator saw."""
    return next(line.strip() for line in ended.lines() if f" {text} " in line)


def test_a_rollback_tells_by_webhook_mail_and_file_and_its_checklist_passes(
    lab: Lab, run: Run, site: Site, mailbox: Mailbox, tmp_path: Path
) -> None:
    dual_writing(lab)
    measured(lab)
    mail = {"kind": "mail", "host": "127.0.0.1", "port": mailbox.port, "tls": "none"}
    channels = [
        {"kind": "webhook", "url": f"{site.url}/hook"},
        {**mail, "from": "rollback@shop", "to": ["ann@shop"], "events": ["end", "failure"]},
        {"kind": "file", "path": str(tmp_path / "notices"), "events": ["end"]},
    ]
    ended = run("rollback_dual_write", dualwrite_notices=channels, dualwrite_reason="p95 doubled")
    assert ended.rc == 0, ended.text
    started, told = (json.loads(one["body"]) for one in site.asked)
    assert (started["event"], started["urgency"], started["reason"]) == ("start", "immediate", "p95 doubled")
    assert told["event"] == "end"
    assert {"name": FLAG, "value": "false", "held": "false in 5 instances"} in told["flags"]
    assert told["spent"] == pytest.approx(end_of(ended)["spent"])
    assert told["budget"] == 300
    (envelope,) = mailbox.got
    (written,) = (tmp_path / "notices").iterdir()
    for text in (told["markdown"], envelope.content.decode(), written.read_text()):
        assert f"{FLAG}: **false** (effective: false in 5 instances)" in text
        assert "Ann (Slack @ann)" in text
    assert "[x] **Team notified" in (ended.run_folder / "incident.md").read_text()

    # the checklist, as somebody looks after it later
    looked = run("verify")
    assert looked.rc == 0, looked.text
    assert "checklist: 8 pass" in looked.text
    assert "none older than the roll of" in item(looked, "Instances hold the new values (restarted or reloaded)")
    assert "the metric went from " in item(looked, "Error rates")
    assert "the metric went from " in item(looked, "No performance regression")
    figures(verify_checklist=looked.took)

    # somebody switches it on again behind our back
    restart(lab, "true")
    looked = run("verify", dualwrite_verify_timeout=3)
    assert looked.rc != 0
    assert item(looked, "Flag changes applied").startswith("FAIL")
    assert item(looked, "No dual-write lines in the logs").startswith("FAIL")
    assert "Traceback" not in looked.text


def test_what_cannot_be_told_fails_no_rollback_delays_no_flag_and_shows_no_secret(
    lab: Lab, run: Run, site: Site, mailbox: Mailbox
) -> None:
    dual_writing(lab)
    site.answers[f"/slow/{CANARY}"] = lambda handler: time.sleep(8)
    site.answers[f"/wrong/{CANARY}"] = (500, {}, f"no such hook: {CANARY}".encode())
    mailbox.refused = {"ann@shop"}
    token = "{{ lookup('env', 'TOKEN') }}"
    server = {"host": "127.0.0.1", "port": mailbox.port}
    arguments = {**server, "secure": "never", "to": "ben@shop", "subject": "{subject}", "headers": f"X-Key={token}"}
    channels = [
        {"kind": "slack", "name": "slow", "url": "{{ lookup('env', 'SLOW') }}", "timeout": 2},
        {"kind": "slack", "name": "wrong", "url": "{{ lookup('env', 'WRONG') }}"},
        {"kind": "mail", "host": "127.0.0.1", "port": mailbox.port, "tls": "none", "from": "r@shop", "to": "ann@shop"},
        {"kind": "module", "name": "theirs", "module": "community.general.mail", "arguments": arguments},
        {
            "kind": "module",
            "name": "lacking",
            "module": "community.nowhere.slack",
            "arguments": {"token": token},
        },
    ]
    env = {"SLOW": f"{site.url}/slow/{CANARY}", "WRONG": f"{site.url}/wrong/{CANARY}", "TOKEN": CANARY}
    env["ANSIBLE_COLLECTIONS_PATH"] = f"{ROOT / '.cache' / 'collections'}:{published('community.general')}"
    ended = run("rollback_dual_write", "-vvvv", env=env, dualwrite_notices=channels)
    assert ended.rc == 0, ended.text
    entries = ended.entries()
    moments = {one["data"]["phase"]: one["at"] for one in reversed(entries) if one["type"] == "phase"}
    assert moments["notify"] < moments["lock"] < moments["flag"]
    told = {one["channel"]: one["why"] for one in entries[-1]["data"]["result"]["notices"]}
    assert told == {
        "slow": "no complete answer within 2.0 s",
        "wrong": "it answers 500: no such hook: ********",
        "mail-3": "the server refuses ann@shop (550 5.1.1 no such mailbox)",
        "theirs": "",
        "lacking": "the module community.nowhere.slack is not installed: "
        "ansible-galaxy collection install community.nowhere",
    }
    (envelope,) = mailbox.got
    assert envelope.rcpt_tos == ["ben@shop"]
    assert f"X-Key: {CANARY}" in envelope.content.decode()
    page = (ended.run_folder / "incident.md").read_text()
    assert "NO: it answers 500" in page
    assert end_of(ended)["outcome"] == "proved"
    for text in (ended.text, page, (ended.run_folder / "record.jsonl").read_text()):
        assert CANARY not in text
    assert CANARY not in (ended.run_folder / "incident.html").read_text()


def test_an_inventory_whose_channels_cannot_be_read_fails_no_rollback(lab: Lab, run: Run) -> None:
    ended = run("rollback_dual_write", dualwrite_notices="{{ lookup('file', '/nowhere') }}")
    assert ended.rc == 0, ended.text
    assert any(line.startswith("not told: all: ") for line in ended.lines())
    assert "/nowhere" in (ended.run_folder / "incident.md").read_text()
