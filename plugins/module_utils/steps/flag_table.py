# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: what flag_info found on all hosts, as one table of flags, workloads and instances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

HEAD = ("host", "workload", "flag", "declared", "effective", "")
DRIFT, UNKNOWN, STOPPED = "DRIFT", "UNKNOWN", "does not run"


def table(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the lines of the table, the head first; ``found`` is host to the result of the module flag_info.

    The last column says ``DRIFT`` where an instance holds another value than is declared, ``UNKNOWN`` where the value
    is missing or no known word, and where nothing runs. Empty when no host has told anything.
    """
    rows = [row for host, result in found.items() for row in _rows(host, result)]
    if not rows:
        return []
    widths = [max(len(row[place]) for row in [HEAD, *rows]) for place in range(len(HEAD))]
    return [_line(row, widths) for row in [HEAD, *rows]]


def _rows(host: str, result: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for workload, flags in (result.get("workloads") or {}).items():
        for flag, one in flags.items():
            effective = [_shown(value) for value in (one.get("effective") or {}).values()]
            counted = ", ".join(f"{value} x {effective.count(value)}" for value in dict.fromkeys(effective))
            mark = STOPPED if not one.get("running") else DRIFT if one.get("drift") else ""
            mark = UNKNOWN if not mark and one.get("value") is None else mark
            yield host, workload, flag, _shown(one.get("declared")), counted or "-", mark


def _shown(value: Any) -> str:
    return "(missing)" if value is None else str(value)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
