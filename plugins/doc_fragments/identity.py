# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which database is meant."""

from __future__ import annotations


class ModuleDocFragment:
    """Option ``identity``."""

    DOCUMENTATION = r"""
options:
  identity:
    description:
      - Facts that the database must tell of itself, for instance C(system_identifier) (of C(pg_control_system())) and
        C(database). When one differs nothing is done.
      - C(sentinel) is a C(query), one reading statement, and the value that it C(equals), for instance a row that only
        the staging database has.
    type: dict
    default: {}
"""
