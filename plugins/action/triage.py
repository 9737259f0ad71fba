# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""triage: measuring is the module's, on the host; a plan of what was found is made in the worker's own process."""

from __future__ import annotations

import json

from ansible.plugins.action import ActionBase

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import RollbackError
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.redact import redact
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.triage import triage
from ansible_collections.dualwrite.rollback.plugins.modules.triage import SPEC


class ActionModule(ActionBase):
    """Half a second less between an alert and the first step, as a plan needs no host."""

    _supports_check_mode = True
    _supports_async = False
    _supports_diff = False

    def run(self, tmp=None, task_vars=None):
        """Return the step's result, or the module's."""
        outcome = super().run(tmp, task_vars)
        if self._task.args.get("state", "planned") != "planned" or self._task.args.get("symptoms"):
            outcome.update(self._execute_module(task_vars=task_vars))
            return outcome
        params = _plain(self.validate_argument_spec(**SPEC)[1])
        try:
            outcome.update(_plain(triage(params, check=self._task.check_mode)))
        except RollbackError as error:
            outcome.update(_plain(error.as_result()), failed=True)
        return outcome


def _plain(value):
    """Return plain JSON data, redacted: Ansible's own tagged and lazy types end here."""
    return json.loads(json.dumps(redact(value), default=str))
