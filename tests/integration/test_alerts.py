"""From an alert to its end: the lab's Prometheus, a real Alertmanager, real ansible-rulebook, the lab under traffic."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.lab.alerts import APPROVED, RULEBOOK, Alerting, message
from tests.lab.lab import Lab
from tests.lab.waiting import wait_until
from tests.support.measure import (
    FLAG,
    STRICT,
    alert_drill,
    await_healing,
    drill_said,
    figures,
    held,
    newest_ledger_entry,
)
from tests.support.play import ROOT, Ended, newest_run

ALERT = "DualWriteRequestsFailing"
LATENCY = "DualWriteLatencyDegraded"
FOREIGN = {"alertname": LATENCY, "environment": "elsewhere"}
#: brisk times; what is not measured by Prometheus alone is there within one look
BRISK = "dualwrite_hold: 1\ndualwrite_verify_timeout: 25\ndualwrite_look_again: 15\ndualwrite_symptom_window: 6\n"
WAITS = re.compile(r"^(plan-\w+) of lab waits for an approval", re.MULTILINE)
Start = Callable[..., Alerting]


@pytest.fixture(scope="module")
def start(lab: Lab, reports: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a rulebook with an inventory of the lab that is brisk, and ``more`` in it; one runs at a time."""
    running: list[Alerting] = []

    def started(rulebook: str, more: str = "") -> Alerting:
        inventory = tmp_path_factory.mktemp("inventory") / "lab"
        shutil.copytree(ROOT / "inventories" / "lab", inventory)
        (inventory / "group_vars" / "all" / "zz.yml").write_text(BRISK + more)
        for one in running:
            one.stop_rulebook()
        running.append(Alerting(lab, reports, rulebook, inventory))
        running[-1].start_rulebook()
        return running[-1]

    yield started
    for one in running:
        one.stop_rulebook()


@pytest.fixture(scope="module")
def by_itself(start: Start) -> Alerting:
    """The rulebook that runs safe steps by itself, with all that is before it."""
    alerting = start(RULEBOOK)
    alerting.start_alertmanager()
    alerting.watch_prometheus()
    alerting.await_rulebook()
    return alerting


def strictness(lab: Lab) -> set[str]:
    """Return what the processes hold for strict mode."""
    return {one["flags"][STRICT] for one in lab.instances()}


def await_all_seen(alerting: Alerting, number: int) -> None:
    """Wait until the rulebook is done with everything that it was sent: it takes one after the other."""
    mark = {**FOREIGN, "environment": f"mark-{number}"}
    assert alerting.alerts.send(message(mark)) == 200
    wait_until(lambda: f"of {mark['environment']}; this rulebook" in alerting.told(), "the rulebook to see it all", 120)


def test_what_is_not_meant_starts_nothing_and_is_never_evaluated(lab: Lab, by_itself: Alerting, tmp_path: Path) -> None:
    evil = f"{{{{ lookup('ansible.builtin.pipe', 'touch {tmp_path}/evil') }}}}"
    send = by_itself.alerts.send
    good = {"alertname": ALERT, "environment": "lab"}
    assert send(message(good), token="guessed") == 401
    assert send(message(good), token="") == 401
    assert send(b"{no json") == 400
    for body in (
        {"alerts": "x", "meta": {"hosts": evil}},
        message({"alertname": "AnythingElse", "environment": "lab"}),
        message({"alertname": evil, "environment": "lab"}),
        message({"alertname": ALERT, "environment": evil}),
        message({"alertname": ALERT}),
        message(good, status="resolved"),
        message(FOREIGN),
    ):
        assert send(body) == 200
    await_all_seen(by_itself, 1)
    told = by_itself.told()
    assert f"{LATENCY} is of elsewhere; this rulebook is for lab" in told
    assert "triage" not in told
    assert "{{" not in told
    assert not (tmp_path / "evil").exists()
    secrets = [door.token_file.read_text().strip() for door in (by_itself.alerts, by_itself.approvals)]
    assert not [secret for secret in secrets if secret in told]


