# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open the store that the option ``store`` describes: a folder of the host, or a prefix of a bucket."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..core.errors import InvalidInput, NotFound
from .base import Store
from .local import LocalStore
from .s3 import S3Store


def open_store(given: Mapping[str, Any] | None, *, make: bool = False) -> Store:
    """Return the store of these suboptions; with ``make`` its folder need not exist yet.

    Raises InvalidInput when it is neither a folder nor a bucket, or both, and NotFound when the folder does not exist.
    """
    given = given or {}
    folder, bucket = given.get("folder"), given.get("bucket")
    if bool(folder) == bool(bucket):
        raise InvalidInput(
            "a store is either a folder or a bucket", where="store", hint="Give store.folder or store.bucket."
        )
    if bucket:
        return S3Store(given)
    store = LocalStore(str(folder), folder_mode=0o700, file_mode=0o600)
    if not make and not os.path.isdir(store.place):
        raise NotFound("the folder does not exist", where=store.place, hint="Correct store.folder.")
    return store
