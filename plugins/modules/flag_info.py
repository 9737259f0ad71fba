#!/usr/bin/python
# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: flag_info
short_description: Read flags from every running process, and where they are declared
version_added: 0.1.0
description:
  - Tells, for each workload and flag, what is declared and where, which other places lose against that, and what every
    running instance holds.
  - Says so when an instance holds another value than the next start would (drift). Changes nothing.
author:
  - dualwrite.rollback contributors (@dualwrite)
extends_documentation_fragment:
  - dualwrite.rollback.attributes.info
  - dualwrite.rollback.workloads
attributes:
  idempotent:
    description: This module never changes anything.
    support: full
options:
  flags:
    description: The names of the flags to read.
    type: list
    elements: str
    required: true
seealso:
  - module: dualwrite.rollback.flag
"""

EXAMPLES = r"""
- name: See what a unit and a pidfile process hold
  dualwrite.rollback.flag_info:
    flags: [DUAL_WRITE_ENABLED, DUAL_WRITE_STRICT]
    workloads:
      - name: web
        platform: systemd
        options: {unit: shop-web.service}
      - name: worker
        platform: pidfile
        options:
          pidfile: /run/shop/worker.pid
          cmdline_match: shop-worker
          env_file: /etc/shop/app.env
          roll: [reload]
  register: flags

- name: Say where they differ
  ansible.builtin.debug:
    msg: "{{ flags.summary }}"
  when: flags.drift
"""

RETURN = r"""
summary:
  description: What was read, in one line.
  returned: success
  type: str
  sample: "2 flags read in 5 instances of web, worker; declared and effective differ: DUAL_WRITE_ENABLED of web"
workloads:
  description:
    - Per workload and flag what is C(declared) (raw text, null when missing), its C(source) and the C(shadowed) places
      that lose, what it means (C(value), null when missing or no known word), what each instance holds (C(effective)),
      whether an instance differs (C(drift)), and whether anything is C(running).
  returned: always, for the workloads that could be read
  type: dict
  sample:
    web:
      DUAL_WRITE_ENABLED:
        declared: "false"
        value: false
        source: /etc/shop/app.env:12
        shadowed: [/etc/systemd/system/shop-web.service:8]
        effective: {master 4242: "true", worker 4243: "true"}
        drift: true
        running: true
instances:
  description: Every instance that runs.
  returned: always, for the workloads that could be read
  type: list
  elements: dict
  sample:
    - workload: web
      id: "4242:981200"
      name: master 4242
      role: master
      started: "2026-01-25T17:00:01.300Z"
      flags: {DUAL_WRITE_ENABLED: "true"}
identity:
  description: Per workload the facts that M(dualwrite.rollback.flag) compares with its option C(identity).
  returned: always, for the workloads that could be read
  type: dict
  sample: {web: {hostname: web-1.example.org, machine_id: 0f1e2d3c4b5a69788796a5b4c3d2e1f0, unit: shop-web.service}}
drift:
  description: Whether any instance of any workload holds another value than is declared.
  returned: always
  type: bool
  sample: true
notes:
  description: What the operator should see besides, shown as warnings (who is paused and since when, for instance).
  returned: always, for the workloads that could be read
  type: list
  elements: str
  sample: []
timings:
  description: Seconds per phase.
  returned: always
  type: dict
  sample: {read: 0.01, total: 0.01}
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run
from ansible_collections.dualwrite.rollback.plugins.module_utils.options import WORKLOADS, merge
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.flag_info import read_flags


def main():
    """Run the step."""
    run(read_flags, merge(WORKLOADS, flags={"type": "list", "elements": "str", "required": True}))


if __name__ == "__main__":
    main()
