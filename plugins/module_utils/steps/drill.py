# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill from its choice to its entry in the ledger, and what a killed one has left."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.booleans import FALSE_WORDS, TRUE_WORDS
from ..core.errors import InvalidInput, Refused, RollbackError, VerificationFailed
from ..core.evidence import parse_time, utc_now
from ..core.result import result
from ..drill import ledger, plan
from ..drill.calendar import label, quarter_of
from ..drill.exercises import AWAIT, choose, complete, named_flags
from ..run import controller as controllers
from ..run import opening
from ..run.history import records
from ..run.record import RECORD, Entry, new_run_id, read_chain
from ..stores.local import LocalStore
from .drill_status import day_given, publish

PUT_BACK, RESPOND = "put back", "respond"
ACTS = ("flag", "cleanup", "exchange")
GOOD = (ledger.PASSED, ledger.ISSUES, ledger.RECOVERED)


def drill(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Do what ``state`` says of the drill of one environment and return the result.

    ``params`` are the options of the module ``drill``. Raises Refused (guard, another drill, not steady), InvalidInput,
    and VerificationFailed at the end of a drill that was not good.
    """
    return _STATES[params["state"]](params, check)


# -- before anything is changed ------------------------------------------------------------------------------------


def _open(params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    environment = params.get("environment") or ""
    if not environment or "/" in environment or environment.startswith("."):
        raise InvalidInput("the drill needs the environment's name, which may hold no slash", where="environment")
    today = day_given(params.get("today"))
    exercises = complete(params.get("exercises") or {})
    exercise = choose(params.get("drill") or "", exercises, today)
    flags = named_flags(exercise["flags"], params.get("flags") or {})
    if not check:
        _guard(params)
    reports = os.path.abspath(os.path.expanduser(params.get("reports") or "reports"))
    left = plan.read(reports, environment)
    if left and not check:
        _own(left, reports, environment, params)
    recover = bool(params.get("recover"))
    if exercise["unusable"] and not left and not recover:
        raise Refused(
            f"the drill {exercise['name']} can't be done in the environment '{environment}': {exercise['unusable']}",
            where=f"exercise {exercise['name']}",
            hint="Nothing was changed. Give the inventory what is missing, or name another: -e dualwrite_drill=q1",
        )
    drill_id = new_run_id(f"drill-{exercise['name']}")
    dead = [record.run_id for record in opening.unfinished(reports, environment)]
    begun = {
        "drill_id": drill_id,
        "environment": environment,
        "exercise": exercise["name"],
        "scenario": exercise["scenario"],
        "response": exercise["response"],
        "flags": flags,
        "timeout": exercise["timeout"],
        "hold": exercise["hold"],
        "afterwards": exercise["afterwards"],
        "quarter": label(today.year, quarter_of(today)),
        "who": params.get("operator") or "",
        "reason": params.get("reason") or "",
        "controller": dict(params.get("controller") or {}),
        "started": utc_now(),
        "reports": reports,
        "hosts": list(params.get("hosts") or []),
    }
    left_runs = [] if check or not left else _runs_of(left["drill_id"], reports, environment)
    # a run on another machine can't be seen to be dead: whoever says "recover" says that it is, too
    over = [*dead, *([left["drill_id"]] if left else []), *(left_runs if recover else [])]
    said = f"{environment}: {exercise['name']}, {begun['quarter']}, {drill_id}"
    if recover and not left:
        said = f"{environment}: no killed drill has left anything"
    elif left:
        how = "did not put all back" if left.get("ended") else "was killed"
        said = f"{environment}: the drill {left['drill_id']} {how}; what it has left is put back first"
        said += f", and no drill follows: {exercise['unusable']}" if exercise["unusable"] else ""
    if check:
        said += " (check mode: nothing is set up or put back)"
    return result(
        changed=False, summary=said, phase="drill", plan=begun, left={} if check else left or {},
        drills=not recover and not exercise["unusable"],
        takeover_of=list(dict.fromkeys(over)), left_runs=left_runs,
    )  # fmt: skip


def _runs_of(drill_id: str, reports: str, environment: str) -> list[str]:
    """Return the runs that a drill has begun, the newest first."""
    return [record.run_id for record, entries in records(reports, environment) if _drill_of(entries) == drill_id]


def _drill_of(entries: Sequence[Entry]) -> str:
    return next((str(entry["data"].get("drill") or "") for entry in entries if entry["type"] == "open"), "")


def _guard(params: Mapping[str, Any]) -> None:
    """A protected environment wants the guard's words, and a drill's own."""
    opening.guard(params)
    environment = params["environment"]
    if params.get("protected") and params.get("drill_confirm") != environment:
        raise Refused(
            f"the environment '{environment}' is protected, and a drill breaks something there on purpose",
            hint=f"Nothing was changed. Run the same command again with -e dualwrite_drill_confirm={environment}",
        )


def _own(left: Mapping[str, Any], reports: str, environment: str, params: Mapping[str, Any]) -> None:
    """Raise Refused unless the drill that wrote the plan is over, or the operator says that it is and may be right."""
    controller = left.get("controller") or {}
    alive = controllers.is_alive(controller)
    if controllers.is_gone(controller) or left.get("ended") or (params.get("recover") and not alive):
        return
    host = controller.get("host") or "?"
    raise Refused(
        f"a drill is under way: {left['drill_id']} ({left.get('exercise')}) by {left.get('who') or '?'} from {host},"
        f" since {left.get('started')}",
        where=plan.place_of(reports, environment),
        hint=f"Nothing was changed. Its process {controller['pid']} runs: wait for it, or end it first."
        if alive
        else "Nothing was changed. If it is dead, -e dualwrite_drill_recover=true puts back what it has left.",
    )


def _held(params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    """Return what every instance of one host holds, by what ``flag_info`` has read there."""
    read = params.get("read") or {}
    words = {str(word).lower(): True for word in (params.get("boolean_words") or {}).get("true", TRUE_WORDS)}
    words.update({str(word).lower(): False for word in (params.get("boolean_words") or {}).get("false", FALSE_WORDS)})
    wanted = named_flags(
        (params.get("plan") or {}).get("flags") or {}, {flag: flag for flag in params["flags"].values()}
    )
    if read.get("unreachable") or read.get("failed"):
        raise Refused(f"the flags could not be read: {read.get('msg') or 'no answer'}", hint="Nothing was changed.")
    held: dict[str, bool] = {}
    for flag in params["flags"].values():
        told = {(one.get("flags") or {}).get(flag) for one in read.get("instances") or []}
        if len(told) > 1:
            raise Refused(f"not steady: the instances hold {flag}={_all(told)}", hint="Nothing was changed.")
        value = words.get(str(next(iter(told), None)).lower())
        if value is None and flag in wanted:
            raise Refused(
                f"not steady: no instance says what {flag} is, so that it could not be put back",
                hint="Nothing was changed.",
            )
        if value is not None:
            held[flag] = value
    if read.get("drift"):
        raise Refused(f"not steady: {read.get('summary')}", hint="Nothing was changed.")
    told_flags = ", ".join(f"{flag}={str(value).lower()}" for flag, value in held.items())
    return result(changed=False, summary=f"steady: {told_flags}", phase="drill", held=held)


def _all(values: set[Any]) -> str:
    return " and ".join(sorted(str(value) for value in values))


# -- under way -----------------------------------------------------------------------------------------------------


def _plan(params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    begun = {**params["plan"], "held": dict(params.get("held") or {}), "phases": []}
    _add_phase(begun, params.get("phase") or "probe", True)
    if not check:
        plan.begin(begun["reports"], begun["environment"], begun)
    return result(changed=not check, summary=f"{begun['exercise']}: set up now", phase="drill", plan=begun)


def _mark(params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    begun = dict(params["plan"])
    kept = plan.read(begun["reports"], begun["environment"])
    if kept and kept["drill_id"] == begun["drill_id"]:
        begun = kept
    _add_phase(begun, params["phase"], bool(params.get("good", True)))
    if kept and not check:
        plan.update(begun["reports"], begun["environment"], begun)
    last = begun["phases"][-1]
    said = f"{last['phase']}: {last['seconds']:.1f} s"
    return result(changed=bool(kept and not check), summary=said, phase="drill", plan=begun, at=last["at"])


def _add_phase(begun: dict[str, Any], phase: str, good: bool) -> None:
    phases = list(begun.get("phases") or [])
    now = utc_now()
    before = phases[-1]["at"] if phases else begun["started"]
    phases.append({"phase": phase, "at": now, "seconds": _seconds(before, now), "good": good})
    begun["phases"] = phases


# -- the end -------------------------------------------------------------------------------------------------------


def _close(params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    begun = params["plan"]
    recovered = bool(params.get("recovered"))
    exercises = complete(params.get("exercises") or {})
    exercise = exercises.get(begun["exercise"]) or {"budgets": {}}
    issues = [f"{host}: {one}" for host, several in (params.get("problems") or {}).items() for one in several]
    begun_phases = list(begun.get("phases") or [])
    if recovered and params.get("put_back") and begun_phases and begun_phases[-1]["phase"] == PUT_BACK:
        begun_phases.pop()  # its last one is the putting back of now, whose time began when it was killed
    run = _run_of(params.get("run_path") or "")
    budgets = {RESPOND: float(params.get("budget") or 300), **exercise["budgets"]}
    over = []
    phases = [{**one, "budget": budgets.get(one["phase"])} for one in begun_phases]
    for one in phases:
        if one["budget"] and one["seconds"] > float(one["budget"]):
            over.append(f"{one['phase']} took {one['seconds']:.1f} s of {float(one['budget']):.0f} s")
    spent = next((one["seconds"] for one in phases if one["phase"] == RESPOND), None)
    effect = run.get("effect")
    if begun.get("response") == AWAIT and params.get("healed_at") and begun_phases:
        set_up = next((one["at"] for one in begun_phases if one["phase"] == "set up"), begun["started"])
        effect = max(0.0, _seconds(set_up, params["healed_at"]))
    if effect is not None and budgets.get("effect") and effect > float(budgets["effect"]):
        over.append(f"the effect came after {effect:.1f} s of {float(budgets['effect']):.0f} s")
    said = ledger.PASSED
    if recovered:
        said = ledger.RECOVERED if not issues else ledger.FAILED
        last = begun_phases[-1]["phase"] if begun_phases else "open"
        how = "ended without having put all back" if begun.get("ended") else "killed"
        issues.insert(0, f"{how} after '{last}', {'recovered' if not issues else 'not recovered'} at {utc_now()}")
    elif params.get("refused"):
        said = ledger.REFUSED
    elif issues:
        said = ledger.FAILED
    elif over:
        said = ledger.ISSUES
    entry = {
        "format": 1,
        "drill_id": begun["drill_id"],
        "environment": begun["environment"],
        "exercise": begun["exercise"],
        "scenario": begun.get("scenario") or "",
        "quarter": begun["quarter"],
        "who": begun.get("who") or "",
        "reason": begun.get("reason") or "",
        "started": begun["started"],
        "ended": utc_now(),
        "result": said,
        "issues": [*issues, *over],
        "phases": [{key: one[key] for key in ("phase", "seconds", "good", "budget")} for one in phases],
        "spent": spent,
        "budget": budgets[RESPOND],
        "time_to_effect": effect,
        "hosts": list(begun.get("hosts") or []),
        "run_id": run.get("run_id") or "",
        "report": params.get("run_path") or "",
        "put_back": bool(params.get("put_back")),
    }
    return _tell(params, begun, entry, exercises)


def _tell(
    params: Mapping[str, Any], begun: Mapping[str, Any], entry: dict[str, Any], exercises: Mapping[str, Any]
) -> dict[str, Any]:
    folder = os.path.abspath(os.path.expanduser(params["ledger"]))
    warnings: list[str] = []
    place, files, written = "", {}, False
    try:
        known = {one["drill_id"] for one in ledger.read(folder, entry["environment"]).entries}
        if entry["drill_id"] in known and entry["result"] == ledger.RECOVERED:
            # it has its own entry, as failed or behind which it was killed; that it is put back now is another one
            entry["drill_id"] += "-put-back"
        place = "" if entry["drill_id"] in known else ledger.write(folder, entry)
        written = True
    except RollbackError as error:
        warnings.append(f"THE DRILL IS NOT IN THE LEDGER: {error}")
    if entry["put_back"]:
        plan.end(begun["reports"], begun["environment"], begun["drill_id"])
    else:
        # whoever comes next need not wait for this process to end
        kept = plan.read(begun["reports"], begun["environment"])
        if kept and kept["drill_id"] == begun["drill_id"]:
            plan.update(begun["reports"], begun["environment"], {**kept, "ended": entry["ended"]})
            warnings.append("NOT ALL IS PUT BACK: the next drill does it first, or -e dualwrite_drill_recover=true")
    try:
        files = publish(params, folder, exercises)["files"]
    except RollbackError as error:
        warnings.append(f"the page of the drills was not made: {error}")
    loose, why = ledger.uncommitted(folder)
    name = os.path.relpath(place, folder) if place else ""
    if place and not why:
        warnings += [f"commit this file: {place}"] if name in loose else []
    spent = f" in {entry['spent']:.1f} s of {entry['budget']:.0f} s" if entry["spent"] is not None else ""
    effect = f", effect after {entry['time_to_effect']:.1f} s" if entry["time_to_effect"] is not None else ""
    said = f"{entry['exercise']}: {entry['result']}{spent}{effect}" + (f"; ledger: {place}" if place else "")
    outcome = result(
        changed=bool(place), summary=said, phase="drill", result=entry["result"], entry=entry, ledger=place,
        committed=bool(place) and name not in loose and not why, files=files, notes=warnings,
    )  # fmt: skip
    if entry["result"] in GOOD and written and entry["put_back"]:
        return outcome
    why_not = "; ".join([*entry["issues"], *warnings]) or "no reason was given"
    raise VerificationFailed(f"the drill {entry['exercise']} ends as '{entry['result']}': {why_not}", evidence=outcome)


def _run_of(path: str) -> dict[str, Any]:
    """Return run_id and seconds to the effect of the scenario's run, by its record; nothing when it can't be read."""
    if not path:
        return {}
    try:
        entries = read_chain(LocalStore(path).read(RECORD)).entries
    except RollbackError:
        return {}
    if not entries:
        return {}
    moments = []
    for entry in entries:
        if entry["type"] == "phase" and entry["data"].get("phase") in ACTS:
            seen = entry["data"].get("result")
            rolled = seen.get("roll_ended") if isinstance(seen, Mapping) else None
            moments.append(rolled or entry["at"])
    effect = max(0.0, _seconds(entries[0]["at"], max(moments))) if moments else None
    return {"run_id": entries[0]["run_id"], "effect": effect}


def _seconds(earlier: str, later: str) -> float:
    return round((parse_time(later) - parse_time(earlier)).total_seconds(), 3)


_STATES: Mapping[str, Callable[[Mapping[str, Any], bool], dict[str, Any]]] = {
    "opened": _open,
    "held": _held,
    "planned": _plan,
    "marked": _mark,
    "closed": _close,
}
