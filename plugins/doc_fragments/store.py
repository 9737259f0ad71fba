# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where backups are, and which of them is meant."""

from __future__ import annotations


class ModuleDocFragment:
    """Option ``store`` (the default part), and the options of ``BACKUPS``."""

    DOCUMENTATION = r"""
options:
  store:
    description:
      - Where backups lie, a folder of the host or a bucket of an S3 service. Nothing outside it can be named.
      - Required for everything that reads or writes backups.
    type: dict
    suboptions:
      folder:
        description: A folder of the host.
        type: path
      bucket:
        description: A bucket. Needs boto3 on the host.
        type: str
      prefix:
        description: What the names of the objects begin with, C(staging) for instance.
        type: str
        default: ""
      endpoint_url:
        description: The address of a service that speaks S3 and is not AWS.
        type: str
      region:
        description: The region of the bucket.
        type: str
      profile:
        description:
          - A profile of the host's AWS configuration. Without it and without keys the machine's own role
            counts.
        type: str
      access_key:
        description: The access key.
        type: str
      secret_key:
        description: The secret key.
        type: str
      session_token:
        description: The token of a session, with temporary keys.
        type: str
      ca_cert:
        description: A file with the certificates that the service's certificate is held against.
        type: path
      encryption:
        description: How the service encrypts what is written (SSE). What is read needs no such word.
        type: str
        choices: [AES256, "aws:kms"]
      kms_key_id:
        description: The key for O(store.encryption=aws:kms).
        type: str
"""

    BACKUPS = r"""
options:
  backup:
    description:
      - The name of a backup, as M(dualwrite.rollback.backup_info) lists it.
      - Without it the newest that fits is taken.
    type: str
  before:
    description:
      - Only a backup that was taken before this time is taken, the time of the corruption for instance.
      - ISO 8601; without an offset it is UTC.
    type: str
  pattern:
    description:
      - How backups are named, with the time as C(%Y), C(%m), C(%d), C(%H), C(%M) and C(%S), C(shop_%Y%m%d_%H%M*)
        for instance. A star stands for anything but a slash.
      - Other names are left out. Without a time in the name the time counts at which the store got the file.
    type: str
  time_zone:
    description: The time zone of the times in names, as C(Europe/Berlin).
    type: str
    default: UTC
  skip_damaged:
    description: Whether the next older backup is taken when one turns out to be damaged.
    type: bool
    default: false
  bin_dir:
    description:
      - The folder of C(psql), C(pg_restore) and C(pg_dump) on the host.
      - By default where Debian and RPMs put those of the server's version, else the path.
    type: path
  work_dir:
    description:
      - Where an archive from S3 is kept while C(pg_restore) reads it, in a folder that only this user can enter.
      - By default the host's folder for temporary files.
    type: path
  on_old_client:
    description:
      - What to do when C(psql) and C(pg_restore) are older than the minor releases that keep a crafted backup from
        running code on the host (14.25, 15.20, 16.16, 17.12, 18.7).
      - V(warn) is for backups that nobody else could have written.
    type: str
    choices: [fail, warn]
    default: fail
"""
