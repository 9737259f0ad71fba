#!/usr/bin/python
# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_restore
short_description: Restore a PostgreSQL database from a backup beside the one in use, and exchange them
version_added: 0.3.0
description:
  - Verifies a backup, loads it into a second database while the application uses the first, looks whether it is whole
    and set as the first one is, and exchanges the two by their names in one transaction.
  - The replaced database is kept under a dated name, so that the exchange can be undone in a moment.
  - Until the exchange commits, the application has the data that it had. A call that was killed is made again, and
    goes on.
  - Needs psycopg2 and the client programs of PostgreSQL on the host, boto3 for a store on S3, and zstandard for
    backups that are compressed with zstd.
author:
  - dualwrite.rollback contributors (@dualwrite)
extends_documentation_fragment:
  - dualwrite.rollback.attributes
  - dualwrite.rollback.postgres
  - dualwrite.rollback.store
  - dualwrite.rollback.store.backups
  - dualwrite.rollback.deadline
attributes:
  diff_mode:
    description: What would change is one database, told in RV(summary).
    support: none
  idempotent:
    description:
      - V(loaded), V(undone) and V(dropped) change nothing when it is so already, and so does an exchange that was
        made by the same O(run_id) or one of O(resumes). A new restore, and V(saved), is a change.
    support: partial
options:
  state:
    description:
      - V(loaded) verifies a backup and loads it into a database beside O(login_db).
      - V(swapped) exchanges the two. Sessions of O(login_db) are ended; stop what uses it before.
      - V(restored) does both.
      - V(undone) exchanges O(login_db) with the database that the last exchange has put aside.
      - V(dropped) drops the databases that exchanges have put aside and whose time has come, or the one named by
        O(replaced), or those of O(of_runs).
      - V(saved) backs O(login_db) up into the store, with its checksum beside it.
      - V(watched) tells how far a restore is that another call does.
    type: str
    choices: [loaded, swapped, restored, undone, dropped, saved, watched]
    default: restored
  mode:
    description:
      - V(side) restores into a second database; the role needs CREATEDB and has to own the first.
      - V(in_place) saves the database into the store, then empties and loads it in one transaction, in which nobody
        else can use it. With V(loaded) it only verifies the backup.
    type: str
    choices: [side, in_place]
    default: side
  verification:
    description:
      - V(before) reads the backup to its end before anything of it is given to PostgreSQL.
      - V(during) takes the checksum and the last line while it is loaded, which is quicker; a backup that fails is
        never exchanged for the database in use.
    type: str
    choices: [before, during]
    default: before
  parallel:
    description:
      - How many processes verify, and how many sessions load, an archive in the custom or directory format at once;
        V(0) is one per core of the host.
    type: int
    default: 0
  check_space:
    description: Whether the disk of the server must have room for a second database, where the host can see that disk.
    type: bool
    default: true
  maintenance_db:
    description: The database from which others are made and renamed.
    type: str
    default: postgres
  keep_days:
    description: Days after which V(dropped) drops a database that was put aside.
    type: int
    default: 14
  replaced:
    description: The database that V(undone) brings back or V(dropped) drops.
    type: str
  of_runs:
    description:
      - The runs of which V(dropped) drops whatever they have put aside or were loading, also before its time. For
        runs that served a drill.
    type: list
    elements: str
    default: []
  run_id:
    description: The run that does this.
    type: str
  resumes:
    description: Dead runs that this one continues.
    type: list
    elements: str
    default: []
seealso:
  - module: dualwrite.rollback.backup_info
  - module: dualwrite.rollback.workload
"""

EXAMPLES = r"""
- name: Load the newest backup from before the corruption beside the database in use
  dualwrite.rollback.backup_restore:
    state: loaded
    store: {folder: /backup/shop}
    before: "2026-01-25T18:00:00Z"
    login_host: db.shop.example
    login_user: shop
    login_db: shop
    passfile: /etc/shop/pgpass
    on_old_client: warn
    timeout: 3600

