# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Join probes with platforms: ask, watch until everything holds, tell what was seen."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import Any

from ..core.deadline import Deadline
from ..core.errors import InvalidInput, NotFound, VerificationFailed
from ..core.evidence import ERROR, FAIL, PASS, UNKNOWN, utc_now
from ..core.parallel import for_each
from ..core.process import Finished
from ..core.result import Timings, result
from ..platforms.base import Platform
from ..probes.base import Context, Probe
from ..probes.http import HttpProbe
from ..probes.judge import show
from ..probes.log import LogProbe
from ..probes.log_time import parse
from ..probes.registry import make
from ..probes.watch import Track, ask_once, count_answers, is_final, watch
from .common import joined, make_platforms, take_words

STAGES = ("first", "probes", "last")
POSTGRES_OPTIONS = (
    "login_host",
    "login_port",
    "login_user",
    "login_password",
    "login_db",
    "login_unix_socket",
    "ssl_mode",
    "ca_cert",
    "service",
    "passfile",
)
_VERBS = {FAIL: "fails", UNKNOWN: "is unknown", ERROR: "can't be answered", PASS: "passes"}
#: how many probes a sentence names; the evidence holds all
_NAMED = 6
_SHOWN = 240


def health_probe(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Ask ``first`` in order, watch ``probes`` until all hold, ask ``last`` in order, and return the evidence.

    ``params`` are the module's options. In check mode probes that write are not asked but listed. Raises InvalidInput
    before anything is asked, and VerificationFailed, with all the evidence, unless every probe passes.
    """
    timings = Timings()
    context = make_context(params)
    stages = _stages(params, context)
    would_ask = [one.name for stage in ("first", "last") for one in stages[stage] if check and one.writes]
    tracks = {
        stage: [Track(one, _hold(one, params)) for one in probes if one.name not in would_ask]
        for stage, probes in stages.items()
    }
    deadline = Deadline(float(params["timeout"]))
    window: dict[str, str] = {}
    try:
        held = _run(tracks, deadline, params, timings, window)
    finally:
        # a canary must not stay behind, whatever happened; its removal has time of its own
        with timings.phase("last"):
            for track in tracks["last"]:
                ask_once(track, Deadline(track.probe.timeout))
        for probes in stages.values():
            for one in probes:
                one.close()
    return _tell(tracks, held, would_ask, timings, window)


def _run(
    tracks: Mapping[str, Sequence[Track]],
    deadline: Deadline,
    params: Mapping[str, Any],
    timings: Timings,
    window: dict[str, str],
) -> bool:
    with timings.phase("first"):
        for track in tracks["probes"]:
            track.probe.prepare(deadline.within(track.probe.timeout))
        for track in tracks["first"]:
            ask_once(track, deadline)
    led = all(track.latest is not None and track.latest.answer == PASS for track in tracks["first"])
    window["watch_start"] = utc_now()
    with timings.phase("watch"):
        # after a failed first probe everything is looked at once, for the evidence, and nothing is waited for
        once = not led or not params.get("retry", True)
        held = watch(tracks["probes"], deadline, float(params["interval"]), one_round=once)
    window["watch_end"] = utc_now()
    return held


# -- input ---------------------------------------------------------------------------------------------------------


def make_context(params: Mapping[str, Any]) -> Context:
    """Return what the probes of one call share, of a module's options; raises InvalidInput."""
    words = take_words(params.get("boolean_words"))
    since = time.time()
    if params.get("since"):
        given = parse(params["since"], timezone.utc)
        if given is None:
            raise InvalidInput(f"'{params['since']}' is no ISO 8601 time", where="since")
        since = given
    context = Context(
        since=datetime.fromtimestamp(since, timezone.utc),
        words=words,
        flags=params.get("flags") or {},
        postgres={name: params.get(name) for name in POSTGRES_OPTIONS},
    )
    if params.get("workloads"):
        platforms = make_platforms(params["workloads"], words)
        context.workloads = list(platforms)
        context.may_be_stopped = [name for name, one in platforms.items() if one.may_be_stopped]
        context.read_instances = partial(_read_instances, platforms)
        context.read_logs = partial(_read_logs, platforms)
        context.execute_in = partial(_execute_in, platforms)
    return context


def _read_instances(platforms: Mapping[str, Platform], flags: Sequence[str]) -> list[dict[str, Any]]:
    """Return what every running instance of every workload holds (``probes.base.ReadInstances``)."""

    def of_one(name: str) -> list[dict[str, Any]]:
        found = []
        for one in platforms[name].instances():
            # an instance that ended since it was listed holds nothing any more
            with contextlib.suppress(NotFound):
                held = platforms[name].effective(one, flags)
                found.append(
                    {
                        "workload": name,
                        "instance": one.name,
                        "id": one.id,
                        "role": one.role,
                        "started": one.started,
                        "flags": held,
                    }
                )
        return found

    read, errors = for_each(platforms, of_one)
    if errors:
        raise joined(errors)
    return [reading for name in platforms for reading in read[name]]


def _read_logs(platforms: Mapping[str, Platform], names: Sequence[str], since: str) -> dict[str, list[str] | None]:
    """Return what each of these workloads has logged since then (``probes.base.ReadLogs``)."""

    def of_one(name: str) -> list[str] | None:
        one = platforms[name]
        lines = one.logs(since)
        return None if not lines and one.may_be_stopped and not one.instances() else lines

    read, errors = for_each(names, of_one)
    if errors:
        raise joined(errors)
    return read


def _execute_in(platforms: Mapping[str, Platform], name: str, argv: Sequence[str], deadline: Deadline) -> Finished:
    """Run a command as a running instance of a workload would (``probes.base.ExecuteIn``)."""
    instances = platforms[name].instances()
    if not instances:
        raise NotFound("no instance runs in whose environment the command could be run", where=name)
    return platforms[name].execute(instances[0], argv, deadline)


def _stages(params: Mapping[str, Any], context: Context) -> dict[str, list[Probe]]:
    """Return the probes of each stage; raises InvalidInput for anything that can't be asked."""
    given = {stage: params.get(stage) or [] for stage in STAGES}
    if not given["probes"]:
        raise InvalidInput("no probes are given, and nothing looked at proves nothing", where="probes")
    stages = {stage: [make(options, context) for options in given[stage]] for stage in STAGES}
    names = [one.name for probes in stages.values() for one in probes]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"two probes are called '{name}'", where="probes", hint="Give each a name of its own.")
    for one in stages["probes"]:
        if one.writes:
            raise InvalidInput(
                "a probe that writes can't be asked again and again",
                where=f"probe '{one.name}'",
                hint="Put it into first or last.",
            )
        if _hold(one, params) > float(params["timeout"]):
            raise InvalidInput(
                f"it can't hold for {_hold(one, params):g} s within a timeout of {float(params['timeout']):g} s",
                where=f"probe '{one.name}'",
            )
    for name, lowest in (("timeout", 0.001), ("interval", 0.0), ("hold", 0.0)):
        if float(params[name]) < lowest:
            raise InvalidInput(f"{name} is {params[name]}, which is no time to wait", where=name)
    return stages


