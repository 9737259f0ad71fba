"""Notices to real receivers, whole and in every way broken; what is told of it never holds a secret."""

from __future__ import annotations

import json
import socket
import time

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput
from ansible_collections.dualwrite.rollback.plugins.module_utils.notices.channels import channel
from ansible_collections.dualwrite.rollback.plugins.module_utils.notices.send import send
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.notify import post
from ansible_collections.dualwrite.rollback.tests.support.receivers import mail_server, serving, tls_of

CANARY = "s3cr3t-canary-93b1"
NOTICE = {
    "event": "end",
    "urgency": "immediate",
    "run_id": "20261123T103000Z-disable-dual-write-1f2e",
    "environment": "staging",
    "scenario": "disable_dual_write",
    "reason": "p95 <doubled> & @channel",
    "ticket": "INC-1",
    "operator": "ann",
    "started": "2026-11-23 10:30:00 UTC",
    "started_epoch": 1795429800.0,
    "outcome": "proved",
    "headline": "Done and proved on every host",
    "action": "DUAL_WRITE: true → false",
    "spent": 9.5,
    "budget": 300.0,
    "over_budget": False,
    "time": "9.5 s of 300 s",
    "flags": [{"name": "DUAL_WRITE", "value": "false", "held": "false in 5 instances"}],
    "impact": [{"name": "vNext operations", "state": "Unaffected", "why": ""}],
    "hosts": {"web-1": "done"},
    "failures": [],
    "checklist": [],
    "contacts": [{"role": "on_call_engineer", "name": "Ann", "reach": "Slack @ann", "slack_id": "U0123"}],
    "report": "/srv/reports/staging/x",
    "markdown": "### Dual-Write Rollback Notification\n\n- DUAL_WRITE: **false**\n",
}


@pytest.fixture
def site():
    with serving() as found:
        yield found


def tell(**given):
    """Send the notice to one channel and return what became of it; no secret may stand in it."""
    (sent,) = send([channel({"timeout": 3, **given}, 1)], NOTICE, post)
    assert CANARY not in json.dumps(sent)
    return sent


def test_slack_gets_what_was_done_with_flags_budget_and_who_is_called(site):
    site.answers[f"/services/{CANARY}"] = (200, {}, b"ok")
    sent = tell(kind="slack", url=f"{site.url}/services/{CANARY}")
    assert (sent["sent"], sent["where"]) == (True, site.url)
    text = json.loads(site.asked[0]["body"])["text"]
    assert text.startswith("*[staging] disable dual write: Done and proved on every host*")
    assert "DUAL_WRITE: *false* (false in 5 instances)" in text
    assert "9.5 s of 300 s" in text
    assert "<@U0123> on call engineer Ann" in text
    assert "p95 &lt;doubled&gt; &amp; @channel" in text


def test_a_webhook_gets_the_whole_notice_with_a_key_against_doubles(site, tmp_path):
    (tmp_path / "token").write_text(f"{CANARY}\n")
    site.answers["/hook"] = (204, {}, b"")
    assert tell(kind="webhook", url=f"{site.url}/hook", token_file=str(tmp_path / "token"))["sent"]
    asked = site.asked[0]
    assert json.loads(asked["body"]) == NOTICE
    assert asked["headers"]["Authorization"] == f"Bearer {CANARY}"
    assert asked["headers"]["Idempotency-Key"] == f"{NOTICE['run_id']}.end"


def test_grafana_gets_the_span_of_the_run(site):
    site.answers["/grafana/api/annotations"] = (200, {}, {"id": 1})
    assert tell(kind="grafana", url=f"{site.url}/grafana/", token=CANARY, tags=["db"])["sent"]
    body = json.loads(site.asked[0]["body"])
    assert (body["time"], body["timeEnd"]) == (1795429800000, 1795429809500)
    assert body["tags"] == ["db", "staging", "disable_dual_write", "end"]


def test_a_file_gets_the_filled_template(tmp_path):
    assert tell(kind="file", path=str(tmp_path / "new" / "notices"))["sent"]
    (written,) = (tmp_path / "new" / "notices").iterdir()
    assert (written.name, written.read_text()) == (f"{NOTICE['run_id']}-end.md", NOTICE["markdown"])


def test_a_receiver_behind_tls_is_verified(tmp_path):
    tls, ca_cert = tls_of(tmp_path)
    with serving(tls) as site:
        site.answers["/hook"] = (200, {}, b"ok")
        refused = tell(kind="webhook", url=f"{site.url}/hook")
        assert (refused["sent"], refused["why"]) == (
            False,
            "the server's certificate is self-signed and not trusted here",
        )
        assert tell(kind="webhook", url=f"{site.url}/hook", ca_cert=str(ca_cert))["sent"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((500, {}, f"no {CANARY} here".encode()), "it answers 500: no ******** here"),
        ((302, {"Location": "http://elsewhere"}, b""), "it answers 302"),
        ((404, {}, b"no_service"), "it answers 404: no_service"),
    ],
)
def test_an_answer_that_is_no_success_is_told_without_the_secret(site, answer, why):
    site.answers[f"/services/{CANARY}"] = answer
    assert tell(kind="slack", url=f"{site.url}/services/{CANARY}")["why"] == why


