"""Who is called for what, and which contacts reach nobody."""

from __future__ import annotations

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput
from ansible_collections.dualwrite.rollback.plugins.module_utils.notices import contacts

PEOPLE = {
    "on_call_engineer": {"name": "Ann", "reach": "Slack @ann"},
    "devops_lead": {"name": "Ben", "reach": "Slack @ben", "urgencies": ["high", "immediate"]},
    "database_admin": {"reach": "Slack @dba-oncall", "urgencies": ["immediate"], "slack_id": "U0123"},
}


@pytest.mark.parametrize(
    ("urgency", "roles"),
    [
        ("low", ["on_call_engineer"]),
        ("high", ["on_call_engineer", "devops_lead"]),
        ("immediate", ["on_call_engineer", "devops_lead", "database_admin"]),
    ],
)
def test_contacts_are_picked_by_urgency(urgency, roles):
    assert [one["role"] for one in contacts.picked(PEOPLE, urgency)] == roles


@pytest.mark.parametrize(
    ("scenario", "given", "failed", "urgency"),
    [
        ("disable_dual_write", "", False, "immediate"),
        ("cleanup_test_data", "", False, "low"),
        ("cleanup_test_data", "", True, "medium"),
        ("disable_dual_write", "", True, "immediate"),
        ("disable_dual_write", "low", False, "low"),
        ("some_scenario_of_yours", "", False, "medium"),
    ],
)
def test_a_failed_run_is_one_step_more_urgent(scenario, given, failed, urgency):
    assert contacts.urgency_of(scenario, given, failed) == urgency


def test_the_owner_of_an_item_is_a_person_where_the_inventory_has_one():
    assert contacts.owner("performance", PEOPLE) == "devops lead Ben (Slack @ben)"
    assert contacts.owner("performance", {"on_call_engineer": {"reach": "+31 6 5551 2345"}}) == (
        "on call engineer (+31 6 5551 2345)"
    )
    assert contacts.owner("performance", {}) == "devops lead"


@pytest.mark.parametrize(
    "reach",
    [
        "Phone: xxx-xxx-xxxx",
        "[Slack: @oncall-engineering]",
        "TODO",
        "to do",
        "oncall@example.com",
        "<name>",
        "tbd",
        "changeme",
    ],
)
def test_a_placeholder_is_told(reach):
    told = contacts.placeholders({"engineering_manager": {"name": "Eve", "reach": reach}})
    assert told == [f"the contact 'engineering_manager' is a placeholder: '{reach}' reaches nobody"]


def test_real_contacts_are_no_placeholders():
    phone = {"name": "Todd Maxx", "reach": "+1 202 555 0173, @maxxx"}
    assert contacts.placeholders({**PEOPLE, "engineering_manager": phone}) == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"a": "Slack"}, "a contact is a dict with name and reach"),
        ({"a": {"name": "x"}}, "a contact is a dict with name and reach"),
        ({"a": {"reach": "x", "phone": "y"}}, "a contact has no 'phone'"),
        ({"a": {"reach": "x", "urgencies": "high"}}, "urgencies is 'high'"),
        ({"a": {"reach": "x", "urgencies": ["soon"]}}, "Give a list of: low, medium, high, immediate."),
    ],
)
def test_a_contact_of_another_form_is_refused(given, sentence):
    with pytest.raises(InvalidInput) as caught:
        contacts.check_contacts(given)
    assert sentence in str(caught.value)
