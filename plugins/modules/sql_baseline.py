#!/usr/bin/python
# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sql_baseline
short_description: Take counts and invariants of the data, or compare with those taken before
version_added: 0.2.0
description:
  - Counts rows of tables and asks queries for numbers that must not grow (orphans, duplicates, differences), all of one
    moment, in a transaction that can't write.
  - Keeps the numbers under a name, or compares them with those kept before and fails when the data is worse.
author:
  - dualwrite.rollback contributors (@dualwrite)
extends_documentation_fragment:
  - dualwrite.rollback.attributes
  - dualwrite.rollback.deadline
  - dualwrite.rollback.identity
  - dualwrite.rollback.postgres
attributes:
  diff_mode:
    support: none
  idempotent:
    description: A comparison changes nothing; a baseline that is taken replaces the one of that name.
    support: partial
options:
  state:
    description: Whether the numbers are kept, or compared with those that are.
    type: str
    choices: [taken, compared]
    default: taken
  name:
    description: What the baseline is called.
    type: str
    required: true
  baselines:
    description: Folder on the host that holds the baselines. It is made as needed.
    type: path
    required: true
  tables:
    description: The tables to count.
    type: list
    elements: str
    default: []
  checksums:
    description: Whether the content of the tables is compared too; every row is read for that.
    type: bool
    default: false
  expect:
    description:
      - What the number of a table's rows may have done since, one of V(any), V(none), V(decrease), V(increase), or the
        difference itself; V(none) for a table that is not named.
    type: dict
    default: {}
  invariants:
    description: Numbers that must not grow.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What it is called.
        type: str
        required: true
      query:
        description: One reading statement that counts something.
        type: str
        required: true
seealso:
  - module: dualwrite.rollback.sql_cleanup
"""

EXAMPLES = r"""
- name: Take the numbers before the test
  dualwrite.rollback.sql_baseline: &baseline
    login_host: db-1.example.org
    login_user: cleaner
    login_db: shop
    passfile: /etc/dualwrite/passfile
    baselines: /var/lib/dualwrite/baselines
    name: before
    tables: [shop_new, shop_old, shop_map]
    invariants:
      - name: mappings without a team
        query: >-
          SELECT count(*) FROM shop_map m WHERE NOT EXISTS (SELECT FROM shop_new t WHERE t.id = m.vnext_team_id)

- name: Compare after it
  dualwrite.rollback.sql_baseline:
    <<: *baseline
    state: compared
    expect: {shop_new: any, shop_old: any, shop_map: any}
"""

RETURN = r"""
summary:
  description: What was kept, or what differs, in one line.
  returned: success
  type: str
  sample: "team: 3 → 5 rows"
tables:
  description: Rows per table now.
  returned: success
  type: dict
  sample: {team: 5}
invariants:
  description: The numbers now.
  returned: success
  type: dict
  sample: {orphans: 2}
checksums:
  description: A sum over the content per table, when asked for.
  returned: success
  type: dict
  sample: {}
taken:
  description: When that was, ISO 8601 UTC.
  returned: success
  type: str
  sample: "2026-01-25T18:00:00.000Z"
path:
  description: Where the baseline lies.
  returned: success
  type: str
  sample: /var/lib/dualwrite/baselines/before.json
baseline:
  description: The numbers that were compared with.
  returned: when they were compared
  type: dict
  sample: {tables: {team: 3}, invariants: {orphans: 2}, taken: "2026-01-25T17:00:00.000Z"}
differences:
  description: What differs.
  returned: when they were compared
  type: list
  elements: str
  sample: ["team: 3 → 5 rows"]
timings:
  description: Seconds per phase.
  returned: success
  type: dict
  sample: {count: 0.05, total: 0.06}
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run
from ansible_collections.dualwrite.rollback.plugins.module_utils.options import (
    BASELINE,
    DEADLINE,
    IDENTITY,
    POSTGRES,
    merge,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.sql_baseline import sql_baseline


def main():
    """Run the step."""
    run(sql_baseline, merge(POSTGRES, DEADLINE, IDENTITY, BASELINE))


if __name__ == "__main__":
    main()
