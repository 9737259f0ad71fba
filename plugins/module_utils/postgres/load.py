# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have psql or pg_restore load a backup into a database, and stop at the first error."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence

from ..core.deadline import Deadline
from ..core.errors import CommandFailed, DeadlinePassed, RollbackError
from ..core.redact import redact_text, secret_values
from .clients import Clients

#: settings of the sessions that load: durable at the end is enough, and indexes want memory
OPTIONS = "-c synchronous_commit=off -c maintenance_work_mem=128MB -c statement_timeout=0 -c lock_timeout=0"
_KEPT = 4000


def stream(
    clients: Clients,
    environ: Mapping[str, str],
    database: str,
    pieces: Iterable[bytes],
    deadline: Deadline,
    *,
    first: str = "",
    one_transaction: bool = False,
) -> None:
    """Pass SQL to psql as it comes and wait for its end; ``first`` is SQL to be run before.

    With ``one_transaction`` the commit is the last that is passed. The psql of a process that is killed has all that
    came so far and then an end: its own option for one transaction would commit that.

    psql is kept from commands of its own, whatever the SQL holds. Raises CommandFailed with psql's first words, what
    the iterator raises, and DeadlinePassed; psql is killed then.
    """
    argv = [clients.program("psql"), "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1"]
    argv += ["--output=/dev/null", "--file=-"]
    key = secrets.token_hex(16).encode() if clients.knows_restrict else b""

    def feed(child: subprocess.Popen[bytes]) -> None:
        pipe = child.stdin
        if pipe is None:
            return
        if key:
            pipe.write(b"\\restrict " + key + b"\n")
        if one_transaction:
            pipe.write(b"BEGIN;\n")
        pipe.write(first.encode() + b"\n")
        for piece in pieces:
            pipe.write(piece)
        if key:
            pipe.write(b"\n\\unrestrict " + key + b"\n")
        if one_transaction:
            pipe.write(b"\nCOMMIT;\n")
        pipe.close()

    _run(argv, {**environ, "PGDATABASE": database}, deadline, feed)


def archive(
    clients: Clients, environ: Mapping[str, str], database: str, path: str, parallel: int, deadline: Deadline
) -> None:
    """Have pg_restore load an archive by ``parallel`` sessions at once; raises CommandFailed and DeadlinePassed."""
    argv = [clients.program("pg_restore"), "--no-password", "--exit-on-error", f"--dbname={conninfo(database)}"]
    argv += [f"--jobs={parallel}"] if parallel > 1 else []
    _run([*argv, path], environ, deadline, None)


def as_sql(clients: Clients, environ: Mapping[str, str], path: str, deadline: Deadline) -> Iterable[bytes]:
    """Walk through an archive as SQL, made by pg_restore."""
    argv = [clients.program("pg_restore"), "--file=-", path]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(environ)) as child:
        try:
            while child.stdout is not None and (chunk := child.stdout.read(1024 * 1024)):
                yield chunk
                if deadline.passed():
                    raise DeadlinePassed(f"pg_restore was still running after {deadline.seconds:.0f} s")
            dummy, said = child.communicate()
            if child.returncode:
                raise CommandFailed(f"pg_restore ended with {child.returncode}: {_first(said.decode(), environ)}")
        finally:
            if child.poll() is None:
                child.kill()


def conninfo(database: str) -> str:
    """Return a connection string that names a database and nothing else, whatever its name holds."""
    quoted = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{quoted}'"


def _run(
    argv: Sequence[str],
    environ: Mapping[str, str],
    deadline: Deadline,
    feed: object,
) -> None:
    name = os.path.basename(argv[0])
    environ = {**environ, "PGOPTIONS": f"{environ.get('PGOPTIONS', '')} {OPTIONS}".strip()}
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environ,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(f"{name} can't be started: {error.strerror}", where=argv[0]) from error
    said = bytearray()

    def listen() -> None:
        while child.stderr is not None and (words := child.stderr.read1(4096)):  # type: ignore[attr-defined]
            if len(said) < _KEPT:
                said.extend(words)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    # a pipe that nobody reads would be waited for without end: the clock ends the child, and so the writing
    clock = threading.Timer(max(deadline.left(), 0.001), _kill, [child])
    clock.daemon = True
    clock.start()
    problem: RollbackError | None = None
    try:
        if callable(feed):
            with contextlib.suppress(BrokenPipeError):  # psql has ended with an error, and told which
                feed(child)
        child.wait()
    except RollbackError as error:
        problem = error
    finally:
        clock.cancel()
        _kill(child)
        child.wait()
        listener.join(5)
        for pipe in (child.stdin, child.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
    if problem is not None:
        raise problem
    if deadline.passed() and child.returncode:
        raise DeadlinePassed(f"{name} was still running after {deadline.seconds:.0f} s and was ended", where=name)
    if child.returncode:
        raise CommandFailed(
            f"{name} ended with {child.returncode}: {_first(said.decode('utf-8', 'replace'), environ)}",
            evidence={"rc": child.returncode},
        )


def _kill(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def _first(text: str, environ: Mapping[str, str]) -> str:
    """Return the first error that a program told, on one line."""
    lines = [line for line in text.splitlines() if "error:" in line.lower() or "fatal:" in line.lower()]
    line = (lines or text.splitlines() or ["it told nothing"])[0]
    return redact_text(" ".join(line.split())[:500], secret_values(environ))
