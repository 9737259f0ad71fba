# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the application itself: run a command in its environment and read the JSON that it prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..core.deadline import Deadline
from ..core.errors import CommandFailed
from ..core.evidence import UNKNOWN
from .base import Context, Probe, Seen
from .http import pick
from .judge import MISSING, Answer, boolean, equal, worst
from .process_env import read_flags


class SettingsProbe(Probe):
    """Runs through the callable that the step joined in. A setting that is missing is unknown, never false."""

    KIND = "settings"
    OPTIONS = {
        "argv": "the command, which prints a JSON object; its last line that is one counts",
        "workload": "whose environment, folder and user to run it with, the only workload when not given",
        "expect": "setting (dotted path) to expected value, the call's flags when not given; booleans by boolean_words",
    }
    REQUIRED = ("argv",)

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        super().__init__(options, context)
        if context.execute_in is None or not context.workloads:
            raise self.bad("no workloads are given", hint="Name them in the option workloads of the call.")
        self.execute_in = context.execute_in
        given = self.options.get("workload")
        if given is None and len(context.workloads) > 1:
            raise self.bad("it must say in which workload to run", hint=f"Known are: {', '.join(context.workloads)}.")
        self.workload = str(given or context.workloads[0])
        if self.workload not in context.workloads:
            known = ", ".join(context.workloads)
            raise self.bad(f"there is no workload '{self.workload}'", hint=f"Known are: {known}.")
        self.expect: Mapping[str, Any] = self.options.get("expect") or read_flags(context.flags, f"probe '{self.name}'")
        if not isinstance(self.expect, Mapping):
            raise self.bad("expect must be a dict of setting to value")
        self.argv = [str(word) for word in self.options["argv"]]

    @property
    def place(self) -> str:
        """Return the workload and the command's name."""
        return f"{self.workload}: {self.argv[0]}"

    def look(self, deadline: Deadline) -> Seen:
        """Run the command and judge every setting; a non-zero end is an error."""
        finished = self.execute_in(self.workload, self.argv, deadline)
        if finished.rc != 0:
            words = finished.last_words(200)
            said = f": {words}" if words else ""
            raise CommandFailed(f"the command ended with {finished.rc}{said}", where=self.place)
        document = last_json_object(finished.stdout)
        if document is None:
            return Seen(Answer(UNKNOWN, "the command printed no JSON object"), None, self.place)
        seen = {name: pick(document, name) for name in self.expect}
        answers = [self._judge(name, wanted, seen[name]) for name, wanted in self.expect.items()]
        value = {name: None if found is MISSING else found for name, found in seen.items()}
        return Seen(worst(answers), value, self.place)

    def _judge(self, name: str, wanted: Any, found: Any) -> Answer:
        if isinstance(wanted, bool):
            return boolean(name, wanted, found, self.context.words)
        return equal(name, wanted, found)


def last_json_object(text: str) -> dict[str, Any] | None:
    """Return the last line that is a JSON object, or the whole text when it is one; None when there is none."""
    for candidate in [*reversed(text.splitlines()), text]:
        if candidate.strip().startswith("{"):
            try:
                document = json.loads(candidate)
            except ValueError:
                continue
            if isinstance(document, dict):
                return document
    return None
