# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuse a run whose answers would be evaluated, or can't be what they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import InvalidInput
from ..core.result import result
from ..run.answers import require_plain


def run_answers(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Look at ``params["answers"]``, the raw extra variables of this run, and return how many there are.

    Check mode makes no difference. Raises InvalidInput for an answer that may not be used, and when nobody has handed
    the answers over.
    """
    if params.get("answers") is None:
        raise InvalidInput(
            "only the controller knows what a run was started with",
            hint="Call run_answers as a task of a play, by the action plugin of the same name.",
        )
    number = require_plain(params["answers"])
    return result(changed=False, summary=f"{number} answers, none to be evaluated", phase="answers")
