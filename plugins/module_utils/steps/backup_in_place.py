# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where no second database may be made: save the live one, then replace its content in one transaction."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from ..backups import fetch
from ..backups.choose import SET_ASIDE
from ..backups.formats import PLAIN
from ..core.deadline import Deadline, wait_until
from ..core.errors import CommandFailed, RollbackError, VerificationFailed
from ..core.libpq import PATIENCE, connect, environment, reconnect
from ..core.redact import redact_text, secret_values
from ..core.result import Timings, result
from ..postgres import clients as programs
from ..postgres import load
from ..postgres.clients import Clients
from ..postgres.contents import analyze, counted, emptied, schemas
from ..postgres.databases import Databases
from ..stores.base import Store
from ..stores.registry import open_store
from .backup_source import as_dump, examine, find_clients, of_another_database, offered, pieces

NAME = "dualwrite.rollback"
_LOADING = """
SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
AND usename = current_user AND application_name = %s
"""


def save(
    params: Mapping[str, Any],
    server: Databases,
    deadline: Deadline,
    timings: Timings,
    check: bool,
    ending: str = "_safety.dump",
) -> dict[str, Any]:
    """Back the live database up into the store, with its checksum beside it; return ``saved``, its name there.

    Raises CommandFailed in pg_dump's words and what the store raises; nothing stays in the store then.
    """
    live = str(params["login_db"])
    moment = datetime.now(timezone.utc)
    name = f"{live.replace('/', '_')}_{moment.strftime('%Y%m%d_%H%M%S%f')[:-3]}{ending}"
    store = open_store(params.get("store"), make=True)
    told = {"saved": name, "place": store.place}
    if check:
        return told
    with timings.phase("save"):
        clients = programs.find(
            params.get("bin_dir"), int(server.link.server_version) // 10000, deadline, environment(params, name=NAME)
        )
        size, digest = _dumped(clients, params, store, name, deadline)
        store.put(f"{name}.sha256", f"{digest}  {name}\n".encode())
    return {**told, "size": size, "checksum": f"sha256:{digest}"}


def _dumped(
    clients: Clients, params: Mapping[str, Any], store: Store, name: str, deadline: Deadline
) -> tuple[int, str]:
    environ = environment(params, name=NAME)
    argv = [clients.program("pg_dump"), "--format=custom", "--no-password", "--lock-wait-timeout=30s"]
    argv += [f"--dbname={load.conninfo(str(params['login_db']))}"]
    digest, size = hashlib.sha256(), 0
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, env=environ) as child,
    ):
        try:
            with store.write(name) as stream:
                while child.stdout is not None and (chunk := child.stdout.read(fetch.CHUNK)):
                    digest.update(chunk)
                    size += len(chunk)
                    stream.write(chunk)
                    if deadline.passed():
                        raise CommandFailed(f"pg_dump was still running after {deadline.seconds:.0f} s")
                if child.wait():
                    said.seek(0)
                    words = " ".join(said.read().decode("utf-8", "replace").split())[:500]
                    raise CommandFailed(f"pg_dump failed: {redact_text(words, secret_values(environ))}", where=name)
        finally:
            if child.poll() is None:
                child.kill()
    return size, digest.hexdigest()


def in_place(
    params: Mapping[str, Any], server: Databases, deadline: Deadline, timings: Timings, check: bool
) -> dict[str, Any]:
    """Verify the backup, save the live database, then empty and load it in one transaction.

    Until that transaction commits nothing has changed, whatever happens. Raises what the parts raise.
    """
    live = str(params["login_db"])
    choice = offered(params)
    clients, warning = find_clients(params, int(server.link.server_version) // 10000, deadline)
    notes = [warning] if warning else []
    largest = 0 if choice.candidates[0].format.kind == PLAIN else choice.candidates[0].size
    remote = not choice.store.place.startswith("/")
    with fetch.work_folder(params.get("work_dir"), largest if remote else 0) as folder:
        with timings.phase("verify"):
            seen = server.reading(choice.candidates[0].size)
            taken = examine(choice, params, clients, folder, deadline, seen=seen)
        notes += of_another_database(taken, live)
        told: dict[str, Any] = {"backup": taken.as_dict(), "notes": notes}
        if check:
            return result(
                changed=True, summary=f"{live} would be emptied and loaded from {taken.backup.name}", timings=timings,
                **told,
            )  # fmt: skip
        saved = save(params, server, deadline, timings, check, SET_ASIDE)
        environ = environment(params, name=NAME)
        content: Iterable[bytes]
        if taken.path:
            content = as_dump(taken.backup.name, load.as_sql(clients, environ, taken.path, deadline))
        else:
            dummy, content = pieces(choice.store, taken.backup, _uncounted, deadline)
        with contextlib.closing(_inside(params, deadline)) as link:
            first, before = emptied(Databases(link, params)), schemas(Databases(link, params))
        try:
            with timings.phase("load"):
                load.stream(clients, environ, live, content, deadline, first=first, one_transaction=True)
        except RollbackError as error:
            kept = f"saved as {saved['saved']} in {saved['place']}."
            try:
                done = _committed(params, before)
            except RollbackError as silent:
                raise RollbackError(
                    f"{error.what}; whether that was before or after the commit is not known: {silent.what}",
                    where=live,
                    hint=f"What was there before is {kept} Run the same command again when the server answers.",
                ) from error
            if not done:
                error.hint = f"{error.hint} {live} is as it was; it is also {kept}".strip()
                raise
            notes.append(f"The load had ended well when its answer was lost: {error.what}.")
        with timings.phase("compare"), contextlib.closing(_inside(params, deadline)) as link:
            inside = Databases(link, params)
            found = counted(inside)
            if found["tables"] < taken.facts.tables or found["constraints"] < taken.facts.constraints:
                raise VerificationFailed(
                    f"{found['tables']} tables and {found['constraints']} constraints were restored, the backup lists "
                    f"{taken.facts.tables} and {taken.facts.constraints}",
                    where=live,
                    hint=f"What was there before is saved as {saved['saved']} in {saved['place']}; restore that.",
                )
            analyze(inside)
    said = f"{live} is {taken.backup.name} of {taken.backup.time}; what it was is saved as {saved['saved']}"
    return result(changed=True, summary=said, timings=timings, **told, **saved)


def _committed(params: Mapping[str, Any], before: set[int]) -> bool:
    """Return whether the transaction that emptied and loaded the database has replaced its schemas.

    Raises RollbackError when the server can't be asked.
    """
    with contextlib.closing(reconnect(dict(params), name=NAME, needed_for="a restore")) as link:
        link.autocommit = True
        inside = Databases(link, params)
        ended = Deadline(PATIENCE)
        wait_until(lambda: not inside.ask(_LOADING, [NAME]), ended, what="the end of the session that loaded")
        now = schemas(inside)
        return now != before and not now & before


def _inside(params: Mapping[str, Any], deadline: Deadline) -> Any:
    link = connect(dict(params), deadline.within(15), name=NAME, needed_for="a restore")
    link.autocommit = True
    return link


def _uncounted(number: int) -> None:
    """Count nothing."""
