# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which containers carry the flags, what they will hold, and the edits that change it; pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import InvalidInput, Refused, RollbackError
from .kubernetes_env import CONFIG_MAP, ENV, OTHER, SECRET, Lookup, Place, hidden_sources, places, why_not_edited
from .kubernetes_objects import Object, containers

At = tuple[str, int, Object]


@dataclass(frozen=True)
class EnvEdit:
    """One entry of a container's env: ``before`` is None when it is added at the end."""

    field: str
    container: int
    container_name: str
    entry: int
    before: Mapping[str, Any] | None
    flag: str
    value: str
    was: str | None
    source: str = ENV


@dataclass(frozen=True)
class DataEdit:
    """One key of a ConfigMap or Secret; ``was`` is None when it is added."""

    kind: str
    name: str
    key: str
    flag: str
    value: str
    was: str | None


def carriers(spec: Mapping[str, Any], flags: Sequence[str], only: Sequence[str], lookup: Lookup) -> list[At]:
    """Return (field, index, container) of the containers that declare one of the flags, those of ``only`` if given.

    Where none does, it is the containers of ``only``, or the only container. Raises InvalidInput when ``only`` names
    one that is not there.
    """
    every = containers(spec)
    names = [str(one["name"]) for dummy, index, one in every]
    for name in only:
        if name not in names:
            raise InvalidInput(f"it has no container '{name}'", hint=f"It has: {', '.join(names)}.")
    wanted = [one for one in every if not only or one[2]["name"] in only]
    found = [one for one in wanted if any(places(one[2], (one[0], one[1]), flag, lookup) for flag in flags)]
    if found or only:
        return found or wanted
    mine = [one for one in every if one[0] == "containers"]
    return mine if len(mine) == 1 else []


def declared(found: Sequence[At], flag: str, lookup: Lookup) -> list[list[Place]]:
    """Return the places of a flag for each of these containers that has any, the one that wins last."""
    listed = [places(one, (field, index), flag, lookup) for field, index, one in found]
    return [one for one in listed if one]


def edits(
    found: Sequence[At], flags: Mapping[str, str], known: Sequence[str], lookup: Lookup, *, override: bool
) -> list[Any]:
    """Return the edits that make these containers hold the raw values, each in the place that wins.

    Raises Refused for a place that must not be edited, and InvalidInput for one that can't be.
    """
    made: list[Any] = []
    for flag, value in flags.items():
        if not found:
            raise InvalidInput(
                f"{flag} is declared nowhere, and there are several containers that it could be added to",
                hint="Name the one in the workload's option containers.",
            )
        somewhere = declared(found, flag, lookup)
        for field, index, one in found:
            mine = places(one, (field, index), flag, lookup)
            if mine:
                edit = _changed(one, mine[-1], flag, value, lookup, override=override)
            elif somewhere or field != "containers":
                continue
            else:
                edit = _added(one, (field, index), flag, value, known, lookup, override=override)
            if edit is not None and edit not in made:
                made.append(edit)
    return made


def _changed(
    container: Mapping[str, Any], place: Place, flag: str, value: str, lookup: Lookup, *, override: bool
) -> Any:
    if place.value == value:
        return None
    if place.source == OTHER or place.composed:
        how = "a field of the pod" if place.source == OTHER else f"other variables ({place.value})"
        raise InvalidInput(
            f"{flag} is made out of {how}, so it can't be told what to change; nothing was changed",
            where=str(place),
            hint=f'Write it plainly: {{name: {flag}, value: "{value}"}}.',
        )
    if place.source == ENV:
        return _entry(container, place, flag, value)
    thing = lookup(place.source, place.name)
    why = why_not_edited(thing) if thing else "it does not exist"
    if not why:
        return DataEdit(place.source, place.name, place.key, flag, value, place.value)
    if not override:
        raise Refused(
            f"{flag} can't be changed there: {why}; nothing was changed",
            where=str(place),
            hint="Change it with the tool that made it, or say override: true to put the flag into the pod template, "
            "where it wins until it is removed.",
        )
    return _entry(container, place, flag, value)


