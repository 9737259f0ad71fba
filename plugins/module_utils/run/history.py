# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What earlier runs say about now: since when a flag had the value that this run has changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..core.errors import RollbackError
from ..stores.local import LocalStore
from .outcome import is_flag_data
from .record import RECORD, Entry, Record

NEWEST = 200


def records(reports: str, environment: str) -> Iterator[tuple[Record, list[Entry]]]:
    """Walk through the records of an environment's last runs with their entries, the newest first.

    Those that can't be read are left out: they must not stop a run.
    """
    store = LocalStore(os.path.join(reports, environment))
    names = [one.name for one in store.list() if one.name.count("/") == 1 and one.name.endswith("/" + RECORD)]
    for name in reversed(names[-NEWEST:]):
        run_id = os.path.dirname(name)
        record = Record(LocalStore(os.path.join(store.place, run_id)), run_id)
        try:
            entries = record.read().entries
        except RollbackError:
            continue
        yield record, entries


def windows(entries: Sequence[Entry], earlier: Iterable[Sequence[Entry]]) -> list[dict[str, Any]]:
    """Return, for each flag that this run has changed, the time for which it had its other value.

    ``entries`` are this run's, ``earlier`` those of former runs, the newest first. Each window is ``{flag, value,
    start, end, run_id}``: the flag had ``value`` from the end of that run's roll to the end of this one's. A flag that
    no former run has set to that value is left out: nobody recorded since when.
    """
    now = dict(_set_by(entries))
    found: dict[str, dict[str, Any]] = {}
    for former in earlier:
        for flag, (value, moment) in _set_by(former):
            if flag not in now or flag in found or now[flag][0] is value:
                continue
            window = {"flag": flag, "value": value, "start": moment, "end": now[flag][1]}
            found[flag] = {**window, "run_id": former[0]["run_id"]}
        if len(found) == len(now):
            break
    return list(found.values())


def _set_by(entries: Sequence[Entry]) -> Iterator[tuple[str, tuple[bool, str]]]:
    """Walk through the flags that a run's last roll has changed: name, value and when the roll had ended."""
    ended: dict[str, tuple[bool, str]] = {}
    for entry in entries:
        result = entry["data"].get("result") if entry["type"] == "phase" else None
        if not isinstance(result, Mapping) or not is_flag_data(result) or not result.get("roll_ended"):
            continue
        if result.get("failed") or not isinstance(result.get("flags"), Mapping):
            continue
        for flag, value in result["flags"].items():
            if isinstance(value, bool):
                moment = str(result["roll_ended"])
                ended[flag] = (value, max(moment, ended[flag][1]) if flag in ended else moment)
    yield from ended.items()