def _hold(probe: Probe, params: Mapping[str, Any]) -> float:
    return float(params["hold"]) if probe.hold is None else probe.hold


# -- output --------------------------------------------------------------------------------------------------------


def _tell(
    tracks: Mapping[str, Sequence[Track]],
    held: bool,
    would_ask: Sequence[str],
    timings: Timings,
    window: Mapping[str, str],
) -> dict[str, Any]:
    everything = [track for stage in STAGES for track in tracks[stage]]
    answers = count_answers(everything)
    lacking = [track for track in everything if track.lacking is None]
    # what passes, only not long enough yet, is to blame when nothing else is
    lacking = lacking or [track for track in tracks["probes"] if track.lacking]
    passed = len(everything) - len(lacking)
    quiet = min((track.held for track in tracks["probes"] if track.hold and not track.probe.once), default=0.0)
    summary = f"{passed} of {len(everything)} probes pass"
    if quiet and not lacking:
        watched = [track.probe for track in tracks["probes"]]
        silent = any(isinstance(one, LogProbe) and one.expect == "absent" for one in watched)
        summary += f", {'quiet' if silent else 'held'} for {quiet:.1f} s"
    if would_ask:
        summary += f"; check mode: {len(would_ask)} that write not asked"
    outcome = result(
        changed=any(_has_written(track) for stage in ("first", "last") for track in tracks[stage]),
        summary=summary,
        timings=timings,
        answers=answers,
        evidence=[track.evidence(stage).as_dict() for stage in STAGES for track in tracks[stage]],
        would_ask=list(would_ask),
        watch_start=window.get("watch_start"),
        watch_end=window.get("watch_end"),
    )
    if held and not lacking:
        return outcome
    early = next((track.probe.name for track in tracks["probes"] if is_final(track)), None)
    raise VerificationFailed(
        f"{len(lacking)} of {len(everything)} probes did not hold: " + _sentence(lacking),
        hint=f"The watch ended early, because '{early}' can't pass any more." if early else "",
        evidence=outcome,
    )


def _sentence(tracks: Sequence[Track]) -> str:
    """Return which probes do not pass, with place and value."""
    parts = []
    for track in tracks[:_NAMED]:
        evidence = track.latest
        if evidence is None:
            parts.append(f"'{track.probe.name}' was never asked")
        elif evidence.answer == PASS:
            parts.append(f"'{track.probe.name}' passes, but only since {track.held:.1f} s of {track.hold:g} s")
        else:
            where = f" ({evidence.where})" if evidence.where else ""
            parts.append(f"'{track.probe.name}' {_VERBS[evidence.answer]}{where}: {show(evidence.detail, _SHOWN)}")
    more = f"; and {len(tracks) - _NAMED} more" if len(tracks) > _NAMED else ""
    return "; ".join(parts) + more


def _has_written(track: Track) -> bool:
    """Return whether a writing request was sent (an answer that never came may have done its work)."""
    latest = track.latest
    if not isinstance(track.probe, HttpProbe) or not track.probe.writes or latest is None:
        return False
    return latest.answer != UNKNOWN or latest.value is not None
