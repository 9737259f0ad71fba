# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One shape for what every module returns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Timings:
    """Seconds spent per phase, in the order in which the phases ran."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._phases: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time spent inside the ``with`` block to phase ``name``."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._phases[name] = self._phases.get(name, 0.0) + time.monotonic() - started

    def as_dict(self) -> dict[str, float]:
        """Return seconds per phase and ``total``, rounded to milliseconds."""
        rounded = {name: round(spent, 3) for name, spent in self._phases.items()}
        rounded["total"] = round(time.monotonic() - self._started, 3)
        return rounded


def result(
    *,
    changed: bool,
    summary: str,
    before: Any = None,
    after: Any = None,
    diff: list[dict[str, str]] | None = None,
    timings: Timings | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return a module's result: changed, summary (one short line), before, after, timings, diff, and ``more``.

    ``diff`` is a list of Ansible diff entries (before, after, before_header, after_header); ``edge.py`` drops it
    unless the run asked for ``--diff``.
    """
    built: dict[str, Any] = {"changed": changed, "summary": summary, **more}
    if before is not None:
        built["before"] = before
    if after is not None:
        built["after"] = after
    if timings is not None:
        built["timings"] = timings.as_dict()
    if diff:
        built["diff"] = diff
    return built
