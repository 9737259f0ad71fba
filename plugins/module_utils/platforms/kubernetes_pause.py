# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pause who would bring an old value, or stopped pods, back (Argo CD, Flux); let them go on when these are back itself.

What was paused is remembered on the manager's own object, with the values of before, so that any controller can end the
pause: as soon as every place has its value of before again. A manager that somebody else has paused is left alone.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

from ..core.booleans import BooleanWords
from ..core.errors import Conflict, NotFound, Refused, RollbackError
from ..core.evidence import utc_now
from . import kubernetes_rights
from .kubernetes_api import Api
from .kubernetes_change import Changes
from .kubernetes_env import CONFIG_MAP, SECRET
from .kubernetes_managers import Manager, managers, owners, that_sync_here
from .kubernetes_namespace import Data
from .kubernetes_objects import PAUSED, Object, annotations_of, full_name, set_annotation, unchanged
from .kubernetes_plan import DataEdit
from .kubernetes_roll import TRIES, Target

#: what a value was, and what it becomes; None where that is no word for true or false
Step = tuple[Optional[bool], Optional[bool]]
#: place of a value -> its step
Edits = Mapping[str, Step]
Memory = dict[str, Any]
#: how the place is called whose value is that an object has pods
PODS = "the pods of"


def syncs(manager: Manager, thing: Mapping[str, Any]) -> bool:
    """Return whether a manager brings things back of itself."""
    spec = thing.get("spec") or {}
    if not manager.is_argo:
        return not spec.get("suspend")
    automated = (spec.get("syncPolicy") or {}).get("automated")
    return automated is not None and automated.get("enabled") is not False


def remembered(manager: Manager, thing: Mapping[str, Any]) -> Memory | None:
    """Return what we have written on a manager when we paused it; None when it goes on, or somebody else paused it."""
    try:
        memory = json.loads(annotations_of(thing).get(PAUSED, "null"))
    except ValueError:
        return None
    whole = isinstance(memory, dict) and isinstance(memory.get("former"), dict)
    return memory if whole and not syncs(manager, thing) else None


def former_values(memory: Memory | None, edits: Edits) -> dict[str, bool | None]:
    """Return the values of before that are still missing once the edits are made; none: the pause may end."""
    former: dict[str, bool | None] = dict(memory["former"]) if memory else {}
    for place, (was, value) in edits.items():
        if place not in former and was is not value:
            former[place] = was
        elif place in former and value is not None and former[place] is value:
            del former[place]
    return former


def operations(manager: Manager, thing: Mapping[str, Any], edits: Edits) -> list[Object]:
    """Return the operations that pause a manager for these edits, end its pause, or remember more; none: as it is."""
    memory = remembered(manager, thing)
    former = former_values(memory, edits)
    if memory is None and (not former or not syncs(manager, thing)):
        return []
    if memory is not None and not former:
        return [*_going_on(manager, thing, memory), *set_annotation(thing, "", PAUSED, None)]
    if memory is not None and former == memory["former"]:
        return []
    policy = (thing["spec"].get("syncPolicy") or {}) if manager.is_argo else {}
    noted = {**(memory or {"since": utc_now(), "automated": policy.get("automated")}), "former": former}
    todo = set_annotation(thing, "", PAUSED, json.dumps(noted, sort_keys=True))
    if memory is not None:
        return todo
    if manager.is_argo:
        return [*todo, {"op": "remove", "path": "/spec/syncPolicy/automated"}]
    return [*todo, {"op": "add", "path": "/spec/suspend", "value": True}]


def _going_on(manager: Manager, thing: Mapping[str, Any], memory: Memory) -> list[Object]:
    if not manager.is_argo:
        return [{"op": "remove", "path": "/spec/suspend"}]
    automated = memory.get("automated") or {}
    if thing["spec"].get("syncPolicy") is None:
        return [{"op": "add", "path": "/spec/syncPolicy", "value": {"automated": automated}}]
    return [{"op": "add", "path": "/spec/syncPolicy/automated", "value": automated}]


