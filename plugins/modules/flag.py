#!/usr/bin/python
# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: flag
short_description: Set flags in every running process, and prove it
version_added: 0.1.0
description:
  - Makes the given flags hold in the declared state (env file, unit) and in every running instance of many workloads.
  - Reads all workloads in parallel, edits only the value that wins and keeps every other byte, rolls a workload if and
    only if one of its instances holds another value, and reads every instance again until all hold the values.
  - All flags of a call go in one change and one roll, so that no forbidden combination is ever held in between.
  - Bad input of any kind (an unknown flag, a value that is no boolean, an env file that can't be read, a stale pidfile,
    a masked unit) is found before anything is changed.
author:
  - dualwrite.rollback contributors (@dualwrite)
extends_documentation_fragment:
  - dualwrite.rollback.attributes
  - dualwrite.rollback.workloads
  - dualwrite.rollback.deadline
  - dualwrite.rollback.lock
attributes:
  idempotent:
    description: A second call changes nothing and rolls nothing.
    support: full
options:
  flags:
    description: The flags to set, name to boolean.
    type: dict
    required: true
  known_flags:
    description:
      - The names of all flags that the application has. A name in O(flags) that is not among them is refused.
      - The state of all of them is in the result.
    type: list
    elements: str
    required: true
  allowed_combinations:
    description:
      - The combinations of flags that may be declared after the change. Each names the flags it speaks of.
      - Nothing is changed when a workload's flags would match none of them. An empty list allows everything.
    type: list
    elements: dict
    default: []
  identity:
    description:
      - Facts that the target must tell of itself before it is changed, for instance C(hostname) or C(machine_id), and
        C(unit) or C(pidfile) of each workload.
      - When one differs, nothing is changed.
    type: dict
    default: {}
  on_failure:
    description:
      - What becomes of the change when a workload does not start with it.
      - With V(undo) the change is taken back, and that workload and all that share a changed file run with the old
        values again. With V(keep) it stays as it is.
      - When instances run but hold another value, nothing is taken back.
    type: str
    choices: [undo, keep]
    default: undo
  on_unlisted:
    description:
      - What to do when something that is part of none of O(workloads) holds another value after the change, a process
        of the host for instance that has one of the flags in its environment, a container of the same Compose project,
        or a pod or CronJob of the same namespace.
      - With V(warn) it is named in a warning, with V(fail) the call fails. The flags are set either way.
    type: str
    choices: [warn, fail]
    default: warn
    version_added: 0.2.0
notes:
  - The call fails when a workload does not run, since nothing alive can prove anything then. Its flags are declared all
    the same, and the other workloads are changed. The workload option C(may_be_stopped) makes it no failure.
  - Changes of one user on one host wait for each other.
seealso:
  - module: dualwrite.rollback.flag_info
  - module: dualwrite.rollback.health_probe
"""

EXAMPLES = r"""
- name: Switch the dual write off in web and worker, which share an env file
  dualwrite.rollback.flag:
    flags:
      DUAL_WRITE_ENABLED: false
    known_flags: [DUAL_WRITE_ENABLED, DUAL_WRITE_STRICT]
    workloads:
      - name: web
        platform: pidfile
        options:
          pidfile: /run/shop/web.pid
          cmdline_match: gunicorn.*shop
          env_file: /etc/shop/app.env
          state_file: /run/shop/instances/{pid}.json
          start_command: /opt/shop/bin/start-web
          roll: [reload, restart]
      - name: worker
        platform: pidfile
        options:
          pidfile: /run/shop/worker.pid
          cmdline_match: shop-worker
          env_file: /etc/shop/app.env
          start_command: /opt/shop/bin/start-worker

- name: The same for units, with a guard against a forbidden combination
  dualwrite.rollback.flag:
    flags:
      DUAL_WRITE_ENABLED: false
      DUAL_WRITE_STRICT: false
    known_flags: [DUAL_WRITE_ENABLED, DUAL_WRITE_STRICT]
    allowed_combinations:
      - {DUAL_WRITE_ENABLED: true}
      - {DUAL_WRITE_ENABLED: false, DUAL_WRITE_STRICT: false}
    boolean_words:
      "true": ["True", "1"]
      "false": ["False", "0"]
    identity:
      hostname: web-1.example.org
    workloads:
      - name: web
        platform: systemd
        options: {unit: shop-web.service}
      - name: nightly import
        platform: systemd
        options: {unit: shop-import.service, may_be_stopped: true}
    timeout: 60
