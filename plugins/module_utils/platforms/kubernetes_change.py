# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change flags of one object where their values come from, and take that back."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.booleans import BooleanWords
from ..core.errors import Conflict, NotFound, RollbackError
from ..core.redact import HIDDEN
from . import kubernetes_plan
from .base import Change, Declared
from .kubernetes_env import SECRET, Place, value_in, written
from .kubernetes_namespace import Data
from .kubernetes_objects import Object, escaped, full_name, roll_of, unchanged
from .kubernetes_plan import DataEdit, EnvEdit
from .kubernetes_roll import TRIES, Target, new_roll


@dataclass(frozen=True)
class Undo:
    """What takes a change back: the object's name, the edits made, and the roll that its template came from."""

    name: str
    edits: tuple[Any, ...]
    roll: str = ""


def shown(source: str, value: str | None, words: BooleanWords) -> str | None:
    """Return a value as it may be told: what a Secret holds is told only if it is a word for true or false."""
    return HIDDEN if source == SECRET and value is not None and words.read(value) is None else value


def joined(found: Sequence[tuple[str, str | None, list[str]]], everywhere: str) -> Declared:
    """Return what many (place that wins, its value, places that lose) declare together; ``everywhere`` when none is."""
    if not found:
        return Declared(None, everywhere)
    sources = list(dict.fromkeys(source for source, dummy, others in found))
    values = {value for dummy, value, others in found}
    shadowed = tuple(dict.fromkeys(one for dummy, value, others in found for one in others))
    if len(values) == 1:
        return Declared(values.pop(), ", ".join(sources), shadowed)
    told = ", ".join(f"{'(missing)' if value is None else value} ({source})" for source, value, others in found)
    return Declared(told, ", ".join(sources), shadowed)


