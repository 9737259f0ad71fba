# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every process of a container, with the environment that it holds, as a shell inside it sees them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from ..core.evidence import format_time
from . import proc

#: seconds for which a process that was put into a running container from outside is none of its own: a probe's command
VISITOR = 2.0
TICKS = 100.0
#: prints the uptime, then for each process its stat, control groups, command line and environment, each after a mark
_LOOK = (
    'read -r up rest </proc/uptime; echo "$up"; for one in /proc/self /proc/[0-9]*; do '
    'for file in stat cgroup cmdline environ; do printf "\\0%s\\0" "$1$2"; cat "$one/$file" 2>/dev/null; done; done'
)


@dataclass(frozen=True)
class Held:
    """One process in a container: pid and start (clock ticks after boot) tell it from others, environ what it holds."""

    pid: int
    parent: int
    started: int
    command: str
    started_at: str
    environ: Mapping[str, str] | None = None


def visits(told: Mapping[int, Held], pid: int, first: int, uptime: float) -> bool:
    """Return whether a process, or the one it descends from, was put into the container a moment ago."""
    top = told[pid]
    while top.pid != first and top.parent in told and top.parent != top.pid:
        top = told[top.parent]
    return top.pid != first and uptime - top.started / TICKS < VISITOR


class Look:
    """One look into a container: the command to run in it, and what its output means."""

    def __init__(self) -> None:
        # given in two parts: the shell's own command line is in its output too and must not hold the mark
        words = [secrets.token_hex(8), secrets.token_hex(8)]
        self._mark = f"\0{''.join(words)}\0"
        self.argv = ["sh", "-c", _LOOK, "sh", *words]

    def told(self, output: str, *, shared: bool = False) -> list[Held]:
        """Return the processes, the first one first; empty when the output is no answer.

        A process whose environment may not be read has None for it. With ``shared`` (containers that see each other's
        processes) those of other control groups are left out.
        """
        uptime, *texts = output.split(self._mark)
        if not texts:
            return []
        up = float(uptime.split()[0])
        now = time.time()
        own = texts[1] if len(texts) > 1 else ""
        told: dict[int, Held] = {}
        for stat, groups, command, environ in zip(texts[4::4], texts[5::4], texts[6::4], texts[7::4]):
            number, dummy, rest = stat.partition(" (")
            fields = rest.rpartition(")")[2].split()
            if len(fields) < 20 or fields[0] in "ZX" or not command or (shared and groups != own):
                continue
            age = up - int(fields[19]) / TICKS
            told[int(number)] = Held(
                int(number),
                int(fields[1]),
                int(fields[19]),
                command.replace("\0", " ").strip(),
                format_time(datetime.fromtimestamp(now - age, timezone.utc)),
                proc.parse_environment(environ.encode("utf-8", "surrogateescape")) if environ else None,
            )
        listed = sorted(told.values(), key=lambda one: (one.started, one.pid))
        # the container's own first process is the oldest; it has the number 1 only where containers don't share numbers
        return [one for one in listed if not visits(told, one.pid, listed[0].pid, up)]
