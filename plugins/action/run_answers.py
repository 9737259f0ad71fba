# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""run_answers on the controller: only there the extra variables are still as they were given."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import RollbackError
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.run_answers import run_answers


class ActionModule(ActionBase):
    """Hand the raw extra variables to the step; task_vars would do, but they mix them with the inventory's."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False
    _supports_diff = False

    def run(self, tmp=None, task_vars=None):
        """Return the step's result, or one sentence of what is wrong."""
        outcome = super().run(tmp, task_vars)
        self.validate_argument_spec({})
        try:
            # read when the command started and kept by Ansible; nothing is evaluated by reading it
            outcome.update(run_answers({"answers": load_extra_vars(self._loader)}))
        except RollbackError as error:
            outcome.update(error.as_result(), failed=True)
        return outcome
