# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The incident log of an environment: one line per run that has ended, as JSON lines and beside it as Markdown.

Both only grow, one writer at a time; a run that is closed twice stands there once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ..core.evidence import utc_now
from ..core.redact import redact
from ..stores.local import LocalStore
from .report import clock, markdown_text, seconds

NAME = "incidents.jsonl"
CLOSED = "closed"
_HEAD = (
    "# Incident log\n\n| when | environment | what | outcome | flags | time | by | ticket | run |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)


def entry_of(shown: Mapping[str, Any], report: str, spent: float) -> dict[str, Any]:
    """Return the line of a run, from the values that its report shows (``view``)."""
    run = shown["run"]
    return {
        "at": utc_now(),
        "run_id": run["run_id"],
        "event": CLOSED,
        "environment": run.get("environment"),
        "scenario": run.get("scenario"),
        "action": shown["action"],
        "outcome": shown["outcome"],
        "hosts": {host["name"]: host["outcome"] for host in shown["hosts"]},
        "flags": {flag["name"]: flag["value"] for flag in shown["flags"]},
        "reason": run.get("reason"),
        "ticket": run.get("ticket"),
        "operator": run.get("operator"),
        "started": run.get("command_started") or run.get("opened"),
        "spent": spent,
        "budget": run.get("budget"),
        "report": report,
    }


def append(path: str, entry: Mapping[str, Any]) -> str:
    """Add a run's line unless it is there, to the file ``path`` and to its Markdown; return the path.

    Raises RollbackError when it can't be written.
    """
    plain = json.loads(json.dumps(redact(dict(entry)), default=str))
    store = LocalStore(os.path.dirname(path))
    name = os.path.basename(path)

    def as_json(content: bytes) -> bytes:
        if find(content, str(plain["run_id"])):
            return b""
        return _line_end(content) + json.dumps(plain, sort_keys=True).encode() + b"\n"

    def as_markdown(content: bytes) -> bytes:
        if f"| `{plain['run_id']}` |".encode() in content:
            return b""
        return (_line_end(content) if content else _HEAD.encode()) + _row(plain).encode()

    store.append(name, as_json)
    store.append(f"{os.path.splitext(name)[0]}.md", as_markdown)
    return os.path.join(store.place, name)


def find(content: bytes, run_id: str) -> dict[str, Any] | None:
    """Return a run's line in the bytes of a log; lines that are none (torn by a crash) are passed over."""
    for raw in reversed(content.splitlines()):
        try:
            entry = json.loads(raw)
        except ValueError:
            continue
        if isinstance(entry, dict) and (entry.get("run_id"), entry.get("event")) == (run_id, CLOSED):
            return entry
    return None


def _line_end(content: bytes) -> bytes:
    return b"" if not content or content.endswith(b"\n") else b"\n"


def _row(entry: Mapping[str, Any]) -> str:
    flags = ", ".join(f"{name}: {value}" for name, value in entry["flags"].items())
    cells = [
        clock(entry["at"]), entry["environment"], entry["action"], entry["outcome"], flags, seconds(entry["spent"]),
        entry["operator"], entry["ticket"],
    ]  # fmt: skip
    return f"| {' | '.join(markdown_text('' if cell is None else cell) for cell in cells)} | `{entry['run_id']}` |\n"