"""

RETURN = r"""
summary:
  description: What holds now, in one line.
  returned: success
  type: str
  sample: DUAL_WRITE_ENABLED=false held by 5 of 5 instances of web, worker; reload, restart 0.8 s
flags:
  description: The flags that were asked for, as booleans.
  returned: once everything was read, also on failure
  type: dict
  sample: {DUAL_WRITE_ENABLED: false}
before:
  description: Per workload and known flag what was declared, where, and what each instance held.
  returned: once everything was read, also on failure
  type: dict
  sample:
    web:
      DUAL_WRITE_ENABLED:
        declared: "true"
        source: /etc/shop/app.env:12
        effective: {master 4242: "true", worker 4243: "true"}
after:
  description: The same after the change.
  returned: when the change was made, also on failure
  type: dict
  sample:
    web:
      DUAL_WRITE_ENABLED:
        declared: "false"
        source: /etc/shop/app.env:12
        effective: {master 4242: "false", worker 4250: "false"}
instances:
  description: Every instance that runs now.
  returned: once everything was read, also on failure
  type: list
  elements: dict
  sample:
    - workload: web
      id: "4250:981231"
      name: worker 4250
      role: worker
      started: "2026-01-25T18:00:01.300Z"
      flags: {DUAL_WRITE_ENABLED: "false"}
unlisted:
  description: What holds one of O(known_flags) and is part of none of the workloads.
  returned: once everything was read, also on failure
  type: list
  elements: dict
  sample: [{name: "pid 4711 (python manage.py import_teams)", holds: {DUAL_WRITE_ENABLED: "true"}}]
notes:
  description: What the operator should see besides, shown as warnings.
  returned: once everything was read, also on failure
  type: list
  elements: str
  sample: []
rolled:
  description: The workloads that were rolled, and how.
  returned: when the change was made, also on failure
  type: dict
  sample: {web: reload, worker: restart}
roll_started:
  description: When the first roll began, ISO 8601 UTC; null when nothing was rolled.
  returned: when the change was made, also on failure
  type: str
  sample: "2026-01-25T18:00:01.050Z"
roll_ended:
  description: When the last roll had ended.
  returned: when the change was made, also on failure
  type: str
  sample: "2026-01-25T18:00:01.850Z"
undone:
  description: Whether the change was taken back because a workload did not start with it.
  returned: when the change was made, also on failure
  type: bool
  sample: false
plan:
  description: What each workload would need, and why.
  returned: in check mode
  type: dict
  sample:
    web:
      declare: {DUAL_WRITE_ENABLED: "false"}
      roll: true
      reasons: [DUAL_WRITE_ENABLED is declared true, master 4242 holds DUAL_WRITE_ENABLED=true]
timings:
  description: Seconds per phase.
  returned: success
  type: dict
  sample: {wait: 0.0, read: 0.01, declare: 0.003, roll: 0.8, prove: 0.02, total: 0.84}
errors:
  description: What went wrong, per workload.
  returned: when a workload failed
  type: dict
  sample: {web: "workload 'web': 1 of 4 instances: worker 4251 still holds DUAL_WRITE_ENABLED=true."}
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run
from ansible_collections.dualwrite.rollback.plugins.module_utils.options import DEADLINE, LOCK, WORKLOADS, merge
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.flag import set_flags


def main():
    """Run the step."""
    spec = merge(
        WORKLOADS,
        DEADLINE,
        LOCK,
        flags={"type": "dict", "required": True},
        known_flags={"type": "list", "elements": "str", "required": True},
        allowed_combinations={"type": "list", "elements": "dict", "default": []},
        identity={"type": "dict", "default": {}},
        on_failure={"type": "str", "choices": ["undo", "keep"], "default": "undo"},
        on_unlisted={"type": "str", "choices": ["warn", "fail"], "default": "warn"},
    )
    run(set_flags, spec)


if __name__ == "__main__":
    main()
