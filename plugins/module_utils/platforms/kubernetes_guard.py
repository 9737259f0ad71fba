# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""May an object be changed, and who will have a say in it afterwards? Asked before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import Refused
from . import kubernetes_managers as managers
from . import kubernetes_ready as ready
from . import kubernetes_unlisted
from .kubernetes_namespace import Data
from .kubernetes_plan import DataEdit
from .kubernetes_roll import Target


def require_rollable(target: Target, thing: Mapping[str, Any], *, roll_over: bool) -> None:
    """Raise Refused when a changed template would not reach every pod, or somebody else has begun a roll."""
    if not target.kind.rolls:
        return
    why = ready.never_rolls(target.kind, thing)
    if why:
        raise Refused(f"{why}; nothing was changed", where=target.where, hint="Change that first.")
    others = ready.under_way(target.kind, thing)
    if others and not ready.ours(thing) and not roll_over:
        undo = f"kubectl rollout undo {target.kind.name.lower()}/{target.name} -n {target.namespace}"
        raise Refused(
            f"somebody else's roll is under way: {others}; nothing was changed",
            where=target.where,
            hint=f"Wait for it, undo it ({undo}), or say roll_over: true.",
        )


def require_ours(
    target: Target, edits: Sequence[Any], listed: kubernetes_unlisted.Listed, shared_with: Sequence[str]
) -> None:
    """Raise Refused when an object that is not listed takes its value from a place to be edited."""
    data = Data(target.api, target.namespace)
    for edit in edits:
        if not isinstance(edit, DataEdit):
            continue
        place = (edit.kind, edit.name, edit.key)
        found = kubernetes_unlisted.sharing(target.api, target.namespace, place, edit.flag, listed, data)
        others = ", ".join(f"{kind} {name}" for kind, name in found if name not in shared_with)
        if others:
            raise Refused(
                f"{edit.flag} comes from {edit.kind} {edit.name}, which {others} takes it from too and which would "
                "change with it; nothing was changed",
                where=target.where,
                hint=f"List {others} as a workload too, or allow it by shared_with.",
            )


def managers_told(
    target: Target, thing: Mapping[str, Any], edits: Sequence[Any], paused: Sequence[str] = ()
) -> list[str]:
    """Return the sentences about who else keeps what is to be edited, but for who will be paused."""
    told: list[str] = []
    if any(not isinstance(one, DataEdit) for one in edits):
        who = [one for one in managers.managers(thing) if one not in paused] + managers.appliers(thing, "f:env")
        told += managers.warnings(target.where, who, "values")
    data = Data(target.api, target.namespace)
    for one in edits:
        found = data(one.kind, one.name) if isinstance(one, DataEdit) else None
        if found:
            who = [one for one in managers.managers(found) if one not in paused]
            who += managers.appliers(found, f"f:{one.key}")
            told += managers.warnings(f"{one.kind} {target.namespace}/{one.name}", who, "values")
    return told
