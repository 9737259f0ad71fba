# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""run_record on the controller, in the worker's own process: no connection, no module transfer."""

from __future__ import annotations

import json
import os
import platform
import pwd
import traceback

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.release import __version__ as ansible_version

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import RollbackError
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.redact import redact
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.run_record import controller_of, run_record
from ansible_collections.dualwrite.rollback.plugins.modules.run_record import SPEC

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEMPLATES = os.path.join(COLLECTION, "roles", "report", "templates")


class ActionModule(ActionBase):
    """Validate the options with the module's own spec, add what only the controller knows, call the step."""

    spec = SPEC
    step = staticmethod(run_record)
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False
    _supports_diff = False

    def run(self, tmp=None, task_vars=None):
        """Return the step's result, or one sentence of what went wrong."""
        outcome = super().run(tmp, task_vars)
        params = _plain(self.validate_argument_spec(**self.spec)[1])
        self._complete(params, task_vars or {})
        try:
            outcome.update(_plain(self.step(params, check=self._task.check_mode)))
        except RollbackError as error:
            outcome.update(_plain(error.as_result()), failed=True)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise AnsibleError(
                f"bug in dualwrite.rollback: {type(error).__name__}: {error} "
                f"({place.filename.rpartition('/')[2]}:{place.lineno}). Report it with this line."
            ) from error
        return outcome

    def _complete(self, params, task_vars):
        params["default_template_dir"] = TEMPLATES
        params["host"] = params.get("host") or task_vars.get("inventory_hostname")
        if params["state"] != "opened":
            return
        params["hosts"] = params.get("hosts") or [str(host) for host in task_vars.get("ansible_play_hosts_all", [])]
        params["operator"] = params.get("operator") or _operator(task_vars)
        # an action runs in a worker; its parent is the ansible-playbook process whose life is the run's life
        params["controller"] = params.get("controller") or controller_of(os.getppid())
        params["versions"] = params.get("versions") or {
            "dualwrite.rollback": _collection_version(),
            "ansible-core": ansible_version,
            "python": platform.python_version(),
        }


def _operator(task_vars):
    for name in ("awx_user_name", "tower_user_name"):
        if task_vars.get(name):
            return str(task_vars[name])
    for name in ("SUDO_USER", "USER", "LOGNAME"):
        if os.environ.get(name):
            return os.environ[name]
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def _collection_version():
    try:
        with open(os.path.join(COLLECTION, "MANIFEST.json"), encoding="utf-8") as stream:
            return json.load(stream)["collection_info"]["version"]
    except (OSError, ValueError, KeyError):
        pass
    try:
        with open(os.path.join(COLLECTION, "galaxy.yml"), encoding="utf-8") as stream:
            return next(line.partition(":")[2].strip() for line in stream if line.startswith("version:"))
    except (OSError, StopIteration):
        return "unknown"


def _plain(value):
    """Return plain JSON data, redacted: Ansible's own tagged and lazy types end here."""
    return json.loads(json.dumps(redact(value), default=str))
