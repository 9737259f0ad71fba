# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a transaction that changes data is kept short, and where the rows that it removes are kept."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of the modules that change data in one transaction."""

    DOCUMENTATION = r"""
options:
  archives:
    description: Folder on the host that holds the archives, mode 0700. It is made as needed.
    type: path
  lock_timeout:
    description: Seconds that one statement waits for a lock; longer waits would hold up everybody behind it.
    type: float
    default: 2
  retries:
    description:
      - How often the whole transaction is tried again after a lock that could not be had, a deadlock, a serialization
        failure, or new rows that came in meanwhile.
    type: int
    default: 3
  side_effects:
    description:
      - Tables that triggers may write to meanwhile, for instance an audit log. What is written there stays. When a row
        of any other table is touched besides, everything is rolled back.
    type: list
    elements: str
    default: []
"""
