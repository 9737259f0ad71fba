#!/usr/bin/python
# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation, options and step of the module triage."""

from __future__ import annotations

DOCUMENTATION = r"""
module: triage
short_description: Say what to do, from symptoms that are measured or stated
version_added: 0.2.0
description:
  - Measures symptoms with probes, adds those that the operator states, and makes one ordered plan of the rows of the
    decision matrix for all that are there, with urgency, reasons and the commands to type. Changes nothing.
  - A symptom is present when one of its probes fails. When none fails and one is unknown or can't be answered, the
    symptom is unknown. Unknown is never taken for absent, and the summary names it.
  - No step stands twice in the plan, the most urgent symptom comes first, a scenario that another one covers is left
    out, and the ways back come last.
author:
  - the dualwrite.rollback contributors (@dualwrite)
extends_documentation_fragment:
  - dualwrite.rollback.attributes.info
  - dualwrite.rollback.postgres
  - dualwrite.rollback.workloads.probed
  - dualwrite.rollback.workloads
attributes:
  idempotent:
    description: This module never changes anything.
    support: full
notes:
  - Probes of kind V(sql) need psycopg2 on the host that asks. All other kinds need nothing but Python.
options:
  state:
    description:
      - V(planned) measures, adds O(stated) and O(found), and returns the plan.
      - V(measured) only measures and returns what this host has seen, for the O(found) of a later call.
    type: str
    choices: [planned, measured]
    default: planned
  symptoms:
    description: How symptoms are measured on this host, all at the same time.
    type: list
    elements: dict
    default: []
    suboptions:
      symptom:
        description: The symptom's name, as in the matrix.
        type: str
        required: true
      probes:
        description: Probes in the form of M(dualwrite.rollback.health_probe), of which each passes while all is well.
        type: list
        elements: dict
        required: true
  stated:
    description: Symptoms that the operator has seen. They are present, whatever is measured; a contradiction is told.
    type: list
    elements: str
    default: []
  alerted:
    description: Symptoms that an alert of the monitoring says. Only what is measured as well is present; one that is
      measured to be absent is told as a contradiction, and one that nothing measures is unknown.
    type: list
    elements: str
    default: []
  found:
    description: What hosts have measured, as host to the result of a call with O(state=measured) there. A host whose
      result has no C(symptoms) could not be asked.
    type: dict
    default: {}
  only:
    description: Symptoms to look at, all of them when empty.
    type: list
    elements: str
    default: []
  matrix:
    description:
      - Rows that are added to the decision matrix. One of a shipped symptom takes the place of the shipped row.
      - Shipped are V(requests_failing), V(latency_degraded), V(data_inconsistent), V(duplicate_mappings),
        V(orphans_increasing), V(dual_write_failing) and V(test_data_left).
    type: list
    elements: dict
    default: []
    suboptions:
      symptom:
        description: Name of small letters, digits and underscores.
        type: str
        required: true
      label:
        description: The symptom in words, its name when not given.
        type: str
      urgency:
        description: How soon something has to be done.
        type: str
        required: true
        choices: [immediate, high, medium, low]
      reason:
        description: Why these steps help.
        type: str
      steps:
        description: What to do, in order.
        type: list
        elements: dict
        required: true
        suboptions:
          scenario:
            description: The scenario (role) to run. Either this or O(matrix[].steps[].person).
            type: str
          person:
            description: What a person has to do.
            type: str
          if_still:
            description: Whether the symptom is looked at again first, and the step done only when it is still there.
            type: bool
            default: false
  inventory:
    description: The inventories that the commands of the plan name.
    type: list
    elements: str
    default: []
  trend:
    description: Seconds between the two looks of a probe that compares a value with itself (C(change) without
      C(baseline)). Over how many it was really looked stands in the evidence, as C(over) in C(extra).
    type: float
    default: 3
  window:
    description: How many of the last seconds of logs count.
    type: float
    default: 120
  since:
    description: ISO 8601 time from which log lines count, instead of O(window).
    type: str
  patience:
    description: Seconds for which symptoms that are not absent are looked at again and again, until all are. With V(0)
      each is looked at once.
    type: float
    default: 0
  timeout:
    description: Seconds that a look may take, O(trend) not counted. What has not answered by then is not known.
    type: float
    default: 20
seealso:
  - module: dualwrite.rollback.health_probe
"""