def _entry(container: Mapping[str, Any], place: Place, flag: str, value: str) -> EnvEdit:
    listed = container.get("env") or []
    before = listed[place.entry] if place.entry >= 0 else None
    entry = place.entry if place.entry >= 0 else len(listed)
    at = (place.field, place.container, place.container_name)
    return EnvEdit(*at, entry, before, flag, value, place.value, place.source)


def _added(
    container: Mapping[str, Any],
    at: tuple[str, int],
    flag: str,
    value: str,
    known: Sequence[str],
    lookup: Lookup,
    *,
    override: bool,
) -> Any:
    """Return the edit that adds a flag where the container's other flags come from, else to its env.

    Raises Refused where it may come from a Secret that can't be read.
    """
    hidden = hidden_sources(container, lookup)
    if hidden and not override:
        raise Refused(
            f"{flag} is declared nowhere that may be read; it may come from Secret {', '.join(hidden)}; nothing was "
            "changed",
            where=f"container {container['name']}",
            hint="Grant get on that Secret, or say override: true to put the flag into the pod template.",
        )
    for other in known:
        found = places(container, at, other, lookup)
        if found and found[-1].source in (CONFIG_MAP, SECRET) and found[-1].entry < 0:
            place = found[-1]
            thing = lookup(place.source, place.name)
            prefix = other[: len(other) - len(place.key)]
            if thing and not why_not_edited(thing) and flag.startswith(prefix):
                return DataEdit(place.source, place.name, flag[len(prefix) :], flag, value, None)
    entry = len(container.get("env") or [])
    return EnvEdit(*at, str(container["name"]), entry, None, flag, value, None)


def operations(template_spec: Mapping[str, Any], made: Sequence[Any], pointer: Callable[..., str]) -> list[Any]:
    """Return the JSON patch of the pod template that these edits of env are."""
    told: list[Any] = []
    for edit in made:
        if not isinstance(edit, EnvEdit):
            continue
        container = template_spec[edit.field][edit.container]
        at = pointer("spec", edit.field, edit.container, "env")
        entry = {"name": edit.flag, "value": edit.value}
        if edit.before is not None:
            told.append({"op": "replace", "path": f"{at}/{edit.entry}", "value": entry})
        elif container.get("env") or any(one["path"].startswith(at) for one in told):
            told.append({"op": "add", "path": f"{at}/-", "value": entry})
        else:
            told.append({"op": "add", "path": at, "value": [entry]})
    return told


def taken_back(template_spec: Mapping[str, Any], made: Sequence[Any], pointer: Callable[..., str]) -> list[Any]:
    """Return the JSON patch that takes these edits of env back.

    Raises ValueError, naming the flag, where the entry is no longer as we left it.
    """
    told: list[Any] = []
    gone: dict[str, int] = {}
    for edit in reversed([one for one in made if isinstance(one, EnvEdit)]):
        listed: Mapping[str, Any] = next(
            (one for one in template_spec.get(edit.field) or [] if one["name"] == edit.container_name), {}
        )
        index = [one["name"] for one in template_spec.get(edit.field) or []].index(edit.container_name) if listed else 0
        at = pointer("spec", edit.field, index, "env")
        numbers = [number for number, one in enumerate(listed.get("env") or []) if one == _ours(edit)]
        if not numbers:
            raise ValueError(edit.flag)
        if edit.before is not None:
            number = edit.entry if edit.entry in numbers else numbers[-1]
            told.append({"op": "replace", "path": f"{at}/{number}", "value": dict(edit.before)})
        elif len(listed["env"]) == gone.get(at, 0) + 1:
            told.append({"op": "remove", "path": at})
        else:
            told.append({"op": "remove", "path": f"{at}/{numbers[-1]}"})
            gone[at] = gone.get(at, 0) + 1
    return told


def _ours(edit: EnvEdit) -> dict[str, str]:
    return {"name": edit.flag, "value": edit.value}


def at_place(error: RollbackError, where: str) -> RollbackError:
    """Return the error with the object's name before its place."""
    return type(error)(error.what, where=f"{where}, {error.where}" if error.where else where, hint=error.hint)
