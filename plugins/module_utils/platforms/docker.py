# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask and command a Docker engine through its client; an engine that is being restarted is waited for."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from ..core.deadline import Deadline, wait_until
from ..core.errors import CommandFailed, DeadlinePassed, InvalidInput, RollbackError, Unreachable
from ..core.process import Finished, run
from ..core.redact import redact_text
from ..core.together import Together

T = TypeVar("T")
_TOGETHER = Together()
#: seconds for a question to the engine, and for how long one that does not answer is asked again
ASK, AGAIN = 30.0, 6.0
#: what the client says when the engine goes away or is not there: it may come back
_AWAY = re.compile(
    r"cannot connect to the docker daemon|error during connect|connection refused|connection reset by peer"
    r"|unexpected EOF|: EOF\b|daemon is shutting down|context canceled|broken pipe"
    r"|transport is closing|failed to dial|server is shutting down",
    re.IGNORECASE,
)
_NO_COMPOSE = re.compile(
    r"'compose' is not a docker command|unknown shorthand flag: '\w' in -\w|unknown flag: --project"
)


class Docker:
    """One engine, as the docker client of this host reaches it."""

    def __init__(self, cli: str, host: str | None, where: str) -> None:
        self.argv = [cli, *(["--host", host] if host else [])]
        self.where = where
        self.environ = {**os.environ, "LC_ALL": "C", "NO_COLOR": "1", "COMPOSE_ANSI": "never"}
        #: how often the engine did not answer: what it was told may be lost
        self.times_away = 0
        #: whether other workloads of this engine are looked at in the same call: they put their questions together
        self.among_others = False
        #: how long questions wait for an engine that is away; a few seconds when None
        self.until: Deadline | None = None

    def run(
        self,
        *words: str,
        deadline: Deadline | None = None,
        ok: Sequence[int] = (0,),
        folder: str | None = None,
        again: bool = True,
    ) -> Finished:
        """Run the client and return how it ended; ``again`` and again while the engine is away, as time allows.

        Raises CommandFailed, DeadlinePassed, InvalidInput when there is no Compose v2, and Unreachable when the engine
        is or stays away.
        """
        patience = deadline or self.until or Deadline(AGAIN)
        said = [""]

        def answered() -> Finished | None:
            limit = deadline or Deadline(ASK)
            done = run([*self.argv, *words], limit, environ=self.environ, cwd=folder, ok=None, where=self.where)
            if done.rc in ok:
                return done
            said[0] = redact_text(done.last_words())
            if not _AWAY.search(done.stderr):
                raise self._failed(words, done, said[0])
            self.times_away += 1
            if not again:
                raise self._away(said[0])
            return None

        try:
            return wait_until(answered, patience, what="an answer of the Docker engine")
        except DeadlinePassed as error:
            if not said[0]:
                raise
            raise self._away(said[0]) from error

    def together(self, words: Sequence[str], work: Callable[[], T]) -> T:
        """Return what ``work`` returns, asked once for all workloads of this engine that want it at this moment.

        ``words`` say what is asked. Raises as ``work`` does; the error names this workload.
        """
        if not self.among_others:
            return work()

        def told() -> tuple[T | None, RollbackError | None, int]:
            away = self.times_away
            try:
                return work(), None, self.times_away - away
            except RollbackError as error:
                return None, error, self.times_away - away

        (answer, error, away), by_another = _TOGETHER.ask((*self.argv, *words), told)
        self.times_away += away if by_another else 0
        if error and by_another:
            raise type(error)(error.what, where=self.where, hint=error.hint, evidence=error.evidence) from error
        if error:
            raise error
        return cast(T, answer)

    def _away(self, said: str) -> Unreachable:
        return Unreachable(
            f"the Docker engine does not answer: {said}",
            where=self.where,
            hint="Start it, or give its address as docker_host.",
        )

    def _failed(self, words: Sequence[str], done: Finished, said: str) -> CommandFailed | InvalidInput:
        if _NO_COMPOSE.search(done.stderr):
            return InvalidInput("the docker client has no Compose v2", where=self.where, hint="Install docker compose.")
        command = " ".join(word for word in words[:1] if not word.startswith("-"))
        return CommandFailed(
            f"'docker {command}' ended with {done.rc}" + (f": {said}" if said else ""),
            where=self.where,
            evidence={"rc": done.rc},
        )

    def engine(self) -> str:
        """Return the engine's id."""
        words = ("info", "--format", "{{.ID}}")
        return self.together(words, lambda: self.run(*words)).stdout.strip()

    def image(self, reference: str) -> str:
        """Return the id of the image that a reference names on the engine now, empty when it names none."""
        try:
            words = ("image", "inspect", "--format", "{{.Id}}", reference)
            return self.together(words, lambda: self.run(*words)).stdout.strip()
        except CommandFailed as error:
            if "no such image" in error.what.lower():
                return ""
            raise

    def inspect(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return what the engine says of these containers; one that is gone is left out."""
        if not ids:
            return []
        told = json.loads(self.run("container", "inspect", *ids, ok=(0, 1)).stdout or "[]")
        return [dict(one) for one in told]

    def containers(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return what the engine says of every container with these labels, running or not."""
        filters = [word for name, value in labels.items() for word in ("--filter", f"label={name}={value}")]
        words = ("ps", "--all", "--quiet", "--no-trunc", *filters)
        return self.together(words, lambda: self.inspect(self.run(*words).stdout.split()))