EXAMPLES = r"""
- name: What has to be done when requests fail and test data is left
  dualwrite.rollback.triage:
    stated: [requests_failing, test_data_left]
    inventory: [staging]

- name: Measure, with a row of one's own in the matrix
  dualwrite.rollback.triage:
    window: 600
    symptoms:
      - symptom: requests_failing
        probes:
          - name: the application answers
            kind: http
            url: "{{ app_url }}/health/"
            max_latency: 2
      - symptom: payments_doubled
        probes:
          - name: no payment event is written twice
            kind: log
            paths: "{{ app_logs }}"
            pattern: payment_event_doubled
    matrix:
      - symptom: payments_doubled
        label: Customers pay twice
        urgency: immediate
        reason: Both models send the payment's event
        steps:
          - scenario: disable_dual_write
          - person: Tell the payments team
  register: triage

- name: Say what to do
  ansible.builtin.debug:
    msg: "{{ triage.lines }}"
"""

RETURN = r"""
summary:
  description: Urgency, symptoms and what could not be measured, in one line.
  returned: always
  type: str
  sample: "IMMEDIATE: requests_failing; 2 steps"
phase:
  description: V(triage), or V(measure) with O(state=measured).
  returned: always
  type: str
symptoms:
  description: What is known of each symptom.
  returned: always
  type: list
  elements: dict
  contains:
    symptom: {description: Its name., type: str, returned: always, sample: requests_failing}
    label: {description: It in words., type: str, returned: always, sample: Requests fail (500 errors)}
    urgency: {description: How soon something has to be done., type: str, returned: always, sample: immediate}
    state: {description: V(present); V(absent); V(unknown) or V(not measured)., type: str, returned: always}
    measured: {description: The same by measurement alone., type: str, returned: always, sample: present}
    stated: {description: Whether the operator has stated it., type: bool, returned: always, sample: false}
    alerted: {description: Whether an alert says it., type: bool, returned: always, sample: false}
    contradiction:
      description: Whether it is stated or alerted, and measured to be absent.
      type: bool
      returned: always
    evidence:
      description: The answers of its probes, in the form of M(dualwrite.rollback.health_probe), with C(host) where
        another host has measured.
      type: list
      elements: dict
      returned: always
present:
  description: The symptoms that are there.
  returned: when O(state=planned)
  type: list
  elements: str
  sample: [requests_failing]
unknown:
  description: The symptoms that were to be measured and could not be.
  returned: when O(state=planned)
  type: list
  elements: str
  sample: []
silent_hosts:
  description: The hosts of O(found) that have told nothing.
  returned: when O(state=planned)
  type: list
  elements: str
  sample: []
urgency:
  description: The highest urgency, null when nothing has to be done.
  returned: when O(state=planned)
  type: str
  sample: immediate
plan:
  description: The steps, in the order in which they are to be done.
  returned: when O(state=planned)
  type: list
  elements: dict
  contains:
    number: {description: Counted from 1., type: int, returned: always, sample: 1}
    scenario: {description: The scenario to run; empty when a person has to act., type: str, returned: always}
    person: {description: What a person has to do; empty for a scenario., type: str, returned: always}
    urgency: {description: Of the most urgent symptom., type: str, returned: always, sample: immediate}
    symptoms: {description: The symptoms that it is for., type: list, elements: str, returned: always}
    reason: {description: Why it helps., type: str, returned: always}
    only_if_still: {description: Do it only while one of these is there., type: list, elements: str, returned: always}
    runs:
      description: Whether the playbook C(triage.yml) may run it by itself. Steps after a person's work, ways back and
        steps that remove something never are.
      type: bool
      returned: always
    command: {description: What to type for it., type: str, returned: always}
lines:
  description: Symptoms with evidence, and the plan, as lines for a person.
  returned: when O(state=planned)
  type: list
  elements: str
timings:
  description: Seconds spent per phase.
  returned: always
  type: dict
  sample: {"measure": 0.2, "total": 0.2}
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run
from ansible_collections.dualwrite.rollback.plugins.module_utils.options import (
    MATRIX,
    POSTGRES,
    WORKLOADS,
    merge,
    optional,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.triage import triage

SPEC = merge(
    POSTGRES,
    optional(WORKLOADS, "workloads"),
    MATRIX,
    state={"type": "str", "choices": ["planned", "measured"], "default": "planned"},
    stated={"type": "list", "elements": "str", "default": []},
    alerted={"type": "list", "elements": "str", "default": []},
    found={"type": "dict", "default": {}},
    only={"type": "list", "elements": "str", "default": []},
    inventory={"type": "list", "elements": "str", "default": []},
    trend={"type": "float", "default": 3},
    window={"type": "float", "default": 120},
    since={"type": "str"},
    patience={"type": "float", "default": 0},
    timeout={"type": "float", "default": 20},
)


def main() -> None:
    """Measure, and plan what the matrix says."""
    run(triage, SPEC)


if __name__ == "__main__":
    main()
