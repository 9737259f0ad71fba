#!/usr/bin/python
# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sql_cleanup
short_description: Remove test data in one transaction that can be undone
version_added: 0.2.0
description:
  - Finds and locks the rows of a table that are meant, the rows of the other model that they are mapped to, and all
    that references them; guards them; archives every one of them; deletes them in the order of the foreign keys; looks
    whether anything else was touched; commits, or leaves no trace.
  - What hangs on the rows is read from the catalog. What the plan does not cover stops it.
  - In check mode the whole transaction runs and is rolled back, so that the numbers are true.
author:
  - dualwrite.rollback contributors (@dualwrite)
extends_documentation_fragment:
  - dualwrite.rollback.attributes
  - dualwrite.rollback.cleanup
  - dualwrite.rollback.deadline
  - dualwrite.rollback.identity
  - dualwrite.rollback.postgres
  - dualwrite.rollback.transaction
attributes:
  idempotent:
    description: A second call finds no rows and changes nothing.
    support: full
notes:
  - Needs PostgreSQL 12 or later and the rights SELECT, DELETE and UPDATE of any one column (for locking) on the tables.
  - A connection that breaks at COMMIT is asked about again, by the number of the transaction, else by the rows.
seealso:
  - module: dualwrite.rollback.sql_undo_cleanup
  - module: dualwrite.rollback.sql_baseline
"""

EXAMPLES = r"""
- name: Show what would go
  dualwrite.rollback.sql_cleanup: &cleanup
    login_host: db-1.example.org
    login_user: cleaner
    login_db: shop
    passfile: /etc/dualwrite/passfile
    archives: /var/lib/dualwrite/archives
    protected: false
    root:
      table: shop_new
      match:
        patterns:
          - {column: name, like: "Staging Test%"}
    tables: [shop_new_member, shop_old_member]
    linked:
      - table: shop_old
        through: {table: shop_map, root_column: vnext_team_id, linked_column: legacy_team_id}
        match:
          patterns:
            - {column: name, like: "Staging Test%"}
  check_mode: true
  register: planned

- name: Remove exactly that
  dualwrite.rollback.sql_cleanup:
    <<: *cleanup
    guards: {expected_plan: "{{ planned.plan_digest }}"}
  register: cleaned
"""

RETURN = r"""
summary:
  description: What was removed, in one line.
  returned: success
  type: str
  sample: 15 rows removed (team 3, member 6, map 3, old_team 3); archive 20260125T180000000Z-cleanup-1f2e-a1b2
rows:
  description: Rows removed per table.
  returned: success
  type: dict
  sample: {team: 3, member: 6, map: 3, old_team: 3}
reasons:
  description: Why rows of a table go.
  returned: when there are any
  type: dict
  sample: {team: match, member: references by member_team_id_fkey}
detached:
  description:
    - Rows per foreign key that lost their reference. Where several tables have one of that name, its table is said too.
  returned: success
  type: dict
  sample: {}
mappings:
  description:
    - Per linked table the mapping's rows, those without the other side (C(null)), those mapped more than once, root
      rows that are not mapped, and linked rows C(removed) and C(only_unmapped).
  returned: success
  type: list
  elements: dict
  sample:
    - mapping: map
      linked: old_team
      rows: 3
      "null": 0
      mapped_twice: 0
      not_mapped: 0
      removed: 3
      only_unmapped: 0
ids:
  description: The root rows' primary keys, at most 1000.
  returned: success
  type: list
  elements: raw
  sample: ["1", "2", "3"]
plan_digest:
  description: What stands for exactly these rows of all tables.
  returned: success
  type: str
  sample: 0f1e2d3c4b5a6978
invariants:
  description: The numbers C(before) and C(after).
  returned: success
  type: dict
  sample: {before: {orphans: 2}, after: {orphans: 2}}
archive:
  description: The archive's name below C(archives), for M(dualwrite.rollback.sql_undo_cleanup); empty in check mode.
  returned: success
  type: str
  sample: 20260125T180000000Z-cleanup-1f2e-a1b2
archives:
  description: The folder of the archive.
  returned: success
  type: str
  sample: /var/lib/dualwrite/archives
archive_sha256:
  description: The checksum of the archive's manifest.
  returned: success
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
transaction:
  description: The number of the transaction.
  returned: success
  type: str
  sample: "123456"
identity:
  description: Who the database said it is.
  returned: success
  type: dict
  sample: {system_identifier: "7412345678901234567", database: shop, timeline: 1}
attempts:
  description: How many attempts it took.
  returned: success
  type: int
  sample: 1
earlier:
  description: What became of earlier cleanups that ended without anybody hearing the answer to COMMIT.
  returned: success
  type: list
  elements: dict
  sample: []
notes:
  description: What the operator should see besides, shown as warnings.
  returned: success
  type: list
  elements: str
  sample: []
refused:
  description: Everything that spoke against it.
  returned: when a guard said no
  type: list
  elements: str
timings:
  description: Seconds per phase.
  returned: success
  type: dict
  sample: {find: 0.03, guard: 0.01, archive: 0.01, delete: 0.02, verify: 0.01, commit: 0.01, total: 0.1}
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run
from ansible_collections.dualwrite.rollback.plugins.module_utils.options import (
    CLEANUP,
    DEADLINE,
    IDENTITY,
    POSTGRES,
    TRANSACTION,
    merge,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.sql_cleanup import sql_cleanup


def main():
    """Run the step."""
    run(sql_cleanup, merge(POSTGRES, DEADLINE, IDENTITY, TRANSACTION, CLEANUP))


if __name__ == "__main__":
    main()
