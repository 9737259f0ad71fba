# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do the same for many things at once; gather every result and every error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .errors import RollbackError

K = TypeVar("K")
V = TypeVar("V")


def for_each(
    items: Iterable[K], work: Callable[[K], V], *, at_once: int = 64
) -> tuple[dict[K, V], dict[K, RollbackError]]:
    """Call ``work`` for every item in parallel threads and return (results, errors), both by item.

    Only RollbackError is gathered; any other exception is a bug and is raised after all threads ended.
    """
    listed = list(items)
    results: dict[K, V] = {}
    errors: dict[K, RollbackError] = {}
    if not listed:
        return results, errors
    with ThreadPoolExecutor(max_workers=min(at_once, len(listed))) as pool:
        futures = {item: pool.submit(work, item) for item in listed}
    for item, future in futures.items():
        try:
            results[item] = future.result()
        except RollbackError as error:
            errors[item] = error
    return results, errors


def of_each(items: Iterable[K], work: Callable[[K], V], *, at_once: int = 64) -> dict[K, V]:
    """Do as ``for_each`` does and return the results; raises the first item's error when there is any."""
    results, errors = for_each(items, work, at_once=at_once)
    for error in errors.values():
        raise error
    return results
