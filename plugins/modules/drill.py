#!/usr/bin/python
# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drill
short_description: Choose a drill, keep the plan of what has to be put back, and write its entry in the ledger
version_added: 0.2.0
description:
  - The bookkeeping of the playbook C(drill.yml). The plan of a drill is on disk before anything is set up, so that what
    a killed drill has left is put back by the next one.
  - Runs on the controller, without a connection to the host; an action plugin of the same name does the work.
author:
  - dualwrite.rollback contributors (@dualwrite)
extends_documentation_fragment:
  - dualwrite.rollback.drills
attributes:
  check_mode:
    description: In check mode a drill is chosen and nothing is written.
    support: full
  diff_mode:
    description: There is nothing to compare; a ledger only grows.
    support: none
options:
  state:
    description:
      - V(opened) chooses the exercise behind the guard and returns what a killed drill has left. It is refused while
        another drill of the environment is under way.
      - V(held) judges what M(dualwrite.rollback.flag_info) has read on a host, and is refused unless all its instances
        agree.
      - V(planned) writes the plan.
      - V(marked) adds the time of a phase to it.
      - V(closed) writes the entry, removes the plan when all is put back, and fails unless the drill was good.
    type: str
    choices: [opened, held, planned, marked, closed]
    required: true
  environment:
    description: The environment's name; needed for O(state=opened).
    type: str
  drill:
    description: The exercise by its name, its scenario or its quarter (V(q3)); that of the current quarter when empty.
    type: str
  flags:
    description: The names of the flags, as short name to the application's own.
    type: dict
    default: {}
  boolean_words:
    description: The words that the application takes for true and for false.
    type: dict
    default: {}
  reports:
    description: The folder on the controller below which runs, and the plan of a drill, are kept.
    type: path
    default: reports
  operator:
    description: Who started the drill. Found out as by M(dualwrite.rollback.run_record).
    type: str
  reason:
    description: Why. Required when O(protected=true).
    type: str
  ticket:
    description: A ticket. Required when O(protected=true).
    type: str
  protected:
    description: Whether the environment asks for a confirmation, a reason, a ticket and O(drill_confirm).
    type: bool
    default: false
  confirm:
    description: The environment's name again, when O(protected=true).
    type: str
  drill_confirm:
    description: The environment's name once more, for the drill itself, when O(protected=true).
    type: str
  recover:
    description:
      - Whether only what a killed drill has left is to be put back, also when it can't be seen to be dead.
      - The locks of the runs that it had begun are taken over as well.
    type: bool
    default: false
  hosts:
    description: All hosts of the play. Defaults to them.
    type: list
    elements: str
  controller:
    description: What tells the controlling process from every other. Found out when it is not given.
    type: dict
  read:
    description: The registered result of M(dualwrite.rollback.flag_info), for O(state=held).
    type: dict
  plan:
    description: The plan as O(state=opened) or a later call returned it.
    type: dict
  held:
    description: What every host held before, as host to RV(held); for O(state=planned).
    type: dict
  phase:
    description: The phase that has just ended.
    type: str
  good:
    description: Whether it ended well.
    type: bool
    default: true
  problems:
    description: What went wrong, as host to a list of texts; for O(state=closed).
    type: dict
    default: {}
  put_back:
    description: Whether all is as it was before.
    type: bool
    default: false
  refused:
    description: Whether the steady state was not there, so that nothing was set up.
    type: bool
    default: false
  recovered:
    description: Whether this is the end of a killed drill.
    type: bool
    default: false
  run_path:
    description: The folder of the scenario's run.
    type: str
  healed_at:
    description: The time at which somebody else had healed the fault.
    type: str
  budget:
    description: Seconds that the response may take.
    type: float
    default: 300
  environments:
    description: Further environments that the page shows.
    type: list
    elements: str
    default: []
seealso:
  - module: dualwrite.rollback.drill_fault
  - module: dualwrite.rollback.drill_status
