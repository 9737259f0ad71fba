# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell people of a run: what its record says, to the inventory's channels, once per event and channel.

Whatever goes wrong here is told and written down; it never fails the run that it tells of.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.deadline import Deadline
from ..core.errors import InvalidInput, RollbackError
from ..core.redact import redact_text
from ..core.result import result
from ..notices import contacts, words
from ..notices.channels import END, FAILURE, MODULE, START, Channel, channel
from ..notices.send import Sent, send
from ..probes.http_client import Request, fetch
from ..run import history, report
from ..run.outcome import PROVED
from ..run.record import RECORD, Chain, Record, read_chain
from ..run.times import epoch
from ..run.view import show, view
from ..stores.local import LocalStore

#: how long an answer's first words may be in what is told of it
_WORDS = 200


@dataclass
class Plan:
    """One notice and where it goes: ``channels`` that this step serves, ``by_module`` those that Ansible has to."""

    event: str
    record: Record
    notice: dict[str, Any] = field(default_factory=dict)
    channels: list[Channel] = field(default_factory=list)
    by_module: list[Channel] = field(default_factory=list)
    #: channels that are told nothing of themselves: their options are wrong
    wrong: list[Sent] = field(default_factory=list)


def notify(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Tell of the run in ``path`` and return what became of it; ``params`` are the options of the module ``notify``.

    Channels of kind module are left to ``plan`` and ``finish``. Nothing is told in check mode, nor of no run.
    """
    if check or not params.get("path"):
        return nothing()
    made = plan(params)
    return finish(params, made, send(made.channels, made.notice, post))


def nothing() -> dict[str, Any]:
    """Return the result where nothing is told: in check mode, or of no run."""
    return result(changed=False, summary="check mode: nobody is told", phase="notify", event="", notices=[])


def plan(params: Mapping[str, Any]) -> Plan:
    """Return what to tell to whom. Raises RollbackError when the run's record can't be read."""
    store = LocalStore(os.path.expanduser(str(params["path"])))
    chain = read_chain(store.read(RECORD))
    record = Record(store, str(chain.entries[0]["run_id"]) if chain.entries else os.path.basename(store.place))
    wrong: list[Sent] = []
    channels: list[Channel] = []
    for number, given in enumerate(params.get("notices") or [], start=1):
        try:
            channels.append(channel(given, number))
        except RollbackError as error:
            name = str(given.get("name") or f"{given.get('kind') or 'channel'}-{number}")
            wrong.append(_not_sent(name, str(given.get("kind") or "?"), str(error)))
    if params["event"] != START:
        chain = _with_the_start(record, chain)
    shown = view(chain)
    event = START if params["event"] == START else END if _good(chain, shown) else FAILURE
    urgency = contacts.urgency_of(str(shown["run"].get("scenario")), params.get("urgency") or "", event == FAILURE)
    told = _told(record, shown, chain, event)
    wanted = [one for one in channels if one.wants(event, urgency) and one.name not in told]
    made = Plan(event, record, wrong=wrong)
    made.channels = [one for one in wanted if one.kind != MODULE]
    # a module of Ansible's can't be called beside the run, and the flag is not to wait for one
    made.by_module = [one for one in wanted if one.kind == MODULE and event != START]
    made.notice = _notice(params, shown, event, urgency, record.store.place)
    if event == START:
        made.notice["markdown"] = words.start_markdown(made.notice)
    elif wanted:
        made.notice["markdown"] = _markdown(params, chain) + "\n".join(words.contact_lines(made.notice)) + "\n"
    return made


def finish(params: Mapping[str, Any], made: Plan, sent: Sequence[Sent]) -> dict[str, Any]:
    """Write down what became of the notices, render the report with it, and return the module's result."""
    listed = [*sent, *made.wrong]
    bad = [one for one in listed if not one["sent"]]
    good = len(listed) - len(bad)
    said = f"{made.event}: {good} of {len(listed)} channels told" if listed else f"{made.event}: nobody is to be told"
    said += "".join(f"; NOT TOLD: {one['channel']} ({one['where']}): {one['why']}" for one in bad)
    problems = [f"{one['channel']}: {one['why']}" for one in bad]
    answer = result(
        changed=bool(good), summary=said, phase="notify", event=made.event, urgency=made.notice.get("urgency", ""),
        notices=listed, not_told=problems,
    )  # fmt: skip
    if not listed:
        return answer
    try:
        made.record.append("phase", {"phase": "notify", "result": answer})
        if made.event != START:
            _render(params, made.record)
    except RollbackError as error:
        answer["summary"] += f"; this was not written down: {error}"
    return answer


def announce(made: Plan) -> dict[str, Any]:
    """Write down that the start is told beside the run, for the end to wait for, and return the module's result."""
    answer = result(
        changed=True,
        summary=f"start: {len(made.channels)} channels are told beside the run",
        phase="notify",
        event=START,
        within=max((one.timeout for one in made.channels), default=0.0) + 1.0,
        notices=[],
    )
    with contextlib.suppress(RollbackError):
        made.record.append("phase", {"phase": "notify", "result": answer})
    return answer


def broken(params: Mapping[str, Any], why: str) -> dict[str, Any]:
    """Write down that nobody could be told at all, and why; never raises."""
    one = _not_sent("all", "none", why)
    event = START if params.get("event") == START else END
    answer = result(
        changed=False, summary=f"{event}: NOBODY TOLD: {one['why']}", phase="notify", event=event, notices=[one],
        not_told=[str(one["why"])],
    )  # fmt: skip
    try:
        store = LocalStore(os.path.expanduser(str(params["path"])))
        chain = read_chain(store.read(RECORD))
        return finish(params, Plan(event, Record(store, str(chain.entries[0]["run_id"])), wrong=[one]), [])
    except (RollbackError, LookupError):
        return answer


def post(
    url: str, headers: Mapping[str, str], body: bytes, options: Mapping[str, Any], seconds: float
) -> tuple[int, str]:
    """Send one request (``notices.send.Post``); raises RollbackError when there is no answer."""
    request = Request(
        url, "POST", headers, body=body, ca_cert=options.get("ca_cert"),
        validate_certs=bool(options.get("validate_certs", True)),
    )  # fmt: skip
    answer = fetch(request, Deadline(seconds))
    return answer.status, " ".join(answer.body[:1000].decode("utf-8", "replace").split())[:_WORDS]


def by_module(one: Channel, notice: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a channel's module: ``{subject}``, ``{text}`` and ``{run_id}`` in texts are filled."""
    values = {"{subject}": words.subject(notice), "{text}": str(notice["markdown"]), "{run_id}": str(notice["run_id"])}
    filled: dict[str, Any] = _filled(one.options.get("arguments") or {}, values)
    return filled


def module_answer(one: Channel, why: str, took: float) -> Sent:
    """Return what became of a channel's module; what it said is told without the channel's secrets."""
    said = " ".join(redact_text(why, one.secrets).split())[:300]
    return {**_not_sent(one.name, one.kind, said), "where": one.where, "sent": not why, "took": round(took, 3)}


# -- what is told ----------------------------------------------------------------------------------------------------


def _notice(params: Mapping[str, Any], shown: Mapping[str, Any], event: str, urgency: str, path: str) -> dict[str, Any]:
    run, budget = shown["run"], shown["budget"]
    given = params.get("contacts") or {}
    try:
        contacts.check_contacts(given)
        people = contacts.picked(given, urgency)
    except RollbackError:
        people = []  # the opening of the run has told what is wrong with them
    started = run.get("command_started") or run.get("opened") or ""
    return {
        "event": event,
        "urgency": urgency,
        "run_id": run["run_id"],
        "environment": run.get("environment") or "",
        "scenario": run.get("scenario") or "run",
        "reason": run.get("reason") or "",
        "ticket": run.get("ticket") or "",
        "operator": run.get("operator") or "unknown",
        "started": report.clock(started),
        "started_epoch": epoch(started) or time.time(),
        "outcome": "" if event == START else shown["outcome"],
        "headline": "" if event == START else shown["headline"],
        "action": "" if event == START else shown["action"],
        "spent": budget.spent,
        "budget": budget.seconds,
        "over_budget": bool(budget.overrun),
        "time": budget.sentence(),
        "flags": [{key: one[key] for key in ("name", "value", "held")} for one in shown["flags"]],
        "impact": [{key: one[key] for key in ("name", "state", "why")} for one in shown["impact"]],
        "hosts": {one["name"]: one["outcome"] for one in shown["hosts"]},
        "failures": [{"host": one["name"], "why": one["sentence"]} for one in shown["failures"]],
        "checklist": [{key: one[key] for key in ("text", "state", "why", "owner")} for one in shown["checklist"]],
        "contacts": people,
        "report": path,
        "markdown": "",
    }


def _render(params: Mapping[str, Any], record: Record) -> None:
    own = [one for one in (params.get("template_dir"), params.get("default_template_dir")) if one]
    chain, place = record.read(), record.store.place
    try:
        rendered = report.render(chain, own, place)
    except InvalidInput:
        rendered = report.render(chain, own[-1:], place)
    for name, text in rendered.items():
        record.store.put(name, text.encode())


def _markdown(params: Mapping[str, Any], chain: Chain) -> str:
    own = [one for one in (params.get("template_dir"), params.get("default_template_dir")) if one]
    try:
        return report.notice(chain, own)
    except RollbackError:
        # a broken template of the operator's own must not cost the notice
        return report.notice(chain, [str(params["default_template_dir"])])


def _good(chain: Chain, shown: Mapping[str, Any]) -> bool:
    closed: dict[str, Any] = next((one["data"] for one in chain.entries if one["type"] == "close"), {})
    return shown["outcome"] == PROVED and not closed.get("failed_hosts")


def _told(record: Record, shown: Mapping[str, Any], chain: Chain, event: str) -> set[str]:
    """Return the channels that have been told of this event; a run that goes on after a dead one starts nothing new."""
    found = history.notices(chain.entries)
    if event == START:
        for run_id in shown["run"].get("resumes") or []:
            dead = LocalStore(os.path.join(os.path.dirname(record.store.place), str(run_id)))
            try:
                found += history.notices(read_chain(dead.read(RECORD)).entries)
            except RollbackError:
                continue
    return {str(one.get("channel")) for one in found if one["event"] == event and one.get("sent")}


def _with_the_start(record: Record, chain: Chain) -> Chain:
    """Return the record once it holds what became of the start's notices, if they were sent beside the run."""
    deadline: Deadline | None = None
    while (seconds := _beside(chain)) is not None:
        deadline = deadline or Deadline(seconds)
        if deadline.passed():
            break
        time.sleep(0.05)
        chain = record.read()
    return chain


def _beside(chain: Chain) -> float | None:
    """Return the seconds until the last word on notices that are being sent beside the run; None without any."""
    for one in reversed(chain.entries):
        told = one["data"].get("result") if one["type"] == "phase" and one["data"].get("phase") == "notify" else None
        if isinstance(told, Mapping) and told.get("event") == START:
            until = (epoch(one["at"]) or 0.0) + float(told.get("within") or 0.0)
            return max(0.0, until - time.time()) if told.get("within") else None
    return None


def _not_sent(name: str, kind: str, why: str) -> Sent:
    return {"channel": name, "kind": kind, "where": "-", "sent": False, "why": show(why, 300), "took": 0.0}


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(item, values) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(item, values) for item in value]
    if isinstance(value, str):
        for placeholder, text in values.items():
            value = value.replace(placeholder, text)
    return value
