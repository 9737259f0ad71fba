# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load a backup into a database beside the one that is used, and look whether it is whole."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ..backups import fetch
from ..backups.formats import PLAIN, TAR
from ..backups.plain import Facts
from ..core.deadline import Deadline
from ..core.errors import RollbackError, VerificationFailed
from ..core.evidence import format_time
from ..core.libpq import connect, environment, place
from ..core.result import Timings
from ..postgres import databases as names
from ..postgres import fitness, load
from ..postgres.clients import Clients, require_understood
from ..postgres.contents import analyze, counted, rows
from ..postgres.databases import Database, Databases
from .backup_source import Choice, Examined, at_once, examine, find_clients, of_another_database, offered, pieces

NAME = "dualwrite.rollback"
UNTOUCHED = "The database in use was not touched"


def load_side(
    params: Mapping[str, Any], server: Databases, deadline: Deadline, timings: Timings, check: bool
) -> dict[str, Any]:
    """Verify a backup, load it beside the live database and return what is there now; ``said`` is the summary.

    A database that an earlier call has loaded from the same backup is kept, one that it did not finish is dropped.
    Raises what verifying and loading raise; the database that was begun is dropped then.
    """
    live = str(params["login_db"])
    side = names.side_name(live)
    with timings.phase("choose"):
        choice = offered(params)
        before = server.look(live)
        fitness.require_rights(server, live, before, side=params["mode"] == "side")
        if params["mode"] == "side":
            fitness.require_movable(server, live)  # the exchange would refuse it, with the application stopped
        version = int(server.link.server_version) // 10000
        clients, warning = find_clients(params, version, deadline)
    notes = [warning] if warning else []
    remote = not choice.store.place.startswith("/")
    largest = max((one.size for one in choice.candidates[:1] if one.format.kind != PLAIN), default=0)
    with fetch.work_folder(params.get("work_dir"), largest if remote else 0) as folder:
        whole = params["verification"] == "before" or check
        with timings.phase("verify"):
            seen = server.reading(choice.candidates[0].size)
            taken = examine(choice, params, clients, folder, deadline, whole=whole, seen=seen)
        notes += of_another_database(taken, live)
        told = {"backup": taken.as_dict(), "database": side, "notes": notes}
        known = taken.facts
        fitness.require_loadable(
            server, taken.backup.name, server=known.server, extensions=known.extensions, owners=known.owners,
            settings=known.settings, encoding=known.encoding, into=before.encoding,
        )  # fmt: skip
        if taken.path:
            require_understood(clients, version, taken.backup.name)
        if params["mode"] == "in_place":
            return {**told, "database": live, "changed": False, "said": f"verified: {_named(taken)}"}
        mark = server.mark(side)
        if _same(mark, taken):
            return {
                **told,
                "changed": False,
                "tables": mark.get("tables", {}),
                "said": f"{side} is loaded already: {_named(taken)}",
            }
        # one that was made and not marked yet, by a call that was killed, is empty
        if server.exists(side) and not mark and not _empty(params, side, deadline):
            raise RollbackError(
                f"there is a database '{side}' that no restore has made", where=place(params), hint="Rename or drop it."
            )
        needs = fitness.space(
            server,
            live,
            before,
            taken.backup.size,
            compressed=taken.backup.format.compression != "" or taken.path != "",
        )
        if params["check_space"]:
            fitness.require_space(needs, live)
        told["space"] = needs
        if check:
            return {**told, "changed": True, "said": f"would be loaded beside {live}: {_named(taken)}"}
        try:
            with timings.phase("load"):
                _fill(params, server, choice, taken, clients, before, deadline)
            with timings.phase("compare"):
                tables = _finish(params, server, taken, before, deadline)
        except BaseException as error:
            with contextlib.suppress(RollbackError):
                server.drop(side)
            if isinstance(error, RollbackError) and not error.hint:
                error.hint = f"{UNTOUCHED}."
            elif isinstance(error, RollbackError):
                error.hint = f"{UNTOUCHED}. {error.hint}"
            raise
    rate = taken.backup.size / 1e6 / max(timings.as_dict()["load"], 0.001)
    said = f"{side} is loaded beside {live}: {_named(taken)}, {rate:.0f} MB/s, {len(tables)} tables as the backup lists"
    return {**told, "changed": True, "tables": tables, "said": said}


