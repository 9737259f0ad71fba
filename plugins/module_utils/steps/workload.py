# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop and start workloads, with what ran remembered on the workloads themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.deadline import Deadline
from ..core.errors import RollbackError, VerificationFailed
from ..core.parallel import for_each
from ..core.result import Timings, result
from ..platforms.base import Platform, Stopped
from .common import joined, make_platforms, require_identity, take_words
from .fence import one_at_a_time, require_lock

STOPPED, STARTED, RESTARTED = "stopped", "started", "restarted"


def set_workloads(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Make every workload stopped, started or restarted, and return how many instances ran before and run after.

    ``params`` are the options of the module ``workload``. With ``check`` nothing is done and the plan is returned.
    Raises InvalidInput and Refused (nothing was done), CommandFailed (a workload did not start), DeadlinePassed, and
    VerificationFailed when an instance still runs, or none does.
    """
    timings = Timings()
    deadline = Deadline(params["timeout"])
    platforms = make_platforms(params["workloads"], take_words(None))
    require_lock(params)
    with timings.phase("wait"):
        touched = {thing for platform in platforms.values() for thing in platform.touches()} if not check else set()
    with one_at_a_time(touched, deadline):
        require_identity(platforms, params.get("identity") or {})
        with timings.phase("read"):
            before = _counted(platforms)
        wanted = params["state"]
        chosen = [name for name in platforms if _needs(platforms[name], before[name], wanted)]
        if check:
            return _told(wanted, chosen, before, _predicted(wanted, chosen, before), timings, check=True)
        require_lock(params)
        with timings.phase(wanted):
            # what does not run is stopped as well: that it did not run has to be remembered
            acted = list(platforms) if wanted == STOPPED else chosen
            dummy, errors = for_each(acted, lambda name: _act(platforms[name], wanted, deadline))
        after = _counted({name: platforms[name] for name in platforms if name not in errors})
    errors.update(_lacking(wanted, chosen, after))
    told = _told(wanted, chosen, before, {**before, **after}, timings)
    told["notes"] = list(dict.fromkeys(note for platform in platforms.values() for note in platform.notes()))
    if errors:
        evidence = {name: value for name, value in told.items() if name not in ("changed", "summary")}
        raise joined(errors, {**evidence, "changed": bool(chosen)})
    return told


def _counted(platforms: Mapping[str, Platform]) -> dict[str, int]:
    counts, errors = for_each(list(platforms), lambda name: len(platforms[name].instances()))
    if errors:
        raise joined(errors)
    return counts


def _needs(platform: Platform, running: int, wanted: str) -> bool:
    """Return whether something is to be done: what did not run when it was stopped is not started either."""
    if wanted != STARTED:
        return running > 0
    remembered = platform.remembered()
    return running == 0 and (remembered is None or bool(remembered.state.get("running")))


def _act(platform: Platform, wanted: str, deadline: Deadline) -> None:
    if wanted == STARTED:
        platform.start(platform.remembered() or Stopped(platform.name, {"running": True}), deadline)
        return
    stopped = platform.stop(deadline)
    if wanted == RESTARTED:
        platform.start(stopped, deadline)


def _lacking(wanted: str, chosen: Sequence[str], after: Mapping[str, int]) -> dict[str, RollbackError]:
    lacking: dict[str, RollbackError] = {}
    for name in chosen:
        if name not in after:
            continue
        if wanted == STOPPED and after[name]:
            lacking[name] = VerificationFailed(f"{after[name]} instances still run", where=f"workload '{name}'")
        if wanted != STOPPED and not after[name]:
            lacking[name] = VerificationFailed("no instance runs", where=f"workload '{name}'")
    return lacking


def _predicted(wanted: str, chosen: Sequence[str], before: Mapping[str, int]) -> dict[str, int | None]:
    ahead = {STOPPED: 0, STARTED: None}
    return {name: ahead.get(wanted, count) if name in chosen else count for name, count in before.items()}


def _told(
    wanted: str,
    chosen: Sequence[str],
    before: Mapping[str, int],
    after: Mapping[str, int | None],
    timings: Timings,
    *,
    check: bool = False,
) -> dict[str, Any]:
    verb = {STOPPED: "stopped", STARTED: "started", RESTARTED: "restarted"}[wanted]
    running = ", ".join(f"{name} {'?' if count is None else count}" for name, count in after.items())
    did = f"{'would be ' if check else ''}{verb}: {', '.join(chosen)}" if chosen else f"nothing to be {verb}"
    left = [name for name, count in before.items() if not count and name not in chosen] if wanted == STARTED else []
    did += f"; did not run when it was stopped: {', '.join(left)}" if left else ""
    return result(
        changed=bool(chosen),
        summary=f"{did}; instances: {running}",
        before={name: {"instances": count} for name, count in before.items()},
        after={name: {"instances": count} for name, count in after.items()},
        diff=[
            {
                "before_header": name,
                "after_header": name,
                "before": f"{before[name]} instances\n",
                "after": f"{'?' if after[name] is None else after[name]} instances\n",
            }
            for name in chosen
            if before[name] != after[name]
        ],
        timings=timings,
    )
