# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time that one module call may take."""

from __future__ import annotations


class ModuleDocFragment:
    """Option ``timeout``."""

    DOCUMENTATION = r"""
options:
  timeout:
    description:
      - Seconds this call may take, from its start to its last proof.
      - When they pass, the call ends as a failure that says what was reached. Taking a change back has time of its own.
    type: float
    default: 120
"""
