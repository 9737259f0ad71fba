#!/usr/bin/python
# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: List backups, and tell which one a restore would take
version_added: 0.3.0
description:
  - Lists the backups of a folder or a bucket with time, size and format, and the one that
    M(dualwrite.rollback.backup_restore) would take with the same options, and why not the others.
  - Reads the chosen one to its end when asked to, with the checksum, the archive's integrity and the list of what it
    holds.
author:
  - dualwrite.rollback contributors (@dualwrite)
extends_documentation_fragment:
  - dualwrite.rollback.attributes
  - dualwrite.rollback.attributes.info
  - dualwrite.rollback.store
  - dualwrite.rollback.store.backups
  - dualwrite.rollback.deadline
attributes:
  idempotent:
    description: This module never changes anything.
    support: full
options:
  verify:
    description:
      - Whether the chosen backup is read to its end.
      - Its checksum is that of a file beside it (C(.sha256)), else the one that S3 keeps.
    type: bool
    default: false
seealso:
  - module: dualwrite.rollback.backup_restore
"""

EXAMPLES = r"""
- name: Which backup would a restore take that undoes what began at six?
  dualwrite.rollback.backup_info:
    store: {folder: /backup/shop}
    pattern: shop_%Y%m%d_%H%M*
    before: "2026-01-25T18:00:00+01:00"
    time_zone: Europe/Berlin

- name: Read the newest backup of the bucket to its end
  dualwrite.rollback.backup_info:
    store:
      bucket: shop-backups
      prefix: staging
      region: eu-central-1
      profile: backup-reader
    verify: true
    on_old_client: warn
    timeout: 1800
"""

RETURN = r"""
summary:
  description: What was found, in one line.
  returned: success
  type: str
  sample: "12 backups; a restore would take shop_20260125_1700.sql.gz of 2026-01-25T16:00:00.000Z, 18.2 MB"
chosen:
  description: The backup that a restore would take, null without any. With O(verify) also its checksum and contents.
  returned: success
  type: dict
  sample:
    name: shop_20260125_1700.sql.gz
    format: plain, gzip
    size: 18211020
    time: "2026-01-25T16:00:00.000Z"
    time_from: name
    checksum_file: shop_20260125_1700.sql.gz.sha256
    not_taken: ""
backups:
  description: All backups in the same form, with C(not_taken) the reason why a restore would not take one.
  returned: success
  type: list
  elements: dict
place:
  description: The store.
  returned: success
  type: str
  sample: s3://shop-backups/staging/
timings:
  description: Seconds per phase.
  returned: success
  type: dict
  sample: {list: 0.1, total: 0.1}
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.edge import run
from ansible_collections.dualwrite.rollback.plugins.module_utils.options import BACKUPS, DEADLINE, STORE, merge
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.backup_info import backup_info

SPEC = merge(STORE, BACKUPS, DEADLINE, verify={"type": "bool", "default": False})


def main():
    """Run the step."""
    run(backup_info, SPEC)


if __name__ == "__main__":
    main()
