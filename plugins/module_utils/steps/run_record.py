# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open, add to, close and verify a run's record; render its report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.errors import InvalidInput, RollbackError, Unreachable
from ..core.result import result
from ..run import controller as controllers
from ..run import history, opening, report
from ..run.budget import Budget
from ..run.checklist import lines
from ..run.outcome import PROVED, VERIFY, WORDS, of_hosts, overall
from ..run.record import RECORD, Chain, Entry, Record, new_run_id, read_chain
from ..run.times import epoch
from ..run.view import HEADLINES, total_seconds, view
from ..stores.local import LocalStore
from . import incident


def run_record(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Do what ``state`` says to the record of one run and return the result.

    ``params`` are the options of the module ``run_record``. In check mode nothing is read or written: opening
    returns a run_id and an empty path, and whatever is called with that empty path does nothing.
    Raises Refused (guard, report folder), InvalidInput, NotFound and VerificationFailed.
    """
    return _STATES[params["state"]](params, check)


def controller_of(pid: int) -> dict[str, Any]:
    """Return what tells the controlling process ``pid`` from every other, for the option ``controller``."""
    return controllers.identity(pid)


def seconds_alive(pid: int) -> float:
    """Return the seconds since process ``pid`` of this machine was started, 0 where that can't be known."""
    started = epoch(controllers.identity(pid)["started_at"])
    return max(0.0, time.time() - started) if started else 0.0


def _open(params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    environment = params.get("environment") or ""
    if not environment or "/" in environment or environment.startswith("."):
        raise InvalidInput("the run needs the environment's name, which may hold no slash", where="environment")
    scenario = params.get("scenario") or "run"
    controller = dict(params.get("controller") or {})
    reports = os.path.abspath(os.path.expanduser(params.get("reports") or "reports"))
    answer: dict[str, Any] = {
        "phase": "open",
        "run_id": new_run_id(scenario),
        "path": "",
        "operator": params.get("operator") or "",
        "controller": controller,
        "budget": float(params["budget"]),
        "resumes": [],
        "fallback": False,
        "warning": "",
        "check_mode": check,
        "verifies": incident.verified(params, reports),
    }
    if check:
        return result(changed=False, summary=f"{environment}: check mode, nothing is changed or recorded", **answer)
    opening.guard(params)
    owners, problems = incident.owners(params)
    store, warning = opening.place(reports, environment, answer["run_id"], required=bool(params.get("required")))
    record = Record(store, answer["run_id"])
    answer["resumes"] = [opening.interrupt(dead, answer["run_id"]) for dead in opening.unfinished(reports, environment)]
    answer.update(path=store.place, fallback=bool(warning), warning=warning)
    kept = ("environment", "scenario", "playbook", "reason", "ticket", "drill", "hosts", "protected", "versions",
            "commands", "incident_log")  # fmt: skip
    record.append(
        "open",
        {
            **{key: params.get(key) for key in kept},
            **{key: answer[key] for key in ("operator", "controller", "budget", "resumes", "warning", "verifies")},
            "owners": owners,
            "required_phases": params.get("required_phases") or [VERIFY],
            "command_started": "" if params.get("drill") else controller.get("started_at", ""),
            "reports": reports,
        },
    )
    for text in [*([warning] if warning else []), *problems]:
        record.append("note", {"text": text})
    said = f"{environment}: run {answer['run_id']}" + (f" by {answer['operator']}" if answer["operator"] else "")
    if answer["resumes"]:
        said += f", resumes {len(answer['resumes'])} interrupted run(s)"
    if warning:
        said += " (REPORT FOLDER NOT WRITABLE)"
    if answer["verifies"]:
        said += f", looks after {answer['verifies']['run_id']}"
    if warning or problems:
        answer["warnings"] = [text for text in (warning, *problems) if text]
    return result(changed=True, summary=said, **answer)


def _add(params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    phase, host = params.get("phase") or "phase", params.get("host") or ""
    data = {key: value for key, value in (params.get("data") or {}).items() if not _noise(key)}
    place = params.get("path") or ""
    lost = _append_phase(params, check, phase, data)
    if data.get("unreachable"):
        # rescue does not run for an unreachable host; written down, it becomes a failure like any other
        raise Unreachable(f"the host was unreachable in phase '{phase}': {_words(data)}", where=host)
    if lost:
        said = f"{phase} NOT RECORDED: {lost}"
        return result(changed=False, summary=said, phase="add", path=place, recorded=False, warnings=[said])
    if check and not place:
        return result(changed=False, summary="check mode: nothing is recorded", phase="add", recorded=False)
    return result(changed=True, summary=f"{phase} recorded", phase="add", path=place, recorded=True)


def _append_phase(params: Mapping[str, Any], check: bool, phase: str, data: Mapping[str, Any]) -> str:
    """Write the phase down; return why it could not be written, which stops no run unless the record is required.

    A host without a recorded proof is a failed one at the end, so the run can't end well without its record.
    """
    if not params.get("path") or check:
        _record(params, check)
        return ""
    try:
        _existing(params).append("phase", {"phase": phase, "result": data}, host=params.get("host") or None)
    except RollbackError as error:
        if params.get("required"):
            raise
        return str(error)
    return ""


def _close(params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    record = _record(params, check)
    if record is None:
        return result(
            changed=False, summary="check mode: nothing was changed, no report", phase="close", ok=True, path="",
            outcome="check", failed_hosts={}, hosts={},
        )  # fmt: skip
    chain = record.read()
    entries = chain.entries
    opened: dict[str, Any] = next((entry["data"] for entry in entries if entry["type"] == "open"), {})
    hosts = of_hosts(entries, opened.get("required_phases") or [VERIFY])
    outcome = overall(hosts.values())
    spent = round(total_seconds(entries, time.time()), 3)
    budget = Budget(float(opened.get("budget") or 300), spent)
    failed = {name: one.sentence for name, one in hosts.items() if not one.good}
    if opened.get("warning"):
        for name in hosts:
            failed.setdefault(name, f"{WORDS[hosts[name].outcome]}, but {opened['warning']}")
    outcomes = {name: one.outcome for name, one in hosts.items()}
    items = view(chain)["checklist"] if opened.get("verifies") else []
    not_passed = incident.open_items(opened, items)
    for name in hosts if not_passed else []:
        failed.setdefault(name, f"the checklist does not pass: {not_passed}")
    warnings: list[str] = []
    if not any(entry["type"] == "close" for entry in entries):
        logged = incident.written(opened, chain, spent, record.store.place)
        if logged["why"]:
            warnings.append(f"the incident log was not written: {logged['why']}")
        record.append(
            "close",
            {
                "outcome": outcome,
                "hosts": outcomes,
                "spent": spent,
                "budget": budget.seconds,
                "failed_hosts": failed,
                "windows": _windows(opened, entries),
                "incident_log": logged,
            },
        )
        _take_over(opened, outcomes, record)
    good = sum(one.good for one in hosts.values())
    said = f"{HEADLINES[outcome]} ({good} of {len(hosts)}), {budget.sentence()}"
    said += f", {_counted(items)}" if items else ""
    said += ", REPORT FOLDER NOT WRITABLE" if opened.get("warning") else ""
    try:
        chain, files = _render(record, params)
    except InvalidInput as error:
        # a broken template of the operator's own must not cost the report at the end of an emergency
        chain, files = _render(record, {**params, "template_dir": None})
        said += "; the report was rendered with the collection's templates"
        warnings.append(str(error))
    return result(
        changed=True, summary=said, phase="close", warnings=warnings, ok=outcome == PROVED and not failed,
        outcome=outcome, hosts=outcomes, failed_hosts=failed, spent=spent, budget=budget.seconds,
        over_budget=bool(budget.overrun), head=chain.head, path=record.store.place, files=files,
        checklist=[{key: one[key] for key in ("key", "text", "state", "why", "owner")} for one in items],
        lines=lines(items) if items else [],
    )  # fmt: skip


def _counted(items: Sequence[Mapping[str, Any]]) -> str:
    counts = {state: sum(one["state"] == state for one in items) for state in ("pass", "fail", "unknown", "human")}
    return "checklist: " + ", ".join(f"{count} {state}" for state, count in counts.items() if count)


def _verify(params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    record = _existing(params)
    chain = record.verify()
    said = f"the chain holds: {len(chain.entries)} entries, head {chain.head}"
    if chain.torn:
        said += f"; the last write was cut short by a crash ({chain.torn} torn line(s), no entry lost)"
    # what was told to whom is written behind the end
    closed = any(entry["type"] in ("close", "takeover") for entry in chain.entries)
    return result(
        changed=False, summary=said, phase="record", head=chain.head, entries=len(chain.entries), torn=chain.torn,
        closed=closed, path=record.store.place,
    )  # fmt: skip


def _report(params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    record = _existing(params)
    if check:
        return result(changed=False, summary="check mode: no report is written", phase="report")
    chain, files = _render(record, params)
    return result(
        changed=True, summary=f"report in {record.store.place}", phase="report", head=chain.head,
        path=record.store.place, files=files,
    )  # fmt: skip


def _render(record: Record, params: Mapping[str, Any]) -> tuple[Chain, dict[str, str]]:
    chain = record.read()
    folders = [folder for folder in (params.get("template_dir"), params.get("default_template_dir")) if folder]
    rendered = report.render(chain, folders, record.store.place)
    files = {name: record.store.put(name, text.encode()) for name, text in rendered.items()}
    return chain, {**files, RECORD: os.path.join(record.store.place, RECORD)}


def _windows(opened: Mapping[str, Any], entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return how long the flags that this run changed had had their other value, as earlier records tell."""
    earlier = history.records(opened.get("reports") or "", opened.get("environment") or "")
    own = entries[0]["run_id"] if entries else ""
    return history.windows(entries, (former for record, former in earlier if former and record.run_id != own))


def _take_over(opened: Mapping[str, Any], outcomes: Mapping[str, str], record: Record) -> None:
    """End the dead runs that this run finished: their hosts are all among ours and have answered."""
    answered = {name for name, outcome in outcomes.items() if outcome not in ("unreachable", "no_answer")}
    for run_id in opened.get("resumes") or []:
        dead = Record(LocalStore(os.path.join(opened["reports"], opened["environment"], run_id)), run_id)
        try:
            entries = dead.read().entries
            theirs = next((entry["data"].get("hosts") or [] for entry in entries if entry["type"] == "open"), [])
            if set(theirs) <= answered:
                dead.append("takeover", {"text": "finished by another run", "by": record.run_id})
        except RollbackError:
            continue  # the dead run's folder may have been cleaned away meanwhile; ours is what counts


def _record(params: Mapping[str, Any], check: bool) -> Record | None:
    """Return the record to write to; None in check mode, where there is none."""
    if not params.get("path"):
        if check:
            return None
        raise InvalidInput(
            "the run's folder is missing", where="path", hint="Give the path that state=opened returned."
        )
    return None if check else _existing(params)


def _existing(params: Mapping[str, Any]) -> Record:
    path = os.path.expanduser(params.get("path") or "")
    path = os.path.dirname(path) if path.endswith("/" + RECORD) else path
    store = LocalStore(path)
    entries = read_chain(store.read(RECORD)).entries
    return Record(store, str(entries[0]["run_id"]) if entries else os.path.basename(store.place))


def _words(data: Mapping[str, Any]) -> str:
    return " ".join(str(data.get("msg") or "no reason was given").split())[:600].rstrip(".")


def _noise(key: str) -> bool:
    return key in ("invocation", "ansible_facts", "stdout_lines", "stderr_lines") or key.startswith("_ansible")


_STATES: Mapping[str, Callable[[Mapping[str, Any], bool], dict[str, Any]]] = {
    "opened": _open,
    "added": _add,
    "closed": _close,
    "verified": _verify,
    "reported": _report,
}
