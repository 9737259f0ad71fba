# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let nothing of an approval into a rulebook but a plan's name, who approves, and a ticket."""

from __future__ import annotations

import logging
import re
from typing import Any

DOCUMENTATION = r"""
---
short_description: Turn what a person sends to approve a plan into an event of checked values
description:
  - A message that names no plan, nobody who approves, or no ticket, is dropped. So is one with anything in these but
    letters, digits and a few signs.
"""

EXAMPLES = r"""
- eda.builtin.webhook:
    port: 5002
  filters:
    - dualwrite.rollback.select_approvals:
"""

LOGGER = logging.getLogger("dualwrite.rollback.select_approvals")
_RULES = {
    "plan": re.compile(r"plan-[0-9a-f]{12}", re.ASCII),
    "approver": re.compile(r"[A-Za-z][A-Za-z0-9._@-]{0,63}", re.ASCII),
    "ticket": re.compile(r"[A-Za-z][A-Za-z0-9._/#:-]{0,127}", re.ASCII),
}


def main(event: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one event ``{"approval": {plan, approver, ticket}}``, or none."""
    payload = event.get("payload")
    approval = {}
    for key, rule in _RULES.items():
        value = payload.get(key) if isinstance(payload, dict) else None
        if not isinstance(value, str) or not rule.fullmatch(value):
            LOGGER.warning("dropped an approval: its %s is missing or not written as it should be", key)
            return []
        approval[key] = value
    return [{"approval": approval}]
