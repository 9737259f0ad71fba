#!/usr/bin/python
# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: workload
short_description: Stop and start workloads, and remember what ran
version_added: 0.2.0
description:
  - Stops, starts or restarts many workloads at once and waits until their instances are gone, or run and stay.
  - What ran when a workload was stopped is remembered on the workload itself, so that any controller can start it again
    as it was, and what did not run then is not started.
author:
  - dualwrite.rollback contributors (@dualwrite)
extends_documentation_fragment:
  - dualwrite.rollback.attributes
  - dualwrite.rollback.workloads
  - dualwrite.rollback.deadline
  - dualwrite.rollback.lock
attributes:
  idempotent:
    description: A second call changes nothing, except with O(state=restarted).
    support: partial
options:
  state:
    description:
      - V(stopped) ends every instance.
      - V(started) starts the workloads of which no instance runs, except those that did not run either when this module
        stopped them.
      - V(restarted) stops and starts the workloads that run.
    type: str
    choices: [stopped, started, restarted]
    required: true
  identity:
    description: Facts that the target must tell of itself before anything is done, as in M(dualwrite.rollback.flag).
    type: dict
    default: {}
seealso:
  - module: dualwrite.rollback.flag
"""

EXAMPLES = r"""
- name: Stop what writes to the database
  dualwrite.rollback.workload:
    state: stopped
    workloads:
      - name: web
        platform: systemd
        options: {unit: shop-web.service}
      - name: worker
        platform: systemd
        options: {unit: shop-import.service}

- name: Start it again as it was
  dualwrite.rollback.workload:
    state: started
    workloads:
      - name: web
        platform: systemd
        options: {unit: shop-web.service}
      - name: worker
        platform: systemd
        options: {unit: shop-import.service}
    timeout: 60
"""

RETURN = r"""
summary:
  description: What was done and what runs now, in one line.
  returned: success
  type: str
  sample: "stopped: web, worker; instances: web 0, worker 0"
before:
  description: Per workload how many instances ran.
  returned: once everything was read, also on failure
  type: dict
  sample: {web: {instances: 4}, worker: {instances: 1}}
after:
  description: The same afterwards. In check mode null where the number can't be known.
  returned: once everything was read, also on failure
  type: dict
  sample: {web: {instances: 0}, worker: {instances: 0}}
notes:
  description: What an operator should know besides, as who is paused while the workloads rest. Not in check mode.
  returned: once everything was read, also on failure
  type: list
  elements: str
  sample: []
timings:
  description: Seconds per phase.
  returned: once everything was read, also on failure
  type: dict
  sample: {wait: 0.0, read: 0.01, stopped: 0.8, total: 0.82}
errors:
  description: What went wrong, per workload.
  returned: when a workload failed
  type: dict
  sample: {web: "workload 'web': 1 instances still run."}
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run
from ansible_collections.dualwrite.rollback.plugins.module_utils.options import DEADLINE, LOCK, WORKLOADS, merge
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.workload import set_workloads


def main():
    """Run the step."""
    spec = merge(
        WORKLOADS,
        DEADLINE,
        LOCK,
        state={"type": "str", "choices": ["stopped", "started", "restarted"], "required": True},
        identity={"type": "dict", "default": {}},
    )
    run(set_workloads, spec)


if __name__ == "__main__":
    main()
