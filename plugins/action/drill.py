# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""drill on the controller, where its plan and its ledger are; run_record's way of running there is also this one's."""

from __future__ import annotations

from ansible_collections.dualwrite.rollback.plugins.action.run_record import ActionModule as OnController
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.drill import drill
from ansible_collections.dualwrite.rollback.plugins.modules.drill import SPEC


class ActionModule(OnController):
    """The same, with the options and the step of drill."""

    spec = SPEC
    step = staticmethod(drill)

    def run(self, tmp=None, task_vars=None):
        """Return the step's result, or one sentence of what went wrong; what the operator should see is a warning."""
        outcome = super().run(tmp, task_vars)
        outcome["warnings"] = [*outcome.get("warnings", []), *outcome.get("notes", [])]
        return outcome
