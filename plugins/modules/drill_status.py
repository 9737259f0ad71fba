#!/usr/bin/python
# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_status
short_description: Say which drills are overdue, and write the page and the JUnit XML of their history
version_added: 0.2.0
description:
  - Reads the ledger of the drills and says for every environment and exercise when it last passed and when it is due.
    Needs nothing but the ledger.
  - An exercise is overdue when it has not passed for O(interval) days, or not since the beginning of its last quarter
    that is over. One that passed with issues has passed.
  - A file that was edited by hand, holds the conflict markers of a merge, or tells the same drill as another one is
    named and not counted. Files that git does not know as they are, are named and counted.
author:
  - dualwrite.rollback contributors (@dualwrite)
extends_documentation_fragment:
  - dualwrite.rollback.drills
attributes:
  check_mode:
    description: In check mode the files are not written.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  environments:
    description: Environments in which every exercise is asked for, besides those that have an entry.
    type: list
    elements: str
    default: []
  strict:
    description: Whether what is overdue, or can't be counted, is a failure. Everything is written before.
    type: bool
    default: false
seealso:
  - module: dualwrite.rollback.drill
"""

EXAMPLES = r"""
- name: Say what is overdue, and make the page
  dualwrite.rollback.drill_status:
    ledger: /var/lib/dualwrite/drills
    environments: [staging]
    page: /var/lib/dualwrite/drills.html
    junit: /var/lib/dualwrite/drills.xml
  register: drills

- name: Show it
  ansible.builtin.debug:
    msg: "{{ drills.lines }}"
"""

RETURN = r"""
summary:
  description: How many drills there are and how many are overdue.
  returned: always
  type: str
  sample: 7 drills, 1 overdue
phase:
  description: Always V(drills).
  returned: always
  type: str
status:
  description: A row per environment and exercise.
  returned: always
  type: list
  elements: dict
  contains:
    environment: {description: The environment., type: str, returned: always, sample: staging}
    exercise: {description: The exercise., type: str, returned: always, sample: disable_dual_write}
    quarter: {description: Its quarter; 0 for none., type: int, returned: always, sample: 1}
    last_passed: {description: The day on which it last passed; empty for never., type: str, returned: always}
    last_result: {description: The result of the last one., type: str, returned: always, sample: passed}
    due: {description: The last day on which it is in time., type: str, returned: always, sample: "2027-03-31"}
    overdue: {description: Whether that day is over., type: bool, returned: always, sample: false}
    why: {description: What asks for it., type: str, returned: always, sample: within 2027-Q1}
problems:
  description: Files that are not counted, and why.
  returned: always
  type: dict
uncommitted:
  description: Files that are not committed.
  returned: always
  type: list
  elements: str
notes:
  description: The same as sentences, shown as warnings.
  returned: always
  type: list
  elements: str
files:
  description: The files that O(page) and O(junit) name.
  returned: always
  type: dict
lines:
  description: The rows as lines for a person.
  returned: always
  type: list
  elements: str
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run
from ansible_collections.dualwrite.rollback.plugins.module_utils.options import DRILLS, merge
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.drill_status import drill_status


def main():
    """Run the step."""
    run(
        drill_status,
        merge(
            DRILLS,
            environments={"type": "list", "elements": "str", "default": []},
            strict={"type": "bool", "default": False},
        ),
    )


if __name__ == "__main__":
    main()
