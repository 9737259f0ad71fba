# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who drives a run: a process on a controller, and whether that process is provably gone.

A wrong "gone" would let two operators work at once, so everything that can't be proven is "perhaps alive": another
host, another container (process ids mean nothing across pid namespaces), a host that has no /proc and a living id.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ..core.evidence import format_time

#: the inode of the first pid namespace of every Linux kernel: a host itself, not a container
INITIAL_NAMESPACE = "pid:[4026531836]"


def identity(pid: int) -> dict[str, Any]:
    """Return what tells this controller process from every other, as plain data for a record.

    ``started`` is the process's start in clock ticks since boot (text; empty where there is no /proc),
    ``started_at`` the same as ISO 8601 UTC.
    """
    ticks = _start_ticks(pid)
    return {
        "host": platform.node(),
        "pid": pid,
        "started": ticks,
        "started_at": _start_time(ticks),
        "boot_id": _text("/proc/sys/kernel/random/boot_id"),
        "machine_id": _text("/etc/machine-id"),
        "namespace": _link("/proc/self/ns/pid"),
    }


def is_gone(process: Mapping[str, Any]) -> bool:
    """Return whether the process of an ``identity`` taken earlier has provably ended, as seen from this machine."""
    here = identity(os.getpid())
    if process.get("host") != here["host"] or process.get("namespace") != here["namespace"]:
        return False
    if process.get("boot_id") != here["boot_id"]:
        same_machine = bool(here["machine_id"]) and process.get("machine_id") == here["machine_id"]
        return same_machine and here["namespace"] == INITIAL_NAMESPACE
    try:
        pid = int(process["pid"])
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (KeyError, ValueError, TypeError, OSError):
        return False
    ticks = _start_ticks(pid)
    return bool(ticks and process.get("started")) and ticks != str(process["started"])


def is_alive(process: Mapping[str, Any]) -> bool:
    """Return whether the process of an ``identity`` taken earlier provably runs, as seen from this machine."""
    here = identity(os.getpid())
    if any(process.get(key) != here[key] for key in ("host", "namespace", "boot_id")):
        return False
    # a zombie has ended, and waits only for its parent to hear of it
    state = _text(f"/proc/{process.get('pid')}/stat").rpartition(")")[2].split()[:1]
    ticks = _start_ticks(process["pid"]) if state and state != ["Z"] else ""
    return bool(ticks) and ticks == str(process.get("started"))


def _start_ticks(pid: int) -> str:
    # proc(5): field 22 of /proc/PID/stat; the name in field 2 may hold spaces and brackets
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def _start_time(ticks: str) -> str:
    if not ticks:
        return ""
    age = time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) - int(ticks) / os.sysconf(
        "SC_CLK_TCK"
    )
    return format_time(datetime.fromtimestamp(time.time() - age, timezone.utc))


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
