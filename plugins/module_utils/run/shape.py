# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: bring what a module returned into the one shape that reports read, whatever is missing or odd."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_EVIDENCE_TEXTS = ("kind", "answer", "detail", "where", "at")
_INSTANCE_TEXTS = ("id", "name", "role", "started", "workload")


def tidy(result: Any) -> dict[str, Any]:
    """Return a phase's result with every key that reports read in its expected shape; what does not fit is dropped.

    Keys that are missing stay missing, keys that reports don't read are kept as they are.
    """
    found = mapping(result)
    for key, shape in _SHAPES.items():
        if key in found:
            found[key] = shape(found[key])
    return found


def mapping(value: Any) -> dict[str, Any]:
    """Return a dict with text keys, empty for anything else."""
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else {}


def number(value: Any) -> float:
    """Return a float, 0 for anything that is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def text(value: Any) -> str:
    """Return text on one line, empty for None."""
    return "" if value is None else " ".join(str(value).split())


def _side(value: Any) -> dict[str, Any]:
    return {
        workload: {
            name: {**mapping(one), "source": text(mapping(one).get("source"))} for name, one in mapping(flags).items()
        }
        for workload, flags in mapping(value).items()
    }


def _instances(value: Any) -> list[dict[str, Any]]:
    return [
        {**{key: text(one.get(key)) for key in _INSTANCE_TEXTS}, "flags": mapping(one.get("flags"))}
        for one in (value if isinstance(value, list) else [])
        if isinstance(one, Mapping)
    ]


def _evidence(value: Any) -> list[dict[str, Any]]:
    return [
        {
            **{key: text(one.get(key)) for key in _EVIDENCE_TEXTS},
            "probe": text(one.get("probe")) or "unnamed",
            "value": one.get("value"),
            "took": number(one.get("took")),
            "extra": mapping(one.get("extra")),
        }
        for one in (value if isinstance(value, list) else [])
        if isinstance(one, Mapping)
    ]


_SHAPES: Mapping[str, Callable[[Any], Any]] = {
    "before": _side,
    "after": _side,
    "instances": _instances,
    "evidence": _evidence,
    "divergence": _evidence,
    "timings": lambda value: {key: number(item) for key, item in mapping(value).items()},
    "rolled": lambda value: {key: text(item) for key, item in mapping(value).items()},
    "answers": mapping,
    "msg": text,
    "summary": text,
    "roll_started": text,
    "roll_ended": text,
}
