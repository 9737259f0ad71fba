#!/usr/bin/python
# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_record
short_description: Open, add to, close and verify a run's record, and render its report
version_added: 0.1.0
description:
  - Keeps the record of one run in C(<reports>/<environment>/<run_id>/record.jsonl), append-only JSON lines of which
    each holds the hash of the one before.
  - O(state=closed) decides what became of every host, and renders C(incident.md) and C(incident.html) from the record.
  - Runs on the controller, without a connection to the host; an action plugin of the same name does the work.
  - Secrets are hidden and long texts cut before they are written.
author:
  - dualwrite.rollback contributors (@dualwrite)
attributes:
  check_mode:
    description:
      - In check mode nothing is written. O(state=opened) returns a RV(run_id) and an empty RV(path); O(state=added) and
        O(state=closed) then do nothing.
      - A protected environment needs no confirmation in check mode.
    support: full
  diff_mode:
    description: There is nothing to compare; a record only grows.
    support: none
options:
  state:
    description:
      - V(opened) starts a run behind the guard of a protected environment.
      - V(added) appends what one phase did on one host. A result that says the host was unreachable is written down and
        then fails the task, so that a task with C(ignore_unreachable) still reaches C(rescue).
      - V(closed) ends the run and writes its report.
      - V(verified) checks the chain and fails with the first bad line.
      - V(reported) renders the report again, from the record alone.
    type: str
    choices: [opened, added, closed, verified, reported]
    required: true
  path:
    description: The run's folder as O(state=opened) returned it; needed for every other state.
    type: str
  environment:
    description: The environment's name; needed for O(state=opened).
    type: str
  scenario:
    description: The scenario's name, a part of the RV(run_id).
    type: str
    default: run
  playbook:
    description: The playbook that runs.
    type: str
  reports:
    description: The folder on the controller below which runs are kept.
    type: path
    default: reports
  operator:
    description:
      - Who started the run.
      - Defaults to the variables C(awx_user_name) or C(tower_user_name) that AWX sets, then to the environment's
        E(SUDO_USER) and E(USER).
    type: str
  reason:
    description: Why the run was started. Required when O(protected=true).
    type: str
  ticket:
    description: The incident's ticket, a name or a link. Required when O(protected=true).
    type: str
  drill:
    description:
      - The name of the drill that the run is a part of, kept in the record and shown in the report.
      - The time of the run is counted from its opening then, since what a drill does before is no part of it.
    type: str
    version_added: 0.2.0
  budget:
    description: Seconds that the run may take, counted from the start of the command.
    type: float
    default: 300
  hosts:
    description: All hosts of the play, so that one which never answers is named in the report. Defaults to them.
    type: list
    elements: str
  required_phases:
    description: The phases that must be recorded for a host before it counts as proved.
    type: list
    elements: str
    default: [verify]
  protected:
    description: Whether the environment asks for a confirmation, a reason and a ticket.
    type: bool
    default: false
  confirm:
    description: The environment's name again, when O(protected=true).
    type: str
  required:
    description:
      - With O(state=opened), whether the run is refused when O(reports) can't be written. When it is not, the record is
        kept in a private folder of the controller's user, RV(fallback) says so, the run goes on, and O(state=closed)
        names every host as failed so that it ends non-zero.
      - With O(state=added), whether a phase that can't be written down is a failure. When it is not, RV(recorded) says
        so, the run goes on, and it can't end well, because a host without a recorded proof counts as failed.
    type: bool
    default: false
  versions:
    description: Versions to keep in the record. Defaults to those of the collection, ansible-core and Python.
    type: dict
  commands:
    description: Commands to show in the report, by what they do, for instance C(undo) and C(verify).
    type: dict
  controller:
    description: What tells the controlling process from every other. Found out when it is not given.
    type: dict
  phase:
    description: The phase that is added.
    type: str
  host:
    description: The host that the phase ran on. Defaults to the task's host.
    type: str
  data:
    description: The phase's registered result, failed and unreachable ones included.
    type: dict
  contacts:
    description:
      - With O(state=opened), who is called for what, as a dict of roles, each with C(name), C(reach) and C(urgencies).
      - Whoever has an item of the checklist to do by hand is named in the report.
      - A placeholder in a protected environment is told as a warning; with O(required=true) the run is refused.
    type: dict
    default: {}
    version_added: 0.2.0
  incident_log:
    description:
      - With O(state=opened), the incident log, a file of JSON lines to which O(state=closed) adds one for the run, and
        beside it the same as Markdown. A folder gets the file C(incidents.jsonl).
      - C(<reports>/<environment>/incidents.jsonl) when not given. One that can't be written fails no run.
    type: path
    version_added: 0.2.0
  verifies:
    description:
      - With O(state=opened), the RV(run_id) of a former run that this one looks after, or V(last) for the last one of
        the environment that did something. It fails when there is none.
      - O(state=closed) then judges the whole checklist, and an item that fails or is unknown fails every host.
    type: str
    version_added: 0.2.0
  template_dir:
    description:
      - A folder on the controller with own versions of C(incident.md.j2) or C(incident.html.j2).
      - What it does not hold is taken from the collection.
    type: path
"""

EXAMPLES = r"""
- name: Open the run
  dualwrite.rollback.run_record:
    state: opened
    environment: staging
    scenario: rollback_dual_write
    reports: ./reports
    reason: Requests fail since 18:00
  register: run
  run_once: true

