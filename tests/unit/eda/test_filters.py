"""What the filters let into a rulebook: values of the allow-list, and nothing that somebody else has written."""

from __future__ import annotations

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

FILTERS = Path(__file__).resolve().parents[3] / "extensions" / "eda" / "plugins" / "event_filter"
ALERTS = {"DualWriteRequestsFailing": "requests_failing", "DualWriteLatencyDegraded": "latency_degraded"}
GOOD = {"alertname": "DualWriteRequestsFailing", "environment": "staging"}
EVIL = "{{ lookup('ansible.builtin.pipe', 'touch /tmp/evil') }}"
APPROVAL = {"plan": "plan-0123456789ab", "approver": "ada@shop.example", "ticket": "INC-42"}


def alert(labels: Any, **more: Any) -> dict[str, Any]:
    return {"status": "firing", "labels": labels, "annotations": {}, "startsAt": "2026-01-25T02:40:00.5Z", **more}


def main_of(name: str) -> Any:
    """Return the function of a filter as ansible-rulebook does: from its file, not as a part of a package."""
    spec = spec_from_file_location(name, FILTERS / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def select(*alerts: Any, **payload: Any) -> list[dict[str, Any]]:
    """Filter one message."""
    headers = {"X-Evil": EVIL}
    event = {"payload": {"alerts": list(alerts), **payload}, "meta": {"endpoint": EVIL, "headers": headers}}
    return list(main_of("select_alerts")(event, alerts=ALERTS))


def approve(payload: Any) -> list[dict[str, Any]]:
    return list(main_of("select_approvals")({"payload": payload, "meta": {}}))


def test_an_alert_becomes_an_event_of_five_known_values() -> None:
    [event] = select(alert(GOOD))
    plan = event["alert"].pop("plan")
    assert event == {
        "alert": {
            "name": "DualWriteRequestsFailing",
            "symptom": "requests_failing",
            "environment": "staging",
            "since": "2026-01-25T02:40:00Z",
        }
    }
    assert len(plan) == 17


def test_the_plan_is_named_by_what_it_is_for_and_since_when() -> None:
    def plan(labels: dict[str, str], **more: Any) -> str:
        return str(select(alert(labels, **more))[0]["alert"]["plan"])

    assert plan(GOOD) == plan({**GOOD, "pod": "web-1"}, startsAt="2026-01-25T03:40:00.9+01:00")
    later = plan(GOOD, startsAt="2026-01-25T02:41:00Z")
    other = plan({**GOOD, "environment": "production"})
    assert len({plan(GOOD), later, other, plan({**GOOD, "alertname": "DualWriteLatencyDegraded"})}) == 4


def test_nothing_that_others_have_written_is_taken_over() -> None:
    labels = {**GOOD, "pod": EVIL, "dualwrite_execute": "true", EVIL: "x"}
    more = {"annotations": {"summary": EVIL, EVIL: EVIL}, "generatorURL": EVIL, "fingerprint": EVIL, "meta": EVIL}
    found = select(alert(labels, **more), externalURL=EVIL, groupKey=EVIL, commonLabels={EVIL: EVIL}, receiver=EVIL)
    assert found == select(alert(GOOD))
    assert "{{" not in json.dumps(found)
    assert "meta" not in found[0]  # meta.hosts of a sender would be the limit of the playbook


@pytest.mark.parametrize(
    "one",
    [
        alert({**GOOD, "alertname": "HighLoad"}),
        alert({**GOOD, "alertname": EVIL}),
        alert({**GOOD, "alertname": "DualWriteRequestsFailing\n"}),
        alert({**GOOD, "alertname": ["DualWriteRequestsFailing"]}),
        alert({**GOOD, "alertname": {"a": 1}}),
        alert({**GOOD, "environment": EVIL}),
        alert({**GOOD, "environment": "staging\n"}),
        alert({**GOOD, "environment": ""}),
        alert({**GOOD, "environment": True}),
        alert({"alertname": "DualWriteRequestsFailing"}),
        alert(GOOD, status="resolved"),
        alert(GOOD, status=None),
        alert(GOOD, startsAt=EVIL),
        alert(GOOD, startsAt="2026-13-25T02:40:00Z"),
        alert(GOOD, startsAt=7),
        alert("labels"),
        alert(None),
        "alert",
        None,
    ],
)
def test_what_is_not_one_of_the_list_is_dropped(one: Any) -> None:
    assert select(one) == []
    assert select(one, alert(GOOD)) == select(alert(GOOD))


@pytest.mark.parametrize("payload", [None, [], "text", 7, {}, {"alerts": None}, {"alerts": "x"}, {"alerts": {"a": 1}}])
def test_a_message_of_somebody_else_is_dropped(payload: Any) -> None:
    main = main_of("select_alerts")
    assert main({"payload": payload}, alerts=ALERTS) == []
    assert main({}, alerts=ALERTS) == []


def test_a_message_of_fifty_alerts_is_one_event_per_environment_and_symptom() -> None:
    storm = [alert({**GOOD, "pod": f"web-{number}"}) for number in range(50)]
    other = alert({**GOOD, "alertname": "DualWriteLatencyDegraded"})
    assert [one["alert"]["symptom"] for one in select(*storm, other)] == ["requests_failing", "latency_degraded"]


def test_what_is_dropped_is_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    select(alert({**GOOD, "alertname": EVIL}), alert({**GOOD, "environment": EVIL}), None)
    approve({**APPROVAL, "ticket": EVIL})
    assert len(caplog.records) == 4
    assert "lookup" not in caplog.text


def test_an_approval_is_a_plan_a_person_and_a_ticket() -> None:
    assert approve({**APPROVAL, "more": EVIL}) == [{"approval": APPROVAL}]


@pytest.mark.parametrize("key", sorted(APPROVAL))
@pytest.mark.parametrize("value", [None, "", EVIL, "plan-0123456789ab\n", "a b", 7, ["x"], "x" * 200, "-e"])
def test_an_approval_with_anything_else_is_dropped(key: str, value: Any) -> None:
    assert approve({**APPROVAL, key: value}) == []
    assert approve({name: text for name, text in APPROVAL.items() if name != key}) == []
    assert approve(value) == []
