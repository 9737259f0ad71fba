# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: what a notice says, in the form that each kind of channel takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .channels import START
from .contacts import in_words

Notice = Mapping[str, Any]
_LONGEST = 3000


def subject(notice: Notice) -> str:
    """Return a notice's one line: environment, what was done, how it ended."""
    what = str(notice["scenario"]).replace("_", " ")
    said = "started" if notice["event"] == START else str(notice["headline"])
    return " ".join(f"[{notice['environment']}] {what}: {said}".split())[:200]


def start_markdown(notice: Notice) -> str:
    """Return the notice that a run has begun; nothing is known yet but who, why and when."""
    lines = [
        f"### {subject(notice)}",
        "",
        f"**Date:** {notice['started']} (run `{notice['run_id']}`)",
        f"**Environment:** {notice['environment']}",
        f"**Urgency:** {notice['urgency']}",
        f"**Reason:** {notice['reason'] or '[none was given]'}",
        f"**Team:** {notice['operator']}",
        f"**Incident Ticket:** {notice['ticket'] or '[none was given]'}",
        *contact_lines(notice),
    ]
    return "\n".join(lines) + "\n"


def contact_lines(notice: Notice) -> list[str]:
    """Return the contacts of a notice as lines of Markdown, none without contacts."""
    listed = [f"- {in_words(one)}" for one in notice["contacts"]]
    return ["", "**Contacts:**", "", *listed] if listed else []


def slack(notice: Notice) -> str:
    """Return the body of a Slack message; what is not ours is escaped, so that it can't call @channel."""
    lines = [f"*{_slack(subject(notice))}*"]
    if notice["event"] != START:
        lines.append(f"{_slack(notice['action'])}. Time: {_slack(notice['time'])}.")
        lines += [
            f"• NOT PROVED on {_slack(one['host'])}: {_slack(one['why'])[:300]}" for one in notice["failures"][:5]
        ]
        lines += [
            f"• {_slack(one['name'])}: *{_slack(one['value'])}* ({_slack(one['held'])})" for one in notice["flags"]
        ]
        lines += [f"• {_slack(one['name'])}: {_slack(one['state'])}" for one in notice["impact"]]
    lines.append(
        f"Reason: {_slack(notice['reason'] or 'none was given')}. Ticket: {_slack(notice['ticket'] or 'none')}."
    )
    lines.append(f"By {_slack(notice['operator'])}, started {notice['started']}, run {_slack(notice['run_id'])}")
    for one in notice["contacts"]:
        mention = f"<@{one['slack_id']}> " if str(one["slack_id"]).isalnum() else ""
        lines.append(f"{mention}{_slack(in_words(one))}")
    return json.dumps({"text": "\n".join(lines)[:_LONGEST]})


def webhook(notice: Notice) -> str:
    """Return the whole notice as JSON."""
    return json.dumps(dict(notice), ensure_ascii=True, default=str)


def grafana(notice: Notice, options: Mapping[str, Any]) -> str:
    """Return the body of an annotation: a moment at the start, the run's span at its end."""
    tags = [str(tag) for tag in options.get("tags") or ["dualwrite"]]
    body: dict[str, Any] = {
        "time": int(notice["started_epoch"] * 1000),
        "tags": [*tags, str(notice["environment"]), str(notice["scenario"]), str(notice["event"])],
        "text": f"{subject(notice)}\n{notice['action'] if notice['event'] != START else notice['reason']}",
    }
    if notice["event"] != START:
        body["timeEnd"] = int((notice["started_epoch"] + notice["spent"]) * 1000)
    if options.get("dashboard"):
        body["dashboardUID"] = str(options["dashboard"])
    return json.dumps(body)


def _slack(value: Any) -> str:
    return str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
