#!/usr/bin/python
# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation, options and step of the module health_probe."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health_probe
short_description: Ask probes until all hold, with evidence
version_added: 0.1.0
description:
  - Asks a list of probes at once, and again, until all of them have passed for O(hold) seconds without a break, or
    until O(timeout) passes.
  - Each probe answers V(pass), V(fail), V(unknown) or V(error), with the value seen, its place and its time. Nothing
    looked at, a missing setting, no row, or the silence of a log that shows no life are V(unknown). Only V(pass)
    passes.
  - Fails unless every probe passes. The failure holds all the evidence, and its message names each probe that does not
    pass with place and value.
  - Wrong options are refused in one sentence before anything is asked.
author:
  - the dualwrite.rollback contributors (@dualwrite)
extends_documentation_fragment:
  - dualwrite.rollback.attributes
  - dualwrite.rollback.deadline
  - dualwrite.rollback.postgres
  - dualwrite.rollback.probes
  - dualwrite.rollback.workloads.probed
  - dualwrite.rollback.workloads
attributes:
  check_mode:
    details: Everything is asked as always, but probes that write (O(first) and O(last)) are listed and not sent.
  diff_mode:
    support: N/A
    details: This module changes nothing but what a writing probe sends.
notes:
  - Probes of kind V(sql) need psycopg2 on the host that asks. All other kinds need nothing but Python.
options:
  hold:
    description: Seconds for which all probes must pass without a break. With V(0) one full round is enough.
    type: float
    default: 0
  interval:
    description: Seconds between two rounds.
    type: float
    default: 0.5
  retry:
    description: Whether O(probes) are asked again until all of them pass. When not, each is asked once.
    type: bool
    default: true
    version_added: 0.2.0
  since:
    description: ISO 8601 time from which log lines count, for instance the end of a roll. The start of this call when
      not given.
    type: str
  flags:
    description: Flags and the booleans that they must have, for probes of kind V(process_env) that name none.
    type: dict
seealso:
  - module: dualwrite.rollback.flag
  - module: dualwrite.rollback.run_record
"""

EXAMPLES = r"""
- name: The application is healthy, three seconds on end
  dualwrite.rollback.health_probe:
    hold: 3
    timeout: 60
    probes:
      - name: health
        kind: http
        url: "{{ app_url }}/health/"
        json:
          status: healthy
        max_latency: 1

- name: Dual-write is off in every process, in the application's own words, and in its logs since the roll
  dualwrite.rollback.health_probe:
    workloads: "{{ app_workloads }}"
    flags: "{{ app_flags }}"
    since: "{{ rolled_at }}"
    hold: 3
    probes:
      - name: every process
        kind: process_env
      - name: the application's own answer
        kind: settings
        workload: web
        argv: "{{ app_manage + ['effective_flags'] }}"
        expect: "{{ app_flags }}"
        once: true
      - name: no dual-write in the logs
        kind: log
        paths: "{{ app_logs }}"
        pattern: dual_write_scheduled
        alive_pattern: request
        history: 60

- name: A canary reaches the new model and not the old one, and is removed whatever happens
  dualwrite.rollback.health_probe:
    login_host: "{{ app_database.login_host }}"
    login_port: "{{ app_database.login_port }}"
    login_user: "{{ app_database.login_user }}"
    login_db: "{{ app_database.login_db }}"
    passfile: "{{ app_database.passfile }}"
    first:
      - name: create the canary
        kind: http
        method: POST
        url: "{{ app_create_url }}"
        headers_from:
          Authorization:
            file: "{{ app_token_file }}"
            prefix: "Token "
        body:
          name: canary of the example
        status: [201]
        remember:
          canary: slug
    probes:
      - name: the new model grows
        kind: sql
        query: "SELECT count(*) FROM {{ app_new_table }}"
        change: increase
      - name: no canary in the old model
        kind: sql
        query: "SELECT count(*) FROM {{ app_old_table }} WHERE name = %(name)s"
        parameters:
          name: canary of the example
        equals: 0
    last:
      - name: remove the canary
        kind: http
        method: DELETE
        url: "{{ app_teams_url }}{canary}/"
        headers_from:
          Authorization:
            file: "{{ app_token_file }}"
            prefix: "Token "

- name: Errors are no more than twice what they were an hour ago
  dualwrite.rollback.health_probe:
    probes:
      - name: error rate
        kind: metric
        url: "{{ prometheus_url }}"
        query: sum(rate(app_errors_total[1m]))
        baseline_offset: 3600
        max_ratio: 2
"""

RETURN = r"""
summary:
  description: One line for people.
  returned: always
  type: str
  sample: 9 of 9 probes pass, quiet for 5.0 s
answers:
  description: How many probes gave which latest answer.
  returned: always
  type: dict
  sample: {"pass": 9, "fail": 0, "unknown": 0, "error": 0}
evidence:
  description: Each probe's latest answer, in the order first, probes, last.
  returned: always
  type: list
  elements: dict
  contains:
    probe: {description: The probe's name., type: str, returned: always, sample: health}
    kind: {description: Its kind., type: str, returned: always, sample: http}
    answer: {description: V(pass); V(fail); V(unknown) or V(error)., type: str, returned: always, sample: pass}
    value: {description: What was seen., type: raw, returned: always, sample: {"status": 200}}
    detail: {description: One sentence that says why., type: str, returned: always, sample: status is 200}
    where: {description: URL; files; database or workloads., type: str, returned: always, sample: db.example.com}
    at: {description: When it was asked., type: str, returned: always, sample: "2026-01-25T18:00:05.123Z"}
    took: {description: Seconds until the answer., type: float, returned: always, sample: 0.012}
    extra:
      description:
        - C(stage); C(asked) times; C(answers) counted; the C(first) answer; seconds C(held) without a break; C(final)
          when asking again can't help.
        - Kind V(log) adds C(since), C(sources) (lines, matches and newest line of each) and, with C(history),
          C(series), which is C([epoch second, matches]) for every second of each source.
        - Kind V(process_env) adds C(instances), each with what it holds.
      type: dict
      returned: always
      sample: {"stage": "probes", "asked": 7, "held": 3.0}
would_ask:
  description: In check mode, the names of the probes that write and were not sent.
  returned: always
  type: list
  elements: str
  sample: []
watch_start:
  description: When the watch began.
  returned: always
  type: str
  sample: "2026-01-25T18:00:00.000Z"
watch_end:
  description: When the watch ended.
  returned: always
  type: str
  sample: "2026-01-25T18:00:05.250Z"
timings:
  description: Seconds spent per phase.
  returned: always
  type: dict
  sample: {"first": 0.1, "watch": 5.3, "last": 0.1, "total": 5.5}
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run
from ansible_collections.dualwrite.rollback.plugins.module_utils.options import (
    DEADLINE,
    POSTGRES,
    PROBES,
    WORKLOADS,
    merge,
    optional,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.health_probe import health_probe


def main() -> None:
    """Ask the probes that the module's options describe."""
    run(
        health_probe,
        merge(
            PROBES,
            DEADLINE,
            POSTGRES,
            optional(WORKLOADS, "workloads"),
            hold={"type": "float", "default": 0},
            interval={"type": "float", "default": 0.5},
            retry={"type": "bool", "default": True},
            since={"type": "str"},
            flags={"type": "dict"},
        ),
    )


if __name__ == "__main__":
    main()
