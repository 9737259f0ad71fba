# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""notify on the controller, in the worker's own process; the notice of the start goes out beside the run."""

from __future__ import annotations

import contextlib
import json
import os
import time

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import RollbackError
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.redact import redact
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps import notify
from ansible_collections.dualwrite.rollback.plugins.modules.notify import SPEC

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEMPLATES = os.path.join(COLLECTION, "roles", "report", "templates")


class ActionModule(ActionBase):
    """Validate the options with the module's own spec, tell, and never fail: the flag is what counts."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False
    _supports_diff = False

    def run(self, tmp=None, task_vars=None):
        """Return the step's result; what could not be told stands in it."""
        outcome = super().run(tmp, task_vars)
        params = json.loads(json.dumps(self.validate_argument_spec(**SPEC)[1], default=str))
        params["default_template_dir"] = TEMPLATES
        if self._task.check_mode or not params["path"]:
            told = notify.nothing()
        elif params["problem"]:
            told = notify.broken(params, params["problem"])
        else:
            told = self._tell(params, task_vars)
        for problem in told.get("not_told") or []:
            outcome.setdefault("warnings", []).append(f"not told: {problem}")
        outcome.update(json.loads(json.dumps(redact(told), default=str)))
        return outcome

    def _tell(self, params, task_vars=None):
        try:
            made = notify.plan(params)
            if made.event == "start" and params["background"] and made.channels:
                told = notify.announce(made)
                _beside(params, made)
                return told
            sent = notify.send(made.channels, made.notice, notify.post)
            sent += [self._by_module(one, made.notice, task_vars) for one in made.by_module]
            return notify.finish(params, made, sent)
        except RollbackError as error:
            return notify.broken(params, str(error))
        except Exception as error:
            # its words may hold a secret
            return notify.broken(params, f"bug in dualwrite.rollback: {type(error).__name__}")

    def _by_module(self, one, notice, task_vars):
        module, began = one.options["module"], time.monotonic()
        try:
            answer = self._execute_module(module, notify.by_module(one, notice), task_vars=task_vars)
            why = str(answer.get("msg") or "it failed without a message") if answer.get("failed") else ""
        except AnsibleError as error:
            why = str(error)
        if "was not found" in why:
            collection = ".".join(module.split(".")[:2])
            why = f"the module {module} is not installed: ansible-galaxy collection install {collection}"
        return notify.module_answer(one, why, time.monotonic() - began)


def _beside(params, made):
    """Tell in a process of its own, so that a slow endpoint holds nothing up; the end waits for what it wrote down."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    # a grandchild belongs to nobody who would wait for it; it must hold none of the worker's pipes open
    with contextlib.suppress(BaseException):
        os.setsid()
        if os.fork() == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for number in range(3):
                os.dup2(null, number)
            os.closerange(3, 4096)
            notify.finish(params, made, notify.send(made.channels, made.notice, notify.post))
    os._exit(0)