- name: Exchange them
  dualwrite.rollback.backup_restore:
    state: swapped
    login_host: db.shop.example
    login_user: shop
    login_db: shop
    passfile: /etc/shop/pgpass

- name: Exchange them back
  dualwrite.rollback.backup_restore:
    state: undone
    login_host: db.shop.example
    login_user: shop
    login_db: shop
    passfile: /etc/shop/pgpass

- name: Drop what earlier restores have put aside and nobody has asked for in time
  dualwrite.rollback.backup_restore:
    state: dropped
    login_host: db.shop.example
    login_user: shop
    login_db: shop
    passfile: /etc/shop/pgpass
"""

RETURN = r"""
summary:
  description: What was done, in one line.
  returned: success
  type: str
  sample: >-
    shop is shop_20260125_1700.dump of 2026-01-25T17:00:00.000Z, exchanged in 0.12 s (9 sessions ended); the old one
    is kept as shop_replaced_20260125T184200123Z until 2026-02-08T18:42:00.000Z
backup:
  description: The backup with its checksum and contents; its name where a loaded one was exchanged.
  returned: when O(state) is V(loaded), V(swapped) or V(restored)
  type: raw
database:
  description: The database into which it was loaded.
  returned: when O(state) is V(loaded) or V(restored)
  type: str
  sample: shop_restoring
tables:
  description: Per table how many rows the backup and the database in use have, as the server estimates it.
  returned: when a backup was loaded
  type: dict
  sample: {teams: {backup: 1200, live: 1213}}
replaced:
  description: The database that was put aside.
  returned: when O(state) is V(swapped), V(restored) or V(undone)
  type: str
  sample: shop_replaced_20260125T184200123Z
expires:
  description: When V(dropped) would drop it.
  returned: when a database was put aside
  type: str
swap:
  description: Seconds that the exchange took, the sessions that it ended, and how often it was tried.
  returned: when O(state) is V(swapped), V(restored) or V(undone)
  type: dict
  sample: {seconds: 0.12, sessions: 9, attempts: 1}
dropped:
  description: The databases that were dropped.
  returned: when O(state=dropped)
  type: list
  elements: str
saved:
  description: The name of the backup that was made.
  returned: when O(state=saved) or O(mode=in_place)
  type: str
running:
  description: Whether a restore runs.
  returned: when O(state=watched)
  type: bool
bytes:
  description: The size of the database into which is loaded; before that how much of the backup is fetched or verified.
  returned: when O(state=watched)
  type: int
objects:
  description: Its tables, constraints and invalid indexes.
  returned: when O(state=watched)
  type: dict
rate:
  description: Megabytes per second.
  returned: when O(state=watched)
  type: float
timings:
  description: Seconds per phase.
  returned: success
  type: dict
  sample: {choose: 0.1, verify: 0.8, load: 14.2, compare: 1.1, total: 16.2}
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run
from ansible_collections.dualwrite.rollback.plugins.module_utils.options import (
    BACKUPS,
    DEADLINE,
    POSTGRES,
    STORE,
    merge,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.backup_restore import backup_restore

STATES = ["loaded", "swapped", "restored", "undone", "dropped", "saved", "watched"]
SPEC = merge(
    POSTGRES,
    STORE,
    BACKUPS,
    DEADLINE,
    state={"type": "str", "choices": STATES, "default": "restored"},
    mode={"type": "str", "choices": ["side", "in_place"], "default": "side"},
    verification={"type": "str", "choices": ["before", "during"], "default": "before"},
    parallel={"type": "int", "default": 0},
    check_space={"type": "bool", "default": True},
    maintenance_db={"type": "str", "default": "postgres"},
    keep_days={"type": "int", "default": 14},
    replaced={"type": "str"},
    of_runs={"type": "list", "elements": "str", "default": []},
    run_id={"type": "str"},
    resumes={"type": "list", "elements": "str", "default": []},
)


def main():
    """Run the step."""
    run(backup_restore, SPEC)


if __name__ == "__main__":
    main()
