# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the numbers that data is judged by later, or compare with those that were taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.deadline import Deadline
from ..core.errors import InvalidInput, VerificationFailed
from ..core.result import Timings, result
from ..postgres import baseline
from ..postgres.session import Session
from ..stores.local import LocalStore


def sql_baseline(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Count tables and invariants in one read-only transaction; keep the numbers, or compare with those kept before.

    ``params`` are the module's options. In check mode nothing is written. Raises VerificationFailed, with both sets of
    numbers, when a comparison finds something worse than ``expect`` allows.
    """
    timings = Timings()
    if not params.get("tables") and not params.get("invariants"):
        raise InvalidInput(
            "neither tables nor invariants are given, and nothing counted says nothing", where="sql_baseline"
        )
    name = str(params["name"])
    if not name or "/" in name or name.startswith("."):
        raise InvalidInput(f"'{name}' is no name of a baseline", where="name", hint="It may hold no slash.")
    expect = baseline.take_expected(params.get("expect") or {}, params.get("tables") or [])
    store = LocalStore(str(params["baselines"]))
    compare = params["state"] == "compared"
    then = baseline.recall(store, name) if compare else None
    session = Session(params, Deadline(float(params["timeout"])), name="sql_baseline")
    try:
        with timings.phase("count"):
            now = baseline.take(session, params)
    finally:
        session.close()
    told = {
        "tables": now["tables"],
        "invariants": now["invariants"],
        "checksums": now["checksums"],
        "taken": now["taken"],
    }
    if then is None:
        path = "" if check else baseline.keep(store, name, now)
        numbers = len(now["tables"]) + len(now["invariants"])
        summary = f"{numbers} numbers {'would be ' if check else ''}kept as baseline {name}"
        return result(changed=True, summary=summary, timings=timings, path=path, **told)
    changed, wrong = baseline.differences(then, now, expect)
    outcome = result(
        changed=False,
        summary="; ".join(changed) if changed else f"as in the baseline of {then['taken']}",
        timings=timings,
        path=store.place,
        differences=changed,
        baseline={key: then[key] for key in ("tables", "invariants", "taken")},
        **told,
    )
    if wrong:
        raise VerificationFailed(
            f"the data is not as in the baseline: {'; '.join(wrong)}", where=name, evidence=outcome
        )
    return outcome
