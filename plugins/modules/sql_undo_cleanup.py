#!/usr/bin/python
# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sql_undo_cleanup
short_description: Put the rows back that a cleanup removed
version_added: 0.2.0
description:
  - Reads the whole archive and compares its checksums before it touches the database.
  - Puts exactly the archived rows back in one transaction, with their keys, and compares them with the archive before
    it commits. Sequences are not touched.
  - Rolls back when triggers touch other rows besides, unless O(side_effects) names their table.
  - Refuses with a list when other rows took their place, and when the database or a table is another one.
author:
  - dualwrite.rollback contributors (@dualwrite)
extends_documentation_fragment:
  - dualwrite.rollback.attributes
  - dualwrite.rollback.deadline
  - dualwrite.rollback.identity
  - dualwrite.rollback.postgres
  - dualwrite.rollback.transaction
attributes:
  idempotent:
    description: When all rows are there already, nothing is changed.
    support: full
options:
  archive:
    description: The archive, as M(dualwrite.rollback.sql_cleanup) returned it.
    type: str
    required: true
  archive_sha256:
    description: The checksum of its manifest; when given, another one is refused.
    type: str
  archives:
    required: true
  same_database:
    description: Whether the rows go only into the very database that they were removed from.
    type: bool
    default: true
notes:
  - Needs the rights SELECT and INSERT on the tables, and UPDATE of the references where rows were detached.
seealso:
  - module: dualwrite.rollback.sql_cleanup
"""

EXAMPLES = r"""
- name: Put the rows back
  dualwrite.rollback.sql_undo_cleanup:
    login_host: db-1.example.org
    login_user: cleaner
    login_db: shop
    passfile: /etc/dualwrite/passfile
    archives: "{{ cleaned.archives }}"
    archive: "{{ cleaned.archive }}"
    archive_sha256: "{{ cleaned.archive_sha256 }}"
"""

RETURN = r"""
summary:
  description: What was put back, in one line.
  returned: success
  type: str
  sample: 15 rows put back from 20260125T180000000Z-cleanup-1f2e-a1b2 (team 3, member 6, map 3, old_team 3)
archive:
  description: The archive.
  returned: success
  type: str
  sample: 20260125T180000000Z-cleanup-1f2e-a1b2
rows:
  description: Rows put back per table, none when all were there.
  returned: success
  type: dict
  sample: {team: 3, member: 6, map: 3, old_team: 3}
detached:
  description: References given back per table.
  returned: success
  type: dict
  sample: {}
refused:
  description: What stands in the rows' place.
  returned: when something does
  type: list
  elements: str
notes:
  description: What the operator should see besides, shown as warnings.
  returned: success
  type: list
  elements: str
  sample: []
timings:
  description: Seconds per phase.
  returned: success
  type: dict
  sample: {check: 0.01, compare: 0.02, put: 0.01, verify: 0.01, commit: 0.01, total: 0.06}
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run
from ansible_collections.dualwrite.rollback.plugins.module_utils.options import (
    DEADLINE,
    IDENTITY,
    POSTGRES,
    TRANSACTION,
    merge,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.sql_undo_cleanup import sql_undo_cleanup


def main():
    """Run the step."""
    spec = merge(
        POSTGRES,
        DEADLINE,
        IDENTITY,
        TRANSACTION,
        archive={"type": "str", "required": True},
        archive_sha256={"type": "str"},
        same_database={"type": "bool", "default": True},
    )
    spec["argument_spec"]["archives"] = {"type": "path", "required": True}
    run(sql_undo_cleanup, spec)


if __name__ == "__main__":
    main()
