#!/usr/bin/python
# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and step of the module run_answers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_answers
short_description: Refuse a run whose extra variables hold templates
version_added: 0.2.0
description:
  - Looks at the extra variables of this run as they were given (the answers of a survey, C(-e), C(-e @file), what
    ansible-runner or Event-Driven Ansible hand over), before anything has read one of them.
  - Fails when one of them holds a template, at any depth and in the name of a key too. Ansible would evaluate it on the
    controller, with all its rights, as soon as something reads the variable.
  - Fails when a variable that an operator is asked for is of another kind, for instance a list for a reason.
  - Variables whose name begins with C(ansible_) are passed over. Whoever may give those may run anything as it is.
  - Runs on the controller, without a connection to the host; an action plugin of the same name does the work.
author:
  - the dualwrite.rollback contributors (@dualwrite)
extends_documentation_fragment:
  - dualwrite.rollback.attributes.info
attributes:
  idempotent:
    description: This module never changes anything.
    support: full
notes:
  - Every playbook of this collection begins with it, by C(guard_targets.yml). In a playbook of your own it must be the
    first task, with the tag C(always).
seealso:
  - module: dualwrite.rollback.run_record
"""

EXAMPLES = r"""
- name: Refuse answers that would be evaluated
  dualwrite.rollback.run_answers:
  run_once: true
  tags: [always]
"""

RETURN = r"""
summary:
  description: How many answers were looked at.
  returned: success
  type: str
  sample: "3 answers, none to be evaluated"
error:
  description: What is wrong, with the name of the variable. Its value is never repeated.
  returned: failure
  type: dict
  sample: {kind: invalid_input, where: dualwrite_reason}
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.run_answers import run_answers


def main():
    """Run the step."""
    run(run_answers, {})


if __name__ == "__main__":
    main()