def test_nothing_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        sent = tell(kind="slack", url=f"http://127.0.0.1:{taken.getsockname()[1]}/services/{CANARY}")
    assert sent["why"] == "the connection was refused: nothing listens there"


def test_all_are_told_at_once_and_a_slow_one_costs_its_own_timeout_only(site, tmp_path):
    site.answers[f"/slow/{CANARY}"] = lambda handler: time.sleep(2)
    site.answers["/hook"] = (200, {}, b"ok")
    slow = {"kind": "slack", "url": f"{site.url}/slow/{CANARY}", "timeout": 0.4}
    channels = [slow, {**slow, "name": "again"}, {"kind": "webhook", "url": f"{site.url}/hook"}]
    started = time.monotonic()
    sent = send([channel(one, number) for number, one in enumerate(channels, 1)], NOTICE, post)
    assert time.monotonic() - started < 1.5
    assert [one["sent"] for one in sent] == [False, False, True]
    assert {one["why"] for one in sent[:2]} == {"no complete answer within 0.4 s"}


# -- e-mail ----------------------------------------------------------------------------------------------------------


def mail(box, **more):
    return {"kind": "mail", "host": "127.0.0.1", "port": box.port, "from": "rollback@shop", "to": ["ann@shop"], **more}


def test_a_mail_goes_out_by_starttls_with_a_login_from_a_file(tmp_path):
    tls, ca_cert = tls_of(tmp_path)
    (tmp_path / "password").write_text(CANARY)
    with mail_server(tls, login=True) as box:
        options = mail(box, username="rollback", password_file=str(tmp_path / "password"))
        untrusted = tell(**options)
        assert untrusted["why"].startswith("the server's certificate is not accepted")
        assert tell(**options, ca_cert=str(ca_cert))["sent"]
        assert box.logins == [("rollback", CANARY)]
        (envelope,) = box.got
        text = envelope.content.decode()
        assert "Subject: [staging] disable dual write: Done and proved on every host" in text
        assert f"Message-ID: <{NOTICE['run_id']}.end@dualwrite.rollback>" in text
        assert "- DUAL_WRITE: **false**" in text


def test_a_mail_is_not_sent_in_the_clear_unless_that_is_asked_for():
    with mail_server() as box:
        assert "offers no STARTTLS" in tell(**mail(box))["why"]
        assert box.got == []
        assert tell(**mail(box, tls="none"))["sent"]


def test_recipients_that_are_refused_are_named_and_the_others_get_it():
    with mail_server() as box:
        box.refused = {"ann@shop"}
        assert tell(**mail(box, tls="none"))["why"] == "the server refuses ann@shop (550 5.1.1 no such mailbox)"
        sent = tell(**mail(box, tls="none", to=["ann@shop", "ben@shop"]))
        assert sent["why"].startswith("sent to the others, but the server refuses ann@shop")
        assert [one.rcpt_tos for one in box.got] == [["ben@shop"]]


# -- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"kind": "pigeon"}, "its kind is 'pigeon'"),
        ({"kind": "slack"}, "it has no URL of http or https"),
        ({"kind": "slack", "url": f"https://ann:{CANARY}@hooks.slack.com/x"}, "it has no URL of http or https"),
        ({"kind": "slack", "url": f"ftp://{CANARY}"}, "it has no URL of http or https"),
        ({"kind": "slack", "url_file": "/nowhere/url"}, "the file /nowhere/url can't be read: No such file"),
        ({"kind": "slack", "url": "https://x", "chanel": CANARY}, "has no 'chanel'"),
        ({"kind": "slack", "url": "https://x", "events": "end"}, "its events are wrong"),
        ({"kind": "slack", "url": "https://x", "urgency": "soon"}, "its urgency is 'soon'"),
        ({"kind": "grafana", "url": "https://x"}, "it has no token"),
        ({"kind": "mail", "host": "x", "from": "y"}, "needs 'to'"),
        ({"kind": "mail", "host": "x", "from": "y", "to": "z", "tls": "maybe"}, "its tls is wrong"),
        ({"kind": "module", "module": "slack"}, "module is no full name"),
        (
            {"kind": "module", "module": "a.b.c", "events": ["start"]},
            "a channel of kind module can't tell the start of a run. Give of events only end, failure or both",
        ),
        ({"kind": "module", "module": "a.b.c", "events": ["start", "end"]}, "can't tell the start of a run"),
        ({"kind": "file"}, "needs 'path'"),
    ],
)
def test_a_wrong_channel_is_refused_without_its_values(given, sentence):
    with pytest.raises(InvalidInput) as caught:
        channel(given, 1)
    assert sentence in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_channel_shows_no_secret_of_its_own():
    assert CANARY not in repr(channel({"kind": "slack", "url": f"https://hooks.slack.com/services/T/B/{CANARY}"}, 1))


@pytest.mark.parametrize(
    ("wanted", "event", "urgency", "told"),
    [
        ({}, "start", "low", True),
        ({"events": ["failure"]}, "end", "immediate", False),
        ({"events": ["failure"]}, "failure", "low", True),
        ({"urgency": "high"}, "end", "medium", False),
        ({"urgency": "high"}, "end", "immediate", True),
    ],
)
def test_a_channel_gets_what_it_wants(wanted, event, urgency, told):
    assert channel({"kind": "slack", "url": "https://x", **wanted}, 1).wants(event, urgency) is told
