# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From symptoms, measured or stated, to a plan: probes say what is there, the matrix says what to do."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from ..core.deadline import Deadline
from ..core.errors import InvalidInput
from ..core.evidence import UNKNOWN, format_time
from ..core.result import Timings, result
from ..probes.base import Probe
from ..probes.judge import show
from ..probes.registry import make
from ..probes.watch import Track, watch
from ..triage.matrix import PLAYBOOKS, Row, complete
from ..triage.plan import Step, make_plan
from ..triage.symptoms import PRESENT, add_found, judged
from ..triage.tell import lines_of, summary_of
from .health_probe import make_context


def triage(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Return which symptoms are there, with evidence, and one ordered plan for all of them; nothing is changed.

    ``params`` are the module's options. A symptom is present when one of its probes fails or when it is stated; it is
    unknown, never absent, when none fails and one can't be answered, or when an alert says it and nothing measures it.
    Raises InvalidInput for bad options.
    """
    timings = Timings()
    rows = complete(params.get("matrix") or [])
    stated = _known(params.get("stated") or [], rows, "stated")
    alerted = _known(params.get("alerted") or [], rows, "alerted")
    only = _known(params.get("only") or [], rows, "only")
    looked_at = [row for row in rows if not only or row.symptom in only]
    probes = _probes(params, rows, only)
    try:
        with timings.phase("measure"):
            tracks = _ask(probes, params)
    finally:
        for found in probes.values():
            for one in found:
                one.close()
    seen = {row.symptom: as_evidence(tracks.get(row.symptom, [])) for row in looked_at}
    if params.get("state") == "measured":
        symptoms = [judged(row, seen[row.symptom], False) for row in looked_at if seen[row.symptom]]
        told = ", ".join(f"{one['symptom']} {one['state']}" for one in symptoms) or "nothing was to be measured here"
        return result(changed=False, summary=told, timings=timings, phase="measure", symptoms=symptoms)
    silent = add_found(seen, params.get("found") or {})
    symptoms = [judged(row, seen[row.symptom], row.symptom in stated, row.symptom in alerted) for row in looked_at]
    present = [one["symptom"] for one in symptoms if one["state"] == PRESENT]
    unknown = [one["symptom"] for one in symptoms if one["state"] == UNKNOWN]
    plan = [_told(number, step, params) for number, step in enumerate(make_plan(rows, present), start=1)]
    return result(
        changed=False,
        summary=summary_of(symptoms, plan, silent),
        timings=timings,
        phase="triage",
        symptoms=symptoms,
        present=present,
        unknown=unknown,
        silent_hosts=silent,
        urgency=plan[0]["urgency"] if plan else None,
        plan=plan,
        lines=lines_of(symptoms, plan),
    )


# -- input ---------------------------------------------------------------------------------------------------------


def _known(names: Sequence[str], rows: Sequence[Row], where: str) -> list[str]:
    known = [row.symptom for row in rows]
    for name in names:
        if name not in known:
            raise InvalidInput(
                f"there is no symptom '{show(name, 60)}'", where=where, hint=f"Symptoms are: {', '.join(known)}."
            )
    return list(names)


def _probes(params: Mapping[str, Any], rows: Sequence[Row], only: Sequence[str]) -> dict[str, list[Probe]]:
    """Return the probes of each symptom that is to be measured."""
    since = params.get("since") or format_time(
        datetime.fromtimestamp(time.time() - float(params["window"]), timezone.utc)
    )
    context = make_context({**params, "since": since})
    given = params.get("symptoms") or []
    names = _known([str(one.get("symptom")) for one in given], rows, "symptoms")
    found: dict[str, list[Probe]] = {}
    for one, name in zip(given, names):
        made = [make(options, context) for options in one.get("probes") or []]
        if not made:
            raise InvalidInput("no probes are given, and nothing looked at tells nothing", where=f"symptom '{name}'")
        for probe in made:
            if probe.writes:
                raise InvalidInput("a probe of a symptom must not write", where=f"probe '{probe.name}'")
        if not only or name in only:
            found.setdefault(name, []).extend(made)
    return found


# -- looking -------------------------------------------------------------------------------------------------------


def _ask(probes: Mapping[str, Sequence[Probe]], params: Mapping[str, Any]) -> dict[str, list[Track]]:
    """Ask everything at the same time, with ``patience`` until all pass.

    What compares with itself is first looked at ``trend`` seconds before, which are no part of the ``timeout``.
    """
    tracks = {symptom: [Track(one, 0.0) for one in found] for symptom, found in probes.items()}
    everything = [track for found in tracks.values() for track in found]
    deadline, patience = Deadline(float(params["timeout"])), float(params["patience"])
    trends = [track.probe for track in everything if track.probe.compares_with_itself]
    for one in trends:
        one.prepare(deadline.within(one.timeout))
    if trends:
        time.sleep(max(0.0, float(params["trend"])))
        deadline = Deadline(float(params["timeout"]))
    if everything:
        watch(everything, Deadline(patience) if patience else deadline, 0.5, one_round=not patience)
    return tracks


def as_evidence(tracks: Sequence[Track]) -> list[dict[str, Any]]:
    """Return the evidence of a symptom's probes as plain dicts."""
    return [track.evidence("probes").as_dict() for track in tracks]


# -- output --------------------------------------------------------------------------------------------------------


def _told(number: int, step: Step, params: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "number": number,
        "scenario": step.scenario,
        "person": step.person,
        "urgency": step.urgency,
        "symptoms": step.symptoms,
        "reason": "; ".join(step.reasons),
        "only_if_still": step.look_again,
        "runs": step.runs,
        "command": _command(step, params) if step.scenario else "",
    }


def _command(step: Step, params: Mapping[str, Any]) -> str:
    """Return what an operator types for a step."""
    inventory = [word for one in params.get("inventory") or ["INVENTORY"] for word in ("-i", str(one))]
    reason = f"dualwrite_reason={shlex.quote('triage: ' + ', '.join(step.symptoms))}"
    return shlex.join(["ansible-playbook", f"dualwrite.rollback.{PLAYBOOKS[step.scenario]}", *inventory, "-e", reason])
