# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask every running instance which flags its process holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.booleans import read_input
from ..core.deadline import Deadline
from ..core.errors import InvalidInput
from ..core.evidence import PASS, UNKNOWN
from ..core.redact import redact_text
from .base import Context, Probe, Seen
from .judge import Answer, boolean, worst


class ProcessEnvProbe(Probe):
    """Reads through the callable that the step joined in; knows no platform."""

    KIND = "process_env"
    OPTIONS = {
        "workloads": "which of the call's workloads, all when not given",
        "flags": "the flags and the booleans they must have, the call's own when not given",
    }

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        super().__init__(options, context)
        if context.read_instances is None or not context.workloads:
            raise self.bad("no workloads are given", hint="Name them in the option workloads of the call.")
        self.read = context.read_instances
        self.workloads = [str(name) for name in self.options.get("workloads", context.workloads)]
        for name in self.workloads:
            if name not in context.workloads:
                raise self.bad(f"there is no workload '{name}'", hint=f"Known are: {', '.join(context.workloads)}.")
        self.flags = read_flags(self.options.get("flags") or context.flags, f"probe '{self.name}'")

    @property
    def place(self) -> str:
        """Return the workloads' names."""
        return ", ".join(self.workloads)

    def look(self, deadline: Deadline) -> Seen:
        """Read every instance and judge every flag."""
        readings = [one for one in self.read(list(self.flags)) if one["workload"] in self.workloads]
        answers, instances = [], []
        holders: dict[Answer, list[str]] = {}
        for workload in self.workloads:
            runs = any(one["workload"] == workload for one in readings)
            if not runs and workload not in self.context.may_be_stopped:
                answers.append(Answer(UNKNOWN, f"no instance of {workload} runs"))
        for one in readings:
            held: Mapping[str, str | None] = one["flags"]
            found = [boolean(flag, wanted, held.get(flag), self.context.words) for flag, wanted in self.flags.items()]
            for answer in found:
                holders.setdefault(answer, []).append(f"{one['workload']} {one['instance']}")
            shown = {flag: _shown(held.get(flag)) for flag in self.flags}
            instances.append({**one, "flags": shown, "answer": worst(found).answer})
        answers += [
            Answer(answer.answer, f"{answer.detail} in {len(names)} of {len(readings)} instances: {', '.join(names)}")
            for answer, names in holders.items()
        ]
        agreeing = sum(one["answer"] == PASS for one in instances)
        verdict = worst(answers)
        if verdict.answer == PASS:
            values = ", ".join(f"{flag} {str(wanted).lower()}" for flag, wanted in self.flags.items())
            verdict = Answer(PASS, f"all {len(instances)} instances hold {values}")
        value = {"instances": len(instances), "as_expected": agreeing}
        return Seen(verdict, value, self.place, {"instances": instances})


def read_flags(given: Mapping[str, Any] | None, where: str) -> dict[str, bool]:
    """Return the flags as booleans; raises InvalidInput when there is none or one is no boolean."""
    if not given:
        raise InvalidInput("no flags are given", where=where, hint="Give for instance flags: {MY_FLAG: false}.")
    return {str(flag): read_input(value, f"{where}, flag {flag}") for flag, value in given.items()}


def _shown(text: str | None) -> str | None:
    return None if text is None else redact_text(text[:40])
