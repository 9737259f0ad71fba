# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let nothing of an alert into a rulebook but values of an allow-list."""

from __future__ import annotations

import hashlib
import logging
import re
from datetime import datetime, timezone
from typing import Any

DOCUMENTATION = r"""
---
short_description: Turn what Alertmanager sends into events that hold allow-listed values only
description:
  - Alertmanager's webhook brings text that others have written (labels, annotations), and ansible-rulebook hands whole
    events to a playbook as extra vars. This filter builds new events, and takes no text over.
  - An alert that does not fire, whose name is not listed, or whose environment is no plain name, is dropped. So is a
    payload that is not one of Alertmanager's. Of one payload each environment and symptom make one event.
options:
  alerts:
    description: Which alerts count, as name of the alert to symptom.
    type: dict
    required: true
"""

EXAMPLES = r"""
- eda.builtin.webhook:
    port: 5001
  filters:
    - dualwrite.rollback.select_alerts:
        alerts:
          DualWriteRequestsFailing: requests_failing
"""

LOGGER = logging.getLogger("dualwrite.rollback.select_alerts")
_ENVIRONMENT = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def main(event: dict[str, Any], alerts: dict[str, str]) -> list[dict[str, Any]]:
    """Return one event ``{"alert": {name, symptom, environment, since, plan}}`` per environment and symptom."""
    payload = event.get("payload")
    listed = payload.get("alerts") if isinstance(payload, dict) else None
    if not isinstance(listed, list):
        LOGGER.warning("dropped a message that is not one of Alertmanager's webhook")
        return []
    selected: dict[tuple[str, str], dict[str, Any]] = {}
    for one in listed:
        alert = _selected(one, alerts)
        if alert:
            selected.setdefault((alert["environment"], alert["symptom"]), {"alert": alert})
    return list(selected.values())


def _selected(one: Any, alerts: dict[str, str]) -> dict[str, str] | None:
    """Return what an alert selects, None when it is to be dropped."""
    labels = one.get("labels") if isinstance(one, dict) else None
    if not isinstance(labels, dict):
        LOGGER.warning("dropped an alert without labels")
        return None
    name, environment = labels.get("alertname"), labels.get("environment")
    known = next((listed for listed in alerts if listed == name), None)
    if known is None:
        LOGGER.warning("dropped an alert whose name is not in the allow-list")
        return None
    if not isinstance(environment, str) or not _ENVIRONMENT.fullmatch(environment):
        LOGGER.warning("dropped the alert %s: its label environment is no name of one", known)
        return None
    since = _moment(one.get("startsAt"))
    if one.get("status") != "firing" or since is None:
        return None
    symptom = str(alerts[known])
    told = hashlib.sha256("\n".join((environment, symptom, since)).encode()).hexdigest()[:12]
    return {"name": known, "symptom": symptom, "environment": environment, "since": since, "plan": f"plan-{told}"}


def _moment(given: Any) -> str | None:
    """Return a time as it is told everywhere else, None when it is none."""
    found = _MOMENT.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        return None
    try:
        moment = datetime.fromisoformat(found[1] + found[2].replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