"""

EXAMPLES = r"""
- name: Choose the drill of the third quarter
  dualwrite.rollback.drill:
    state: opened
    environment: staging
    drill: q3
    flags: {dual_write: DUAL_WRITE_ENABLED, strict_mode: DUAL_WRITE_STRICT}
    reports: /var/lib/dualwrite/reports
  register: opened
  run_once: true

- name: Write the drill into the ledger that was refused
  dualwrite.rollback.drill:
    state: closed
    plan: "{{ opened.plan }}"
    refused: true
    put_back: true
    problems: {web-1: ["not steady: p95 latency is 3.1 s"]}
    ledger: /var/lib/dualwrite/drills
  register: closed
  failed_when: closed.result != 'refused'
  run_once: true
"""

RETURN = r"""
summary:
  description: What was done, in one line.
  returned: always
  type: str
phase:
  description: Always V(drill).
  returned: always
  type: str
plan:
  description: The drill (drill_id, exercise, scenario, flags, quarter, started, phases, ...).
  returned: when O(state) is V(opened), V(planned) or V(marked)
  type: dict
left:
  description: The plan of a killed drill, empty without one.
  returned: when O(state=opened)
  type: dict
left_runs:
  description: The runs that the killed drill had begun.
  returned: when O(state=opened)
  type: list
  elements: str
drills:
  description: Whether a drill follows, and not only the end of a killed one.
  returned: when O(state=opened)
  type: bool
takeover_of:
  description:
    - Runs and drills whose controlling process is gone, and whose locks may be taken over. With O(recover=true) also
      RV(left_runs), whether their processes can be seen or not.
  returned: when O(state=opened)
  type: list
  elements: str
held:
  description: The flags that every instance of the host holds.
  returned: when O(state=held)
  type: dict
at:
  description: When the phase had ended.
  returned: when O(state=marked)
  type: str
result:
  description: V(passed), V(issues found), V(failed), V(refused) or V(recovered).
  returned: when O(state=closed)
  type: str
entry:
  description: What stands in the ledger.
  returned: when O(state=closed)
  type: dict
ledger:
  description: The file of the entry; commit it.
  returned: when O(state=closed)
  type: str
committed:
  description: Whether git knows the file already.
  returned: when O(state=closed)
  type: bool
files:
  description: The page and the XML that were written.
  returned: when O(state=closed)
  type: dict
notes:
  description: What the operator should see, shown as warnings.
  returned: when O(state=closed)
  type: list
  elements: str
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run
from ansible_collections.dualwrite.rollback.plugins.module_utils.options import DRILLS, merge
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.drill import drill

SPEC = {
    **merge(
        DRILLS,
        state={"type": "str", "choices": ["opened", "held", "planned", "marked", "closed"], "required": True},
        environment={"type": "str"},
        drill={"type": "str"},
        flags={"type": "dict", "default": {}},
        boolean_words={"type": "dict", "default": {}},
        reports={"type": "path", "default": "reports"},
        operator={"type": "str"},
        reason={"type": "str"},
        ticket={"type": "str"},
        protected={"type": "bool", "default": False},
        confirm={"type": "str"},
        drill_confirm={"type": "str"},
        recover={"type": "bool", "default": False},
        hosts={"type": "list", "elements": "str"},
        controller={"type": "dict"},
        read={"type": "dict"},
        plan={"type": "dict"},
        held={"type": "dict"},
        phase={"type": "str"},
        good={"type": "bool", "default": True},
        problems={"type": "dict", "default": {}},
        put_back={"type": "bool", "default": False},
        refused={"type": "bool", "default": False},
        recovered={"type": "bool", "default": False},
        run_path={"type": "str"},
        healed_at={"type": "str"},
        budget={"type": "float", "default": 300},
        environments={"type": "list", "elements": "str", "default": []},
    ),
    "required_if": [
        ["state", "opened", ["environment"]],
        ["state", "held", ["read"]],
        ["state", "planned", ["plan", "held"]],
        ["state", "marked", ["plan", "phase"]],
        ["state", "closed", ["plan"]],
    ],
}


def main():
    """Run the step."""
    run(drill, SPEC)


if __name__ == "__main__":
    main()