def test_a_storm_is_one_triage_and_what_is_not_known_is_not_acted_on(
    lab: Lab, by_itself: Alerting, reports: Path, tmp_path: Path
) -> None:
    """Prometheus has not seen the lab for an hour: how much slower it has become is not known."""
    evil = f"{{{{ lookup('ansible.builtin.pipe', 'touch {tmp_path}/evil') }}}}"
    before = newest_run(reports)
    for number in range(50):
        labels = {"alertname": LATENCY, "environment": "lab", "pod": f"web-{number}", "note": evil}
        assert by_itself.alerts.send(message(labels)) == 200
    await_all_seen(by_itself, 2)
    assert by_itself.looks() == 1
    assert "UNKNOWN  latency_degraded (alerted)" in by_itself.told()
    assert "Not known: latency_degraded." in by_itself.told()
    assert held(lab) == ["true"] * len(held(lab))
    assert newest_run(reports) == before
    assert not (tmp_path / "evil").exists()


def test_requests_that_fail_succeed_again_and_nobody_types_anything(lab: Lab, by_itself: Alerting) -> None:
    """The fault is a drill's: strict mode on, and a legacy side that refuses writes. It waits for whoever heals it."""
    called = datetime.now(UTC)
    with alert_drill(lab, by_itself) as drill:
        healing = await_healing(lab, by_itself, called, ALERT)
        assert strictness(lab) == {"false"}
        assert drill.wait(180) == 0, drill_said(by_itself)
    assert {one["flags"][FLAG] for one in lab.instances()} == {"true"}
    assert lab.traffic_summary(since=healing.flag_off)["failed"] == 0
    assert healing.first_failure < healing.alert < healing.event < healing.planned < healing.flag_off
    assert "$ ansible-playbook dualwrite.rollback.disable_strict_mode -i lab " in healing.run.text
    opened = healing.run.entries()[0]["data"]
    assert opened["operator"] == "ansible-rulebook"
    assert opened["reason"].startswith(f"alert {ALERT} since 20")
    assert healing.outcome == "proved"
    assert (healing.run.run_folder / "incident.html").exists()
    assert sorted(path.name for path in by_itself.notices.iterdir()) == [
        f"{healing.run.run_folder.name}-{event}.md" for event in ("end", "start")
    ]
    entry = json.loads(newest_ledger_entry(lab).read_text())
    assert (entry["exercise"], entry["result"], entry["put_back"]) == ("alert_chain", "passed", True)
    after = healing.since_first_failure()
    figures(
        alert_fires=after["the alert fires in Prometheus"],
        plan_made=after["measured and planned, the run opens"],
        strict_mode_off=after["strict mode is off in every process"],
        requests_failed_for=(healing.last_failure - healing.first_failure).total_seconds(),
        failed=healing.failed,
    )


def test_a_protected_environment_waits_for_a_person_who_approves_this_plan(
    lab: Lab, strict: None, start: Start, reports: Path
) -> None:
    lab.break_legacy()
    alerting = start(APPROVED, "dualwrite_protected: true\n")
    alerting.await_rulebook()
    before = newest_run(reports)
    approve = alerting.approvals.send
    labels: dict[str, Any] = {"alertname": ALERT, "environment": "lab"}
    approval = {"plan": "plan-000000000000", "approver": "ada", "ticket": "INC-42"}
    assert approve(approval) == 200
    assert alerting.alerts.send(message(labels)) == 200
    waits = wait_until(lambda: WAITS.search(alerting.told()), f"a plan that waits (see {alerting.log})", 120)
    plan = waits[1]
    assert "1. [immediate] disable_strict_mode" in alerting.told()

    named = {**approval, "plan": plan}
    assert approve(named, alerting.alerts.token_file.read_text().strip()) == 401, "Alertmanager can't approve"
    assert alerting.alerts.send(named) == 200, "nor can anybody at Alertmanager's door"
    assert approve({**named, "ticket": ""}) == 200
    assert strictness(lab) == {"true"}
    assert newest_run(reports) == before

    assert approve(named) == 200
    wait_until(lambda: "report: " in alerting.told(), f"the approved plan to be run (see {alerting.log})", 180)
    assert strictness(lab) == {"false"}
    assert newest_run(reports) != before
    opened = Ended(0, "", datetime.now(UTC), reports, newest=newest_run(reports)).entries()[0]["data"]
    assert (opened["operator"], opened["ticket"]) == ("ada", "INC-42")
    assert opened["reason"].endswith(f"approved as {plan}")
