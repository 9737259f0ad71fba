# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: the backups among a store's objects, and which one a restore would take, and why not the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ..core.errors import InvalidInput, NotFound
from ..core.evidence import format_time, parse_time
from ..stores.base import Stat
from .formats import CONTENTS_FILE, DIRECTORY, Format, by_name
from .names import Pattern, safe

#: endings of files that hold the checksum of the file beside them
SIDECARS = (".sha256", ".sha256sum")
#: ending of what a restore in place had saved before it replaced it: it holds the corruption
SET_ASIDE = "_replaced.dump"


@dataclass(frozen=True)
class Backup:
    """One backup of a store.

    ``time`` is when it was taken (ISO 8601 UTC), from its name, else when the store got it (``time_from``
    ``modified``). ``objects`` are the objects that it consists of, more than one for a directory. ``not_taken`` says
    why a restore would not take it.
    """

    name: str
    format: Format
    size: int
    time: str
    time_from: str
    sidecar: str = ""
    objects: tuple[str, ...] = field(default=())
    not_taken: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return {
            "name": self.name,
            "format": str(self.format),
            "size": self.size,
            "time": self.time,
            "time_from": self.time_from,
            "checksum_file": self.sidecar,
            "not_taken": self.not_taken,
        }


def backups(listed: Iterable[Stat], pattern: Pattern | None, named: str = "") -> list[Backup]:
    """Return the backups among these objects, the newest first.

    With a pattern only those that are named like it, and the one that the operator has ``named``.
    """
    objects = {one.name: one for one in listed}
    folders = {name.rpartition("/")[0] for name in objects if name.rpartition("/")[2] == CONTENTS_FILE}
    found = []
    for folder in folders - {""}:
        parts = tuple(sorted(name for name in objects if name.startswith(folder + "/")))
        size = sum(objects[part].size for part in parts)
        found.append(_backup(folder, Format(DIRECTORY), size, objects[f"{folder}/{CONTENTS_FILE}"], pattern, "", parts))
    for name, stat in objects.items():
        form = by_name(name)
        if form is None or any(name.startswith(folder + "/") for folder in folders):
            continue
        sidecar = next((name + ending for ending in SIDECARS if name + ending in objects), "")
        found.append(_backup(name, form, stat.size, stat, pattern, sidecar, (name,)))
    wanted = [one for one in found if pattern is None or pattern.matches(one.name) or one.name == named]
    return sorted(wanted, key=lambda one: (one.time, one.name), reverse=True)


def choose(known: Sequence[Backup], named: str, before: str, where: str) -> tuple[list[Backup], list[Backup]]:
    """Return (candidates in the order in which a restore tries them, all others with the reason).

    ``named`` is the backup that the operator names; without it the newest that was taken before ``before`` (ISO 8601;
    empty: any). Raises NotFound when there is none, InvalidInput for a name outside the store, a time that is none,
    or a named backup that is not older than ``before``.
    """
    limit = _limit(before)
    late = [one for one in known if limit and one.time >= limit]
    if named:
        safe(named)
        one = next((one for one in known if one.name == named), None)
        if one is None:
            raise NotFound(
                f"there is no backup '{named}'", where=where, hint=f"There are {len(known)}; backup_info lists them."
            )
        if one in late:
            raise InvalidInput(
                f"the backup '{named}' was taken at {one.time}, not before {limit}",
                where=where,
                hint="It may hold the corruption; choose an older one or correct before.",
            )
        return [one], [replace(other, not_taken="another one is named") for other in known if other != one]
    aside = [one for one in known if one.name.endswith(SET_ASIDE)]
    fit = [one for one in known if one not in late and one not in aside]
    if not fit:
        said = f"none of the {len(known)} backups was taken before {limit}" if known else "there is no backup"
        raise NotFound(said, where=where, hint="Look at store, pattern and before; backup_info lists what is there.")
    newer = [replace(one, not_taken=f"it was not taken before {limit}") for one in late if one not in aside]
    newer += [replace(one, not_taken="it is what a restore has replaced, and taken when it is named") for one in aside]
    return fit, newer + [replace(one, not_taken=f"{fit[0].name} is newer") for one in fit[1:]]


def _limit(before: str) -> str:
    try:
        return format_time(parse_time(before)) if before else ""
    except ValueError as error:
        raise InvalidInput(
            f"'{before}' is no time", where="before", hint="Use ISO 8601 with a zone, as 2026-01-25T18:00:00Z."
        ) from error


def _backup(
    name: str, form: Format, size: int, stat: Stat, pattern: Pattern | None, sidecar: str, objects: tuple[str, ...]
) -> Backup:
    time = pattern.time(name) if pattern else ""
    return Backup(name, form, size, time or stat.modified, "name" if time else "modified", sidecar, objects)
