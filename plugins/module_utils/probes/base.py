# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a probe is: one question asked again and again, each time answered with evidence."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..core.booleans import BooleanWords
from ..core.deadline import Deadline
from ..core.errors import InvalidInput, RollbackError
from ..core.evidence import ERROR, FAIL, Evidence, utc_now
from ..core.process import Finished
from ..core.redact import redact, redact_text
from .judge import Answer

#: asks for flag names; returns, per running instance, workload, instance, role, started and flags {NAME: text or None}
ReadInstances = Callable[[Sequence[str]], "list[dict[str, Any]]"]
#: asks for names of workloads and an ISO 8601 time; returns the lines that each has logged since then, oldest first, or
#: None for one that need not run and doesn't
ReadLogs = Callable[[Sequence[str], str], "dict[str, list[str] | None]"]
#: runs argv with the environment, folder and user of a running instance of the named workload
ExecuteIn = Callable[[str, Sequence[str], Deadline], Finished]

COMMON_OPTIONS: Mapping[str, str] = {
    "name": "what the probe is called in evidence and sentences",
    "kind": "which question it is",
    "hold": "seconds for which this probe must pass without a break, instead of the watch's own",
    "once": "whether one pass is enough and the probe is not asked again after it",
    "final": "whether one fail is enough and the watch ends with it",
    "timeout": "seconds that one answer may take",
}


@dataclass
class Context:
    """What the probes of one call share, joined by ``steps/health_probe.py`` from the other domains.

    ``since`` is the default for log probes, ``flags`` the default for process_env, ``postgres`` the connection's
    options, ``may_be_stopped`` the workloads that need not run, ``remembered`` what http probes kept for later ones.
    """

    since: datetime
    words: BooleanWords = field(default_factory=BooleanWords)
    flags: Mapping[str, bool] = field(default_factory=dict)
    workloads: Sequence[str] = ()
    may_be_stopped: Sequence[str] = ()
    read_instances: ReadInstances | None = None
    read_logs: ReadLogs | None = None
    execute_in: ExecuteIn | None = None
    postgres: Mapping[str, Any] = field(default_factory=dict)
    remembered: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """What one look found, judged: becomes Evidence with name, time and duration added."""

    answer: Answer
    value: Any = None
    where: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


class Probe(ABC):
    """One question. Made from its options (checked: raises InvalidInput), asked any number of times, closed once."""

    KIND = ""
    #: the options of this kind besides the common ones, each with a one-line meaning
    OPTIONS: Mapping[str, str] = {}
    REQUIRED: Sequence[str] = ()

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        self.name = str(options["name"])
        self.context = context
        self.options = {key: value for key, value in options.items() if value is not None}
        self.hold: float | None = self.options.get("hold")
        self.once = bool(self.options.get("once", False))
        self.timeout = float(self.options.get("timeout", 10.0))
        self._check_names()

    @property
    def writes(self) -> bool:
        """Return whether asking changes something (an http probe with a writing method)."""
        return False

    @property
    def compares_with_itself(self) -> bool:
        """Return whether an answer means something only some time after ``prepare`` (the trend of a count)."""
        return False

    @property
    def place(self) -> str:
        """Return where the probe looks, for sentences about an answer that never came."""
        return ""

    @abstractmethod
    def look(self, deadline: Deadline) -> Seen:
        """Look once and judge; raises RollbackError when it can't look."""

    def prepare(self, deadline: Deadline) -> None:  # noqa: B027 - most kinds have nothing to prepare
        """Take what later answers are compared with, before anything is asked or changed."""

    def close(self) -> None:  # noqa: B027 - most kinds hold nothing open
        """Give back what is held open between answers."""

    def secrets(self) -> Sequence[str]:
        """Return secret values that must not appear in the evidence."""
        return ()

    def ask(self, deadline: Deadline) -> Evidence:
        """Return the evidence of one look; a look that fails is evidence with the answer ``error``."""
        at, started = utc_now(), time.monotonic()
        try:
            seen = self.look(deadline)
        except RollbackError as error:
            hint = f". {error.hint.rstrip('.')}" if error.hint else ""
            seen = Seen(Answer(ERROR, f"{error.what}{hint}"), where=error.where or self.place)
        known = self.secrets()
        extra = redact(dict(seen.extra), known)
        if seen.answer.final or (seen.answer.answer == FAIL and self.options.get("final")):
            extra["final"] = True
        return Evidence(
            probe=self.name,
            kind=self.KIND,
            answer=seen.answer.answer,
            value=redact(seen.value, known),
            detail=redact_text(seen.answer.detail, known),
            where=redact_text(seen.where, known),
            at=at,
            took=time.monotonic() - started,
            extra=extra,
        )

    # -- checking options ------------------------------------------------------------------------------------------

    def bad(self, what: str, hint: str = "") -> InvalidInput:
        """Return the error for a wrong option of this probe."""
        return InvalidInput(what, where=f"probe '{self.name}'", hint=hint)

    def regexp(self, option: str) -> re.Pattern[str] | None:
        """Return the compiled regular expression of an option, None when it is not given; raises InvalidInput."""
        text = self.options.get(option)
        if text is None:
            return None
        try:
            return re.compile(str(text))
        except re.error as error:
            raise self.bad(f"{option} is no regular expression: {error}") from error

    def positive(self, option: str) -> float | None:
        """Return the option as seconds above 0, None when it is not given; raises InvalidInput."""
        value = self.options.get(option)
        if value is not None and float(value) <= 0:
            raise self.bad(f"{option} must be more than 0, not {value}")
        return None if value is None else float(value)

    def limits(self, option: str, value: Any) -> dict[str, Any]:
        """Return ``{min, max}`` checked; raises InvalidInput when it is something else, empty or upside down."""
        if not isinstance(value, Mapping) or not value or set(value) - {"min", "max"}:
            raise self.bad(f"{option} has no use for '{value}'", hint=f"Give {option} as a dict with min, max or both.")
        found: dict[str, float] = {}
        for end, limit in value.items():
            try:
                found[end] = float(limit)
            except (TypeError, ValueError):
                raise self.bad(f"{option}.{end} is '{limit}', which is no number") from None
        if "min" in found and "max" in found and found["min"] > found["max"]:
            raise self.bad(f"{option}: min {value['min']} is above max {value['max']}")
        return {end: int(limit) if limit == int(limit) else limit for end, limit in found.items()}

    def _check_names(self) -> None:
        known = {**COMMON_OPTIONS, **self.OPTIONS}
        foreign = sorted(set(self.options) - set(known))
        if foreign:
            raise self.bad(
                f"a probe of kind {self.KIND} has no option '{foreign[0]}'",
                hint=f"It takes: {', '.join(sorted(self.OPTIONS))}.",
            )
        for name in self.REQUIRED:
            if self.options.get(name) in (None, "", [], {}):
                raise self.bad(f"a probe of kind {self.KIND} needs the option '{name}'")
        for name in ("hold", "timeout"):
            value = self.options.get(name)
            if value is not None and (float(value) < 0 or (name == "timeout" and float(value) == 0)):
                raise self.bad(f"{name} must be more than 0, not {value}")
