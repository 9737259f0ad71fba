# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge between Ansible and plain Python: the only file of module_utils that imports Ansible."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .core.errors import RollbackError
from .core.redact import redact

Step = Callable[..., "dict[str, Any]"]


def run(step: Step, spec: Mapping[str, Any]) -> None:
    """Run one step as an Ansible module and end the process.

    ``step(params, check=bool)`` takes plain values and returns the plain result dict of ``core.result``. ``spec`` is
    the keyword arguments of AnsibleModule. A RollbackError becomes ``fail_json``; any other exception is a bug of
    ours and is said in one sentence (with its place) instead of a traceback.
    """
    module = AnsibleModule(supports_check_mode=True, **spec)
    try:
        outcome = step(dict(module.params), check=module.check_mode)
    except RollbackError as error:
        failure = _plain(error.as_result())
        _warn(module, failure)
        module.fail_json(**failure)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        module.fail_json(
            msg=f"bug in dualwrite.rollback: {type(error).__name__}: {error} "
            f"({place.filename.rpartition('/')[2]}:{place.lineno}). Report it with this line; "
            "run the same command again to see where things stand.",
            error={"kind": "bug"},
        )
    else:
        if not module._diff:
            outcome.pop("diff", None)
        plain = _plain(outcome)
        _warn(module, plain)
        module.exit_json(**plain)


def _warn(module: AnsibleModule, outcome: Mapping[str, Any]) -> None:
    """Have Ansible show what a step wants the operator to see whatever the outcome is."""
    for note in outcome.get("notes") or []:
        module.warn(note)


def _plain(outcome: dict[str, Any]) -> dict[str, Any]:
    """Return the result as JSON would hold it, redacted: no tuples, dataclasses or secrets leave a module."""
    plain: dict[str, Any] = json.loads(json.dumps(redact(outcome), default=str))
    return plain