class Pauses:
    """The managers of one call's objects; workloads that have one in common pause it once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str], bool | None] = {}
        self.notes: list[str] = []

    def settle(self, api: Api, manager: Manager, edits: Edits) -> None:
        """Pause a manager before the edits are made, or let it go on where these are the way back."""
        path = manager.path(api)
        with self._lock:
            new = {}
            for place, one in edits.items():
                if (path, place) not in self._made or self._made[path, place] is not one[1]:
                    new[place] = one
            self._change(api, manager, path, new)
            self._made.update({(path, place): value for place, (dummy, value) in new.items()})

    def _change(self, api: Api, manager: Manager, path: str, edits: Edits) -> None:
        for number in range(TRIES):
            thing = api.get(path)
            todo = operations(manager, thing, edits)
            if not todo:
                return
            try:
                after = api.patch(path, [unchanged(thing), *todo])
            except Conflict:
                if number == TRIES - 1:
                    raise
                continue
            if syncs(manager, after):
                self.notes.append(f"{manager.told}, which we had paused, goes on: the values of before are back")
            return


class Pausing:
    """What one workload has to do with the managers of its objects; only where that is ``allowed`` are they paused."""

    def __init__(self, api: Api, words: BooleanWords, argocd_namespace: str, *, allowed: bool) -> None:
        self.api = api
        self.words = words
        self.argocd_namespace = argocd_namespace
        self.allowed = allowed
        self.shared = Pauses()
        self._kept: dict[str, dict[Manager, dict[str, Step]]] = {}
        self._expected: dict[str, list[str]] = {}
        self._of_resting: dict[Manager, None] = {}

    def _keepers(self, thing: Mapping[str, Any] | None) -> list[Manager]:
        return that_sync_here(self.api, thing, self.argocd_namespace) if thing is not None else []

    def _by_manager(
        self, target: Target, thing: Mapping[str, Any], edits: Sequence[Any]
    ) -> dict[Manager, dict[str, Step]]:
        """Return, for each manager, the edits of what it keeps."""
        data, found = Data(self.api, target.namespace), dict[Manager, dict[str, Step]]()
        for edit in edits:
            if isinstance(edit, DataEdit):
                place = f"{edit.key} of {full_name(edit.kind, target.namespace, edit.name)}"
                keepers = self._keepers(data(edit.kind, edit.name))
            else:
                place = f"{edit.flag} of {target.where}, container {edit.container_name},"
                keepers = self._keepers(thing)
            for one in keepers:
                found.setdefault(one, {})[place] = (self.words.read(edit.was), self.words.read(edit.value))
        return found

    def plan(self, target: Target, thing: Mapping[str, Any], edits: Sequence[Any]) -> tuple[list[str], list[str]]:
        """Return (who will be paused, sentences on who may end that), having asked whether it can be done.

        Raises Refused when it can't: an Application whose place is not told, or not there, or a missing right.
        """
        kept = self._by_manager(target, thing, edits) if self.allowed and edits else {}
        expected, notes = list[str](), list[str]()
        self._kept[target.name], self._expected[target.name] = kept, expected
        for manager, mine in kept.items():
            now = _required(self.api, target.where, manager)
            if not operations(manager, now, mine):
                continue
            memory = remembered(manager, now)
            if memory is not None and not former_values(memory, mine):
                expected.append(f"{manager.told}, which we have paused, is to go on: its values come back")
                continue
            expected.append(f"{manager.told} is to be paused, so that it does not bring the old value back")
            who = [*owners(now), *managers(now)]
            if who:
                notes.append(f"{manager.told} is kept by {', '.join(who)}, which may end its pause: pause that too")
        return [manager.told for manager in kept], notes

    @contextlib.contextmanager
    def during_edits(self, name: str) -> Iterator[None]:
        """Pause, or let go on, as it was planned for the object of that name; edits that fail take it back."""
        self._expected.pop(name, None)
        try:
            self.settle(name)
            yield
        except RollbackError:
            with contextlib.suppress(RollbackError):
                self.before_undo(name)
            raise

    def before_undo(self, name: str) -> None:
        """Do the opposite: the edits of that object are taken back."""
        for manager, edits in self._kept.get(name, {}).items():
            self.shared.settle(self.api, manager, {place: (value, was) for place, (was, value) in edits.items()})

    def plan_scale(self, target: Target, thing: Mapping[str, Any], *, was: bool, runs: bool) -> None:
        """Find out who would bring an object's pods back, or is to go on because they are back, and whether it can.

        Raises Refused as ``plan`` does.
        """
        keepers = self._keepers(thing) if self.allowed else []
        kept: dict[Manager, dict[str, Step]] = {one: {f"{PODS} {target.where}": (was, runs)} for one in keepers}
        for manager in kept:
            _required(self.api, target.where, manager)
        self._kept[target.name] = kept
        self._of_resting.update(dict.fromkeys(kept))

    def settle(self, name: str) -> None:
        """Pause, or let go on, as it was planned for the object of that name."""
        for manager, edits in self._kept.get(name, {}).items():
            self.shared.settle(self.api, manager, edits)

    def notes(self, things: Sequence[tuple[Changes, Mapping[str, Any]]], flags: Sequence[str]) -> list[str]:
        """Return who is to be paused, who goes on, and who is paused by us and since when."""
        found = dict(self._of_resting)
        for changes, thing in things:
            try:
                data = changes.data()
                listed = changes.places(thing, flags, data)
                named = {(one[-1].source, one[-1].name) for many in listed.values() for one in many if one[-1].name}
                every = [thing, *(data(*one) for one in sorted(named) if one[0] in (CONFIG_MAP, SECRET))]
                found.update(dict.fromkeys(one for each in every for one in self._keepers(each)))
            except RollbackError:
                continue
        expected = [one for told in self._expected.values() for one in told]
        return [*expected, *self.shared.notes, *standing(self.api, list(found))]


def _required(api: Api, where: str, manager: Manager) -> Object:
    """Return the object of a manager that is to be paused; raises Refused when that can't be done."""
    if not manager.namespace:
        raise Refused(
            f"{manager.told} would bring the old value back, and where its Application is was not told; "
            "nothing was changed",
            where=where,
            hint="Give its namespace as the workload's option argocd_namespace, or say pause_managers: false.",
        )
    rights = [kubernetes_rights.Right(verb, manager.plural, manager.group, manager.name) for verb in ("get", "patch")]
    kubernetes_rights.require(api, manager.namespace, rights)
    try:
        return api.get(manager.path(api))
    except NotFound as error:
        raise Refused(
            f"{manager.told} is not in the namespace '{manager.namespace}', so it can't be paused; nothing was changed",
            where=where,
            hint="Say where it is (argocd_namespace), or say pause_managers: false.",
        ) from error


def standing(api: Api, found: Sequence[Manager]) -> list[str]:
    """Return a sentence for each manager that we have paused, and since when; what can't be asked is left out."""
    told = []
    for manager in found:
        try:
            memory = remembered(manager, api.get(manager.path(api))) if manager.namespace else None
        except RollbackError:
            continue
        if memory is not None:
            back = ", ".join(_back(place, value) for place, value in sorted(memory["former"].items()))
            told.append(
                f"{manager.told} is paused by us since {memory.get('since')}: it goes on when {back} again, "
                f"or by hand ({manager.resume})"
            )
    return told


def _back(place: str, value: bool | None) -> str:
    return f"{place} run" if place.startswith(PODS) else f"{place} is {_word(value)}"


def _word(value: bool | None) -> str:
    return "what it was" if value is None else str(value).lower()
