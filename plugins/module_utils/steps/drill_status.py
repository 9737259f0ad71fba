# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ledger says, as rows, as one page and as JUnit XML."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date, datetime, timezone
from typing import Any

from ..core.errors import InvalidInput, VerificationFailed
from ..core.files import write_atomically
from ..core.result import result
from ..drill import ledger
from ..drill.exercises import complete
from ..drill.junit import junit
from ..drill.page import page
from ..drill.status import rows


def drill_status(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Return what is overdue, and write the page and the XML that are asked for.

    ``params`` are the options of the module ``drill_status``. Raises VerificationFailed, after everything is written,
    when ``strict`` and something is overdue or can't be counted; InvalidInput for bad options.
    """
    folder = os.path.abspath(os.path.expanduser(params["ledger"]))
    told = publish(params, folder, complete(params.get("exercises") or {}), check=check)
    loose, why = ledger.uncommitted(folder)
    overdue = [one for one in told["rows"] if one["overdue"]]
    said = f"{told['number']} drills, {len(overdue)} overdue"
    said += f", {len(told['problems'])} files that don't count" if told["problems"] else ""
    notes = [f"not counted: {name}: {words}" for name, words in told["problems"].items()]
    notes += [f"not committed: {os.path.join(folder, name)}" for name in loose]
    if why and os.path.isdir(folder):
        notes.append(why)
    outcome = result(
        changed=told["changed"], summary=said, phase="drills", status=told["rows"], problems=told["problems"],
        uncommitted=loose, notes=notes, files=told["files"], lines=_lines(told["rows"]),
    )  # fmt: skip
    if params.get("strict") and (overdue or told["problems"]):
        names = [f"{one['exercise']} in {one['environment']} ({one['why']})" for one in overdue]
        names += [f"{name}: {words}" for name, words in told["problems"].items()]
        raise VerificationFailed(f"{said}: {'; '.join(names)}", evidence=outcome)
    return outcome


def publish(
    params: Mapping[str, Any], folder: str, exercises: Mapping[str, Any], *, check: bool = False
) -> dict[str, Any]:
    """Read the ledger, judge it, and write ``page`` and ``junit``; return rows, problems, files and what changed."""
    today = day_given(params.get("today"))
    since = day_given(params["since"]) if params.get("since") else None
    read = ledger.read(folder)
    environments = [
        *(params.get("environments") or []),
        *([params["environment"]] if params.get("environment") else []),
    ]
    found = rows(read.entries, exercises, environments, today, int(params.get("interval") or 365), since)
    plain = [one.as_dict() for one in found]
    changed, files = False, {}
    for name in ("page", "junit"):
        if params.get(name):
            files[name] = os.path.abspath(os.path.expanduser(params[name]))
            text = page(read, plain, today) if name == "page" else junit(read, plain)
            changed = _put(files[name], text, check) or changed
    return {"rows": plain, "problems": read.problems, "files": files, "changed": changed, "number": len(read.entries)}


def day_given(text: Any) -> date:
    """Return a day given as YYYY-MM-DD, today in UTC when none is; raises InvalidInput."""
    if not text:
        return datetime.now(timezone.utc).date()
    try:
        return date(*(int(part) for part in str(text)[:10].split("-")))
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"'{text}' is no day", where="today or since", hint="Give YYYY-MM-DD.") from error


def _put(path: str, text: str, check: bool) -> bool:
    """Replace a file whose text differs; return whether it did."""
    content = text.encode()
    try:
        with open(path, "rb") as stream:
            if stream.read() == content:
                return False
    except OSError:
        pass
    if not check:
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"the folder can't be made: {error.strerror}", where=os.path.dirname(path)) from error
        write_atomically(path, content, mode=0o644)
    return True


def _lines(found: list[dict[str, Any]]) -> list[str]:
    """Return the rows as lines for a person."""
    lines = []
    for one in found:
        last = f"last passed {one['last_passed']}" if one["last_passed"] else "never passed"
        due = f"due {one['due']} ({one['why']})" if one["due"] else one["why"]
        mark = "OVERDUE" if one["overdue"] else "in time"
        quarter = f"Q{one['quarter']} " if one["quarter"] else ""
        lines.append(f"{mark}  {one['environment']}  {quarter}{one['exercise']}: {last}, {due}")
    return lines