def _fill(
    params: Mapping[str, Any],
    server: Databases,
    choice: Choice,
    taken: Examined,
    clients: Clients,
    before: Database,
    deadline: Deadline,
) -> None:
    live = str(params["login_db"])
    side = names.side_name(live)
    if server.exists(side):
        server.write_mark(side, _mark(params, taken, "dropping"))
        server.drop(side)
    server.make_like(side, before)
    server.write_mark(side, _mark(params, taken, "loading"))
    server.try_settings(side, before)  # rather refused now than behind hours of loading
    environ = environment({**params, "login_db": side}, name=NAME)
    if taken.path:
        parallel = 1 if taken.backup.format.kind == TAR else at_once(params)
        load.archive(clients, environ, side, taken.path, parallel, deadline)
        return
    dump, content = pieces(choice.store, taken.backup, _uncounted, deadline)
    load.stream(clients, environ, side, content, deadline)
    taken.facts.__dict__.update(dump.facts.__dict__)


def _finish(
    params: Mapping[str, Any], server: Databases, taken: Examined, before: Database, deadline: Deadline
) -> dict[str, dict[str, int]]:
    """Have the planner know the data, compare with the backup's list and the live database, and mark it as ready."""
    live = str(params["login_db"])
    side = names.side_name(live)
    with contextlib.closing(
        connect({**params, "login_db": side}, deadline.within(15), name=NAME, needed_for="a restore")
    ) as link:
        link.autocommit = True
        inside = Databases(link, params)
        _require_whole(taken.facts, counted(inside), side)
        analyze(inside)
        restored = rows(inside)
    with contextlib.closing(connect(dict(params), deadline.within(15), name=NAME, needed_for="a restore")) as link:
        link.autocommit = True
        used = rows(Databases(link, params))
    left = server.set_like(side, before)
    if left:
        raise VerificationFailed(f"it is not set as '{live}' is: {', '.join(left)}", where=side)
    tables = {
        table: {"backup": restored.get(table, 0), "live": used.get(table, 0)} for table in sorted({*restored, *used})
    }
    server.write_mark(side, {**_mark(params, taken, "ready"), "tables": tables})
    return tables


def _empty(params: Mapping[str, Any], side: str, deadline: Deadline) -> bool:
    given = {**params, "login_db": side}
    with contextlib.closing(connect(given, deadline.within(15), name=NAME, needed_for="a restore")) as link:
        link.autocommit = True
        return counted(Databases(link, given))["tables"] == 0


def _require_whole(facts: Facts, found: Mapping[str, int], side: str) -> None:
    for what, wanted in (("tables", facts.tables), ("constraints", facts.constraints)):
        if found[what] < wanted:
            raise VerificationFailed(f"{found[what]} {what} were restored, the backup lists {wanted}", where=side)


def _mark(params: Mapping[str, Any], taken: Examined, state: str) -> dict[str, Any]:
    return {
        "kind": "side",
        "of": params["login_db"],
        "state": state,
        "backup": taken.backup.name,
        "backup_time": taken.backup.time,
        "checksum": taken.checksum,
        "size": taken.backup.size,
        "run_id": params.get("run_id") or "",
        "at": format_time(datetime.now(timezone.utc)),
    }


def _same(mark: Mapping[str, Any], taken: Examined) -> bool:
    wanted = ("ready", taken.backup.name, taken.backup.time, taken.backup.size, taken.checksum)
    return tuple(mark.get(key) for key in ("state", "backup", "backup_time", "size", "checksum")) == wanted


def _named(taken: Examined) -> str:
    return f"{taken.backup.name} ({taken.backup.format}, {taken.backup.size / 1e6:.1f} MB) of {taken.backup.time}"


def _uncounted(number: int) -> None:
    """Count nothing: the server tells how far a load is."""
