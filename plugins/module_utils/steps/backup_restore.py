# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore a database from a backup into a second one while the first is used, exchange them, and exchange them back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from ..core.deadline import Deadline, wait_until
from ..core.errors import Conflict, InvalidInput, NotFound, RollbackError
from ..core.evidence import format_time
from ..core.libpq import connect, place
from ..core.result import Timings, result
from ..postgres import databases as names
from ..postgres import fitness, swap
from ..postgres.databases import Databases
from .backup_in_place import in_place, save
from .backup_load import load_side
from .backup_watch import watch

NAME = "dualwrite.rollback"
SIDE, REPLACED, SET_ASIDE = "side", "replaced", "set_aside"


def backup_restore(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Make the database what ``state`` says and return what was done.

    ``params`` are the options of the module ``backup_restore``. With ``check`` everything is looked at and verified,
    and nothing is changed. Raises InvalidInput, NotFound, Refused, VerificationFailed, Conflict, Unreachable and
    CommandFailed; the database that the application uses is what it was then.
    """
    names.valid_name(str(params.get("login_db") or ""))
    if params["state"] == "watched":
        return watch(params)
    timings = Timings()
    deadline = Deadline(params["timeout"])
    with _server(params, deadline, alone=not check) as server:
        server.look(str(params["login_db"]))
        return _STATES[params["state"]](params, server, deadline, timings, check)


def maintenance(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the connection options for the database from which others are made, renamed and dropped."""
    return {**params, "login_db": params.get("maintenance_db") or "postgres"}


@contextlib.contextmanager
def _server(params: Mapping[str, Any], deadline: Deadline, *, alone: bool) -> Iterator[Databases]:
    """Connect, and keep out every other restore of this database as long as the block runs."""
    given = maintenance(params)
    if given["login_db"] == params["login_db"]:
        raise InvalidInput(
            "the database can't be renamed from inside", where="maintenance_db", hint="Name another database."
        )
    link = connect(given, deadline.within(15), name=NAME, needed_for="a restore")
    with contextlib.closing(link):
        link.autocommit = True
        server = Databases(link, given)
        if alone:
            name = str(params["login_db"])
            try:
                wait_until(lambda: server.claim(name), deadline, what="the end of another restore of this database")
            except RollbackError as error:
                raise Conflict(error.what, where=place(params), hint="Wait for it, or end it.") from error
        yield server


def _loaded(
    params: Mapping[str, Any], server: Databases, deadline: Deadline, timings: Timings, check: bool
) -> dict[str, Any]:
    done = _done_by_this_run(server, str(params["login_db"]), params)
    if done:
        return _already(params, done, timings)
    loaded = load_side(params, server, deadline, timings, check)
    said = loaded.pop("said")
    return result(summary=said, timings=timings, **loaded)


def _swapped(
    params: Mapping[str, Any], server: Databases, deadline: Deadline, timings: Timings, check: bool
) -> dict[str, Any]:
    if params["mode"] == "in_place":
        return in_place(params, server, deadline, timings, check)
    live = str(params["login_db"])
    side = names.side_name(live)
    before = server.look(live)
    mark = server.mark(side)
    if mark.get("state") != "ready":
        done = _done_by_this_run(server, live, params)
        if done:
            return _already(params, done, timings)
        raise NotFound(
            f"no restored database is ready to take the place of '{live}'",
            where=place(params),
            hint="Load one first (state: loaded).",
        )
    fitness.require_rights(server, live, before, side=True)
    fitness.require_movable(server, live)
    moment = datetime.now(timezone.utc)
    aside = names.replaced_name(live, moment)
    told: dict[str, Any] = {"backup": mark.get("backup"), "backup_time": mark.get("backup_time"), "replaced": aside}
    if check:
        said = f"{live} would become {mark.get('backup')}; the old one would be kept as {aside}"
        return result(changed=True, summary=said, swap={}, timings=timings, **told)
    with timings.phase("swap"):
        left = server.set_like(side, before)
        if left:
            raise Conflict(f"the databases are not set alike: {', '.join(left)}; nothing was changed", where=side)
        kept = {
            "kind": REPLACED,
            "of": live,
            "at": format_time(moment),
            "expires": names.expiry(moment, int(params["keep_days"])),
            "by": mark.get("backup"),
            "run_id": params.get("run_id") or "",
            "comment": server.comment(live),
        }
        comments = {aside: names.as_comment(kept), live: server.comment(live) or None}
        swapped = swap.exchange(maintenance(params), [(live, aside), (side, live)], comments, deadline)
    said = (
        f"{live} is {mark.get('backup')} of {mark.get('backup_time')}, exchanged in {swapped['seconds']} s "
        f"({swapped['sessions']} sessions ended); the old one is kept as {aside} until {kept['expires']}"
    )
    return result(changed=True, summary=said, swap=swapped, expires=kept["expires"], timings=timings, **told)


def _restored(
    params: Mapping[str, Any], server: Databases, deadline: Deadline, timings: Timings, check: bool
) -> dict[str, Any]:
    loaded = _loaded(params, server, deadline, timings, check)
    if check or loaded.get("replaced"):
        return loaded
    return {**loaded, **_swapped(params, server, deadline, timings, check)}


def _already(params: Mapping[str, Any], done: str, timings: Timings) -> dict[str, Any]:
    said = f"{params['login_db']} was exchanged by this run already; the old one is kept as {done}"
    return result(changed=False, summary=said, replaced=done, swap={}, timings=timings)


def _done_by_this_run(server: Databases, live: str, params: Mapping[str, Any]) -> str:
    """Return the replaced database of this run, or of a dead run that this one continues."""
    runs = {str(one) for one in (params.get("run_id"), *(params.get("resumes") or [])) if one}
    return next((name for name, mark in _kept(server, live, REPLACED) if mark.get("run_id") in runs), "")


def _kept(server: Databases, live: str, *kinds: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the databases of ours that were put aside for this one, the newest first."""
    found = [(name, mark) for name, mark in server.marked().items() if mark.get("of") == live]
    return sorted(
        ((name, mark) for name, mark in found if mark.get("kind") in kinds), key=lambda one: str(one[1].get("at"))
    )[::-1]


def _undone(
    params: Mapping[str, Any], server: Databases, deadline: Deadline, timings: Timings, check: bool
) -> dict[str, Any]:
    live = str(params["login_db"])
    kept = dict(_kept(server, live, REPLACED))
    newest, mark = next(iter(_kept(server, live, REPLACED, SET_ASIDE)), ("", {}))
    if mark.get("kind") == SET_ASIDE and not params.get("replaced"):
        return result(
            changed=False, summary=f"{live} is that of before the restore already; {newest} is the restored one",
            replaced=newest, swap={}, timings=timings,
        )  # fmt: skip
    wanted = str(params.get("replaced") or next(iter(kept), ""))
    if wanted not in kept:
        raise NotFound(
            f"no database is kept that '{wanted or live}' could be brought back from",
            where=place(params),
            hint=f"Kept are: {', '.join(kept) or 'none'}.",
        )
    before = server.look(live)
    fitness.require_rights(server, live, before, side=True)
    fitness.require_movable(server, live)
    moment = datetime.now(timezone.utc)
    aside = names.replaced_name(live, moment)
    if check:
        return result(
            changed=True, summary=f"{live} would be {wanted} again; the restored one would be kept as {aside}",
            replaced=aside, swap={}, timings=timings,
        )  # fmt: skip
    mark = {
        "kind": SET_ASIDE,
        "of": live,
        "at": format_time(moment),
        "expires": names.expiry(moment, int(params["keep_days"])),
        "by": kept[wanted].get("by"),
        "run_id": params.get("run_id") or "",
        "comment": server.comment(live),
    }
    comments = {aside: names.as_comment(mark), live: str(kept[wanted].get("comment") or "") or None}
    with timings.phase("swap"):
        swapped = swap.exchange(maintenance(params), [(live, aside), (wanted, live)], comments, deadline)
    said = f"{live} is that of before the restore again, in {swapped['seconds']} s; the restored one is {aside}"
    return result(changed=True, summary=said, replaced=aside, swap=swapped, expires=mark["expires"], timings=timings)


def _dropped(
    params: Mapping[str, Any], server: Databases, deadline: Deadline, timings: Timings, check: bool
) -> dict[str, Any]:
    live = str(params["login_db"])
    kept = dict(_kept(server, live, REPLACED, SET_ASIDE))
    named, runs = str(params.get("replaced") or ""), set(params.get("of_runs") or [])
    now = format_time(datetime.now(timezone.utc))
    if named and named not in kept:
        if not server.exists(named):
            return result(changed=False, summary=f"there is no {named} any more", dropped=[], timings=timings)
        raise Conflict(
            f"the database '{named}' was not put aside for '{live}'", where=place(params), hint="It is left alone."
        )
    if runs:
        # what they were loading goes too
        ours = dict(_kept(server, live, REPLACED, SET_ASIDE, SIDE))
        going = [name for name, mark in ours.items() if mark.get("run_id") in runs]
    else:
        going = [named] if named else [name for name, mark in kept.items() if str(mark.get("expires")) <= now]
    if not check:
        for name in going:
            server.drop(name)
    left = [name for name in kept if name not in going]
    nothing = f"nothing is left of {', '.join(sorted(runs))}" if runs else "nothing has expired"
    said = f"{'would be ' if check else ''}dropped: {', '.join(going)}" if going else nothing
    said += f"; kept: {', '.join(left)}" if left else ""
    return result(changed=bool(going), summary=said, dropped=going, kept=left, timings=timings)


def _saved(
    params: Mapping[str, Any], server: Databases, deadline: Deadline, timings: Timings, check: bool
) -> dict[str, Any]:
    told = save(params, server, deadline, timings, check)
    said = f"{'would be ' if check else ''}saved as {told['saved']}"
    return result(changed=True, summary=said, timings=timings, **told)


_STATES = {
    "loaded": _loaded,
    "swapped": _swapped,
    "restored": _restored,
    "undone": _undone,
    "dropped": _dropped,
    "saved": _saved,
}