class Changes:
    """The flags of one object; ``only`` names the containers that carry them, where it is given."""

    def __init__(self, target: Target, words: BooleanWords, only: Sequence[str], *, override: bool) -> None:
        self.target = target
        self.words = words
        self.only = list(only)
        self.override = override

    def data(self) -> Data:
        """Return the ConfigMaps and Secrets as they are from now on."""
        return Data(self.target.api, self.target.namespace)

    def carriers(self, thing: Mapping[str, Any], flags: Sequence[str], data: Data) -> list[kubernetes_plan.At]:
        """Return the containers of an object's template that carry the flags."""
        spec = self.target.kind.pod_template(thing).get("spec") or {}
        with self._named():
            return kubernetes_plan.carriers(spec, flags, self.only, data)

    def places(self, thing: Mapping[str, Any], flags: Sequence[str], data: Data) -> dict[str, list[list[Place]]]:
        """Return, per flag and container that has it, the places that name it, the one that wins last."""
        found = self.carriers(thing, flags, data)
        return {flag: kubernetes_plan.declared(found, flag, data) for flag in flags}

    def told(self, place: Place) -> str:
        """Return a place as a person is told of it, with the object's full name."""
        if place.name:
            return f"{full_name(place.source, self.target.namespace, place.name)}, key {place.key}"
        return f"{self.target.where}, {place}"

    def edits(self, thing: Mapping[str, Any], flags: Mapping[str, str], known: Sequence[str], data: Data) -> list[Any]:
        """Return the edits that give the object's containers these raw values."""
        found = self.carriers(thing, [*known, *flags], data)
        with self._named():
            return kubernetes_plan.edits(found, flags, known, data, override=self.override)

    @contextlib.contextmanager
    def _named(self) -> Any:
        try:
            yield
        except RollbackError as error:
            raise kubernetes_plan.at_place(error, self.target.where) from error

    def as_changes(self, edits: Sequence[Any], roll: str) -> list[Change]:
        """Return the edits as the changes that they are, one for each object; ``roll`` is the template's former one."""
        inside = [one for one in edits if isinstance(one, EnvEdit)]
        changes = [
            self._change(full_name(one.kind, self.target.namespace, one.name), [one], "")
            for one in edits
            if isinstance(one, DataEdit)
        ]
        if inside:
            changes.append(self._change(self.target.where, inside, roll))
        return changes

    def _change(self, where: str, edits: Sequence[Any], roll: str) -> Change:
        several = len({getattr(one, "container_name", "") for one in edits}) > 1
        before, after = "", ""
        for one in edits:
            end = f"  # container {one.container_name}\n" if several else "\n"
            source = one.kind if isinstance(one, DataEdit) else one.source
            if one.was is not None:
                before += f"{one.flag}={shown(source, one.was, self.words)}{end}"
            after += f"{one.flag}={one.value}{end}"
        return Change(where, before, after, Undo(self.target.name, tuple(edits), roll))

    def declare(self, flags: Mapping[str, str], known: Sequence[str]) -> list[Change]:
        """Write the raw values: first into ConfigMaps and Secrets, then into the template, which begins the roll.

        All or none: when one can't be written, those before it are taken back.
        """
        made: list[Change] = []
        thing = self.target.get()
        try:
            for edit in self.edits(thing, flags, known, self.data()):
                if isinstance(edit, DataEdit):
                    self._write(edit.kind, edit.name, edit.key, edit.was, edit.value)
                    made += self.as_changes([edit], "")
            inside: list[Any] = []
            former = [""]

            def operations(now: Object) -> list[Object]:
                inside[:] = [one for one in self.edits(now, flags, known, self.data()) if isinstance(one, EnvEdit)]
                former[0] = roll_of(self.target.kind.pod_template(now))
                return self._begin(now, inside, new_roll())

            self.target.change(operations)
            made += self.as_changes(inside, former[0])
        except RollbackError:
            with contextlib.suppress(RollbackError):
                self.undeclare(made)
            raise
        return made

    def _begin(self, thing: Object, inside: Sequence[Any], roll: str) -> list[Object]:
        kind = self.target.kind
        spec = kind.pod_template(thing).get("spec") or {}
        todo = kubernetes_plan.operations(spec, inside, kind.pointer)
        return self.target.rolling(thing, todo, roll) if todo and kind.rolls else todo

    def undeclare(self, changes: Sequence[Change]) -> None:
        """Take changes back, newest first; raises Conflict when a place is no longer as we left it."""
        for change in reversed(list(changes)):
            undo: Undo = change.undo
            inside = [one for one in undo.edits if isinstance(one, EnvEdit)]
            for edit in undo.edits:
                if isinstance(edit, DataEdit):
                    self._write(edit.kind, edit.name, edit.key, edit.value, edit.was)
            if inside:
                self.target.change(lambda thing, inside=inside, roll=undo.roll: self._back(thing, inside, roll))  # type: ignore[misc]

    def _back(self, thing: Object, inside: Sequence[Any], roll: str) -> list[Object]:
        kind = self.target.kind
        spec = kind.pod_template(thing).get("spec") or {}
        try:
            todo = kubernetes_plan.taken_back(spec, inside, kind.pointer)
        except ValueError as error:
            raise self._others(str(error)) from error
        return self.target.rolling(thing, todo, roll) if kind.rolls else todo

    def _others(self, what: str) -> Conflict:
        return Conflict(
            f"{what} was changed by somebody else since, so our change was not taken back",
            where=self.target.where,
            hint="Look at it and set the flags by hand.",
        )

    def _write(self, kind: str, name: str, key: str, old: str | None, new: str | None) -> None:
        """Change one key of a ConfigMap or Secret from ``old`` to ``new`` (None: it is not there)."""
        api = self.target.api
        where = full_name(kind, self.target.namespace, name)
        for number in range(TRIES):
            data = self.data()
            thing = data(kind, name)
            if thing is None:
                raise NotFound("it does not exist", where=where)
            present = value_in(kind, thing, key)
            if present == new:
                return
            if present != old:
                raise Conflict(f"{key} was changed by somebody else just now", where=where, hint="Run it again.")
            at = f"/data/{escaped(key)}"
            change: Object = {"op": "remove", "path": at}
            if new is not None:
                change = {"op": "add", "path": at, "value": written(kind, new)}
                if not thing.get("data"):
                    change = {"op": "add", "path": "/data", "value": {key: written(kind, new)}}
            try:
                api.patch(data.path(kind, name), [unchanged(thing), change])
                return
            except Conflict:
                if number == TRIES - 1:
                    raise
