# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: who is called for what: contacts by role, picked by urgency, and placeholders that would reach nobody."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import InvalidInput

LOW, MEDIUM, HIGH, IMMEDIATE = "low", "medium", "high", "immediate"
#: the decision matrix's urgencies, the least urgent first
URGENCIES = (LOW, MEDIUM, HIGH, IMMEDIATE)
#: scenario -> how urgent what it does is; what is not named is medium
SCENARIOS: Mapping[str, str] = {
    "disable_dual_write": IMMEDIATE,
    "block_legacy_writes": IMMEDIATE,
    "restore_backup": IMMEDIATE,
    "disable_strict_mode": HIGH,
    "undo_restore": HIGH,
    "cleanup_test_data": LOW,
    "drop_replaced": LOW,
    "verify": LOW,
}
#: item of the checklist -> the role that does by hand what no probe did; the first one that the inventory has
OWNERS: Mapping[str, Sequence[str]] = {
    "flags": ("on_call_engineer", "devops_lead"),
    "instances": ("devops_lead", "on_call_engineer"),
    "quiet": ("on_call_engineer", "devops_lead"),
    "requests": ("on_call_engineer",),
    "errors": ("on_call_engineer",),
    "performance": ("devops_lead", "on_call_engineer"),
    "incident_log": ("on_call_engineer", "engineering_manager"),
    "notify": ("engineering_manager", "on_call_engineer"),
}
_KEYS = ("name", "reach", "urgencies", "slack_id")
_PLACEHOLDER = re.compile(
    r"x{2,}(-x+)+|\[[^\]]*\]|<[^>]*>|\bto ?do\b|\bfix ?me\b|\btbd\b|\bchange ?me\b|\bexample\b|your[ _-]?name"
    r"|\byyyy\b|(?<!\d)0{3}[- ]0{3,4}|\bplaceholder\b",
    re.I,
)


def check_contacts(contacts: Mapping[str, Any]) -> None:
    """Raise InvalidInput unless ``contacts`` is role -> {name, reach, urgencies, slack_id}."""
    for role, one in contacts.items():
        where = f"contact '{role}'"
        if not isinstance(one, Mapping) or not one.get("reach"):
            raise InvalidInput("a contact is a dict with name and reach", where=where)
        foreign = sorted(set(map(str, one)) - set(_KEYS))
        if foreign:
            raise InvalidInput(f"a contact has no '{foreign[0]}'", where=where, hint=f"It takes: {', '.join(_KEYS)}.")
        urgencies = one.get("urgencies") or []
        wrong = [word for word in ([urgencies] if isinstance(urgencies, str) else urgencies) if word not in URGENCIES]
        if wrong or isinstance(urgencies, str):
            raise InvalidInput(
                f"urgencies is '{urgencies}'", where=where, hint=f"Give a list of: {', '.join(URGENCIES)}."
            )


def picked(contacts: Mapping[str, Any], urgency: str) -> list[dict[str, str]]:
    """Return the contacts of an urgency, each ``{role, name, reach, slack_id}``; one without urgencies is of all."""
    return [
        _plain(role, one) for role, one in contacts.items() if not one.get("urgencies") or urgency in one["urgencies"]
    ]


def owner(item: str, contacts: Mapping[str, Any]) -> str:
    """Return who does an item of the checklist by hand, in words; a role's name without a contact."""
    roles = OWNERS.get(item, ("on_call_engineer",))
    role = next((one for one in roles if isinstance(contacts.get(one), Mapping)), None)
    return in_words(_plain(role, contacts[role])) if role else words(roles[0])


def in_words(contact: Mapping[str, str]) -> str:
    """Return a contact on one line: role, name, and how to reach it."""
    name = f" {contact['name']}" if contact["name"] else ""
    return f"{words(contact['role'])}{name} ({contact['reach']})"


def words(role: str) -> str:
    """Return a role's name as a person reads it."""
    return role.replace("_", " ")


def urgency_of(scenario: str, given: str, failed: bool) -> str:
    """Return how urgent a notice is; what failed is one step more urgent than what it was to do."""
    known = given if given in URGENCIES else SCENARIOS.get(scenario, MEDIUM)
    return URGENCIES[min(URGENCIES.index(known) + failed, len(URGENCIES) - 1)]


def placeholders(contacts: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each contact whose address or name was never filled in."""
    told = []
    for role, one in contacts.items():
        values = [str(one.get(key) or "") for key in ("name", "reach")] if isinstance(one, Mapping) else [str(one)]
        bad = next((value for value in values if _PLACEHOLDER.search(value)), None)
        if bad is None and not values[-1].strip():
            bad = "nothing"
        if bad is not None:
            told.append(f"the contact '{role}' is a placeholder: '{bad[:60]}' reaches nobody")
    return told


def _plain(role: str, one: Mapping[str, Any]) -> dict[str, str]:
    return {"role": str(role), **{key: str(one.get(key) or "") for key in ("name", "reach", "slack_id")}}
