#!/usr/bin/python
# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_fault
short_description: Set up the fault or the test data of a drill, and put it back
version_added: 0.2.0
description:
  - Does steps that the inventory gives, commands and SQL, in order. Each statement is a transaction of its own.
  - Write what is put back by what it finds (C(DROP TRIGGER IF EXISTS), C(rm -f)), since it is also done when the drill
    was killed before it had set anything up.
author:
  - dualwrite.rollback contributors (@dualwrite)
extends_documentation_fragment:
  - dualwrite.rollback.postgres
attributes:
  check_mode:
    description: In check mode the steps are looked at and none is done.
    support: full
  diff_mode:
    description: What a step changes is not known.
    support: none
  platform:
    description: Target OS/families that can be operated against.
    platforms: posix
    support: full
notes:
  - Steps of SQL need psycopg2 on the host.
options:
  state:
    description:
      - V(set_up) ends at the first step that fails.
      - V(put_back) does every step, and fails at the end when one has failed.
    type: str
    choices: [set_up, put_back]
    required: true
  steps:
    description: What to do, each either O(steps[].argv) or O(steps[].sql).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The step in words.
        type: str
      argv:
        description: The command, as a list.
        type: list
        elements: str
      chdir:
        description: The folder to run the command in.
        type: path
      environment:
        description: Further environment variables of the command.
        type: dict
      sql:
        description: The statement.
        type: str
      parameters:
        description: The values of its C(%(name)s).
        type: dict
      each_host:
        description: Whether the role does the step on every host, not only on the first. Nothing to this module.
        type: bool
        default: false
  timeout:
    description: Seconds that all steps together may take.
    type: float
    default: 120
seealso:
  - module: dualwrite.rollback.drill
"""

EXAMPLES = r"""
- name: Leave test data behind
  dualwrite.rollback.drill_fault:
    state: set_up
    login_host: db-1.example.org
    login_user: cleaner
    login_db: shop
    passfile: /etc/dualwrite/passfile
    steps:
      - name: a team of a test
        sql: INSERT INTO shop_new (name, slug) VALUES (%(name)s, 'staging-test-drill')
        parameters: {name: Staging Test drill}

- name: Take it away again
  dualwrite.rollback.drill_fault:
    state: put_back
    login_host: db-1.example.org
    login_user: cleaner
    login_db: shop
    passfile: /etc/dualwrite/passfile
    steps:
      - name: no team of the test
        sql: DELETE FROM shop_new WHERE slug = 'staging-test-drill'
      - name: no mark of it
        argv: [rm, -f, /var/lib/dualwrite/drill-mark]
"""

RETURN = r"""
summary:
  description: What was done, in one line.
  returned: always
  type: str
phase:
  description: Always V(fault).
  returned: always
  type: str
done:
  description: The steps that were done.
  returned: always
  type: list
  elements: str
failed_steps:
  description: The steps that failed, each with why.
  returned: always
  type: list
  elements: str
timings:
  description: Seconds per phase.
  returned: always
  type: dict
  sample: {set_up: 0.1, total: 0.1}
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run
from ansible_collections.dualwrite.rollback.plugins.module_utils.options import POSTGRES, merge
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.drill_fault import drill_fault


def main():
    """Run the step."""
    step = {
        "name": {"type": "str"},
        "argv": {"type": "list", "elements": "str"},
        "chdir": {"type": "path"},
        "environment": {"type": "dict"},
        "sql": {"type": "str"},
        "parameters": {"type": "dict"},
        "each_host": {"type": "bool", "default": False},
    }
    run(
        drill_fault,
        merge(
            POSTGRES,
            state={"type": "str", "choices": ["set_up", "put_back"], "required": True},
            steps={"type": "list", "elements": "dict", "default": [], "options": step},
            timeout={"type": "float", "default": 120},
        ),
    )


if __name__ == "__main__":
    main()
