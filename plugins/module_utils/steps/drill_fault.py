# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set up what a drill needs, and put it back: commands and SQL that the inventory gives."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..core import libpq
from ..core.deadline import Deadline
from ..core.errors import InvalidInput, RollbackError
from ..core.process import run
from ..core.result import Timings, result

KEYS = ("name", "argv", "sql", "parameters", "chdir", "environment", "each_host")


def drill_fault(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Do steps in order and return what was done.

    ``params`` are the options of the module ``drill_fault``. With ``state`` set_up the first step that fails ends it;
    put_back does all of them and fails at the end. Raises InvalidInput before anything is done, RollbackError.
    """
    steps = [_known(number, step) for number, step in enumerate(params.get("steps") or [], start=1)]
    timings = Timings()
    deadline = Deadline(float(params["timeout"]))
    done: list[str] = []
    failed: list[str] = []
    with timings.phase(params["state"]):
        for step in [] if check else steps:
            try:
                _do(step, params, deadline)
                done.append(step["name"])
            except RollbackError as error:
                failed.append(f"{step['name']}: {error}")
                if params["state"] == "set_up":
                    break
    told = {"set_up": "set up", "put_back": "put back"}[params["state"]]
    said = f"{told}: {', '.join(done) or 'nothing'}" if not check else f"check mode: {len(steps)} steps not done"
    outcome = result(changed=bool(done), summary=said, timings=timings, phase="fault", done=done, failed_steps=failed)
    if failed:
        raise RollbackError(f"not {told}: {'; '.join(failed)}", evidence=outcome)
    return outcome


def _known(number: int, step: Mapping[str, Any]) -> dict[str, Any]:
    where = f"step {step.get('name') or number}"
    for key in step:
        if key not in KEYS:
            raise InvalidInput(f"a step has no '{key}'", where=where, hint=f"It has {', '.join(KEYS)}.")
    if bool(step.get("argv")) == bool(step.get("sql")):
        raise InvalidInput("a step is either argv or sql", where=where)
    if step.get("argv") and not (isinstance(step["argv"], list) and all(isinstance(one, str) for one in step["argv"])):
        raise InvalidInput("argv is a list of texts", where=where)
    return {**step, "name": step.get("name") or f"step {number}"}


def _do(step: Mapping[str, Any], params: Mapping[str, Any], deadline: Deadline) -> None:
    if step.get("argv"):
        environ = {**os.environ, **{key: str(value) for key, value in (step.get("environment") or {}).items()}}
        run(step["argv"], deadline, environ=environ, cwd=step.get("chdir"))
        return
    import psycopg2

    connection = libpq.connect(params, deadline, name="dualwrite.rollback drill", needed_for="steps of a drill")
    try:
        with connection, connection.cursor() as cursor:
            limit = f"{max(100, int(deadline.left() * 1000))}ms"
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", (limit,))
            cursor.execute(step["sql"], step.get("parameters") or None)
    except psycopg2.Error as error:
        raise RollbackError(f"the SQL fails: {libpq.words(error, params)}", where=libpq.place(params)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise RollbackError(f"the SQL and its parameters don't fit: {error}", where=libpq.place(params)) from error
    finally:
        connection.close()