- name: Write down what happened on this host
  dualwrite.rollback.run_record:
    state: added
    path: "{{ run.path }}"
    phase: flag
    data: "{{ flag_result }}"

- name: Close the run and render its report
  dualwrite.rollback.run_record:
    state: closed
    path: "{{ run.path }}"
  register: outcome
  run_once: true

- name: Check that nobody changed a record
  dualwrite.rollback.run_record:
    state: verified
    path: reports/staging/20261123T103000123Z-rollback-1f2e
"""

RETURN = r"""
summary:
  description: One short line on what was done.
  returned: always
  type: str
run_id:
  description: The run's sortable name.
  returned: when O(state=opened)
  type: str
  sample: 20261123T103000123Z-rollback-dual-write-1f2e
path:
  description: The run's folder on the controller; empty in check mode.
  returned: always
  type: str
operator:
  description: Who started the run.
  returned: when O(state=opened)
  type: str
controller:
  description: The controlling process (host, pid, start time, boot id).
  returned: when O(state=opened)
  type: dict
resumes:
  description: Runs of this environment that never ended and whose controlling process is provably gone.
  returned: when O(state=opened)
  type: list
  elements: str
fallback:
  description: Whether the report folder could not be written and the record is kept elsewhere.
  returned: when O(state=opened)
  type: bool
warning:
  description: Why, and where the record is kept instead; empty otherwise.
  returned: when O(state=opened)
  type: str
verifies:
  description:
    - What the run did that is looked after (RV(run_id), C(scenario), C(started), C(ended), C(flags), C(hosts)). Empty
      for any other run.
  returned: when O(state=opened)
  type: dict
checklist:
  description: The runbook's checklist, each item with C(key), C(text), C(state), C(why) and C(owner).
  returned: when O(state=closed) and O(verifies) was given
  type: list
  elements: dict
lines:
  description: The checklist as lines for an operator.
  returned: when O(state=closed) and O(verifies) was given
  type: list
  elements: str
recorded:
  description: Whether the phase was written down.
  returned: when O(state=added)
  type: bool
ok:
  description: Whether the promise was proved on every host and nothing else went wrong.
  returned: when O(state=closed)
  type: bool
outcome:
  description: V(proved), V(partly) or V(failed); V(check) in check mode.
  returned: when O(state=closed)
  type: str
hosts:
  description:
    - The outcome of each host.
    - V(done), V(unchanged), V(failed), V(undone), V(unreachable) or V(no_answer).
  returned: when O(state=closed)
  type: dict
failed_hosts:
  description: One sentence for each host that is not proved.
  returned: when O(state=closed)
  type: dict
spent:
  description: Seconds from the start of the command.
  returned: when O(state=closed)
  type: float
over_budget:
  description: Whether that was longer than the budget.
  returned: when O(state=closed)
  type: bool
budget:
  description: Seconds that the run may take.
  returned: when O(state=opened) or O(state=closed)
  type: float
head:
  description: The hash of the record's last entry. Keep it elsewhere to notice entries cut off the end.
  returned: when O(state=closed), O(state=verified) or O(state=reported)
  type: str
files:
  description: The report's files by name.
  returned: when O(state=closed) or O(state=reported)
  type: dict
entries:
  description: How many entries the record holds.
  returned: when O(state=verified)
  type: int
torn:
  description: Torn lines at the end of the record, left by a crash in the middle of a write.
  returned: when O(state=verified)
  type: int
closed:
  description: Whether the run was ended.
  returned: when O(state=verified)
  type: bool
check_mode:
  description: Whether the run is a check run.
  returned: when O(state=opened)
  type: bool
phase:
  description: The phase's short name for one line on the screen.
  returned: always
  type: str
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.run_record import run_record

SPEC = {
    "argument_spec": {
        "state": {"type": "str", "choices": ["opened", "added", "closed", "verified", "reported"], "required": True},
        "path": {"type": "str"},
        "environment": {"type": "str"},
        "scenario": {"type": "str", "default": "run"},
        "playbook": {"type": "str"},
        "reports": {"type": "path", "default": "reports"},
        "operator": {"type": "str"},
        "reason": {"type": "str"},
        "ticket": {"type": "str"},
        "drill": {"type": "str"},
        "budget": {"type": "float", "default": 300},
        "hosts": {"type": "list", "elements": "str"},
        "required_phases": {"type": "list", "elements": "str", "default": ["verify"]},
        "protected": {"type": "bool", "default": False},
        "confirm": {"type": "str"},
        "required": {"type": "bool", "default": False},
        "versions": {"type": "dict"},
        "commands": {"type": "dict"},
        "controller": {"type": "dict"},
        "phase": {"type": "str"},
        "host": {"type": "str"},
        "data": {"type": "dict"},
        "contacts": {"type": "dict", "default": {}},
        "incident_log": {"type": "path"},
        "verifies": {"type": "str"},
        "template_dir": {"type": "path"},
    },
    "required_if": [
        ["state", "opened", ["environment"]],
        ["state", "added", ["path", "phase", "data"]],
        ["state", "closed", ["path"]],
        ["state", "verified", ["path"]],
        ["state", "reported", ["path"]],
    ],
}


def main():
    run(run_record, SPEC)


if __name__ == "__main__":
    main()
