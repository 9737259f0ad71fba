#!/usr/bin/python
# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: notify
short_description: Tell people of a run, from its record
version_added: 0.2.0
description:
  - Fills the runbook's communication template from a run's record and sends it to all channels at once, as a Markdown
    file, a Slack message, an e-mail, JSON to any webhook, or a Grafana annotation.
  - A channel that does not take the notice is told and written into the record. The task never fails of it.
  - A channel is told of an event of a run once; a run that goes on after a dead one does not say again that it starts.
  - Runs on the controller, without a connection to the host; an action plugin of the same name does the work.
  - No secret of a channel is shown, returned or written down.
author:
  - dualwrite.rollback contributors (@dualwrite)
attributes:
  check_mode:
    description: In check mode nobody is told.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  event:
    description:
      - V(start) tells that the run has begun, V(end) how it has ended. Where a host is not proved, V(end) goes to the
        channels that want the event C(failure).
    type: str
    choices: [start, end]
    required: true
  path:
    description: The run's folder as M(dualwrite.rollback.run_record) returned it. Empty in check mode.
    type: str
    required: true
  notices:
    description:
      - The channels, each a dict with C(kind) (C(file), C(slack), C(mail), C(webhook), C(grafana) or C(module)).
      - The guide to notices says what each kind takes.
    type: list
    elements: dict
    default: []
  contacts:
    description: Who is called for what, as a dict of roles, each with C(name), C(reach), C(urgencies) and C(slack_id).
    type: dict
    default: {}
  urgency:
    description: How urgent the run is; that of its scenario when not given. A failed run is one step more urgent.
    type: str
    choices: ["", low, medium, high, immediate]
    default: ""
  background:
    description: Whether O(event=start) is told in a process of its own, so that no slow endpoint holds the run up.
    type: bool
    default: true
  problem:
    description: Why nobody can be told at all; it is written down instead.
    type: str
    default: ""
  template_dir:
    description: A folder on the controller with your own C(notice.md.j2).
    type: path
"""

EXAMPLES = r"""
- name: Tell how the run has ended
  dualwrite.rollback.notify:
    event: end
    path: "{{ run.path }}"
    notices:
      - kind: file
        path: /var/lib/dualwrite/notices
      - kind: mail
        host: mail.shop.internal
        from: rollback@shop.internal
        to: [oncall@shop.internal]
        events: [failure]
    contacts:
      on_call_engineer:
        name: whoever is on call
        reach: "Slack @oncall-engineering"
  run_once: true
"""

RETURN = r"""
summary:
  description: One short line on who was told.
  returned: always
  type: str
event:
  description: V(start), V(end) or V(failure).
  returned: always
  type: str
urgency:
  description: How urgent the notice is.
  returned: when somebody is told
  type: str
notices:
  description: What became of each channel (C(channel), C(kind), C(where), C(sent), C(why), C(took)).
  returned: always
  type: list
  elements: dict
not_told:
  description: A sentence for each channel that was not told.
  returned: when somebody is told
  type: list
  elements: str
phase:
  description: The phase's short name for one line on the screen.
  returned: always
  type: str
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.notify import notify

SPEC = {
    "argument_spec": {
        "event": {"type": "str", "choices": ["start", "end"], "required": True},
        "path": {"type": "str", "required": True},
        "notices": {"type": "list", "elements": "dict", "default": []},
        "contacts": {"type": "dict", "default": {}},
        "urgency": {"type": "str", "choices": ["", "low", "medium", "high", "immediate"], "default": ""},
        "background": {"type": "bool", "default": True},
        "problem": {"type": "str", "default": ""},
        "template_dir": {"type": "path"},
    },
}


def main():
    run(notify, SPEC)


if __name__ == "__main__":
    main()
