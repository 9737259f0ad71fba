# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask logs whether a pattern is there since a time: files (rotated too), the journal, a command, the workloads' own."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import timezone, tzinfo
from fnmatch import fnmatch
from typing import Any
from zoneinfo import ZoneInfo

from ..core.deadline import Deadline
from ..core.errors import RollbackError
from ..core.evidence import PASS, UNKNOWN
from ..core.process import run
from .base import Context, Probe, Seen
from .judge import Answer, pattern_seen, worst
from .log_files import LogFile, expand
from .log_tally import Tally, iso
from .log_time import parse, reader

SOURCES = ("paths", "journal", "command", "from_workloads")
#: a newest line that is further in the future than this was read with the wrong time zone
FUTURE = 60.0
_NOT_ALL = ("not seeing messages", "insufficient permissions", "No journal files were")


class LogProbe(Probe):
    """Follows its sources from answer to answer, so that each line is read once."""

    KIND = "log"
    OPTIONS = {
        "paths": "log files, globs allowed; rotated siblings are found by themselves",
        "journal": "systemd unit whose journal is read",
        "command": "argv that prints the log; {since} in it stands for the time from which lines are wanted",
        "from_workloads": "names of the call's workloads, what all of whose instances log is read",
        "pattern": "regular expression that is searched in each line",
        "expect": "absent (when not given), present, or {min, max} matching lines",
        "since": "time from which lines count, the call's own when not given",
        "time_field": "field of JSON lines that holds the line's time",
        "time_regexp": "regular expression whose first group is the line's time",
        "time_zone": "zone of times that name none: UTC (when not given), local, or a name such as Asia/Dhaka",
        "alive_pattern": "regular expression of a sign of life, without which silence proves nothing",
        "history": "seconds before since from which matches per second are returned",
    }
    REQUIRED = ("pattern",)

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        super().__init__(options, context)
        given = [source for source in SOURCES if self.options.get(source)]
        if len(given) != 1:
            raise self.bad(
                f"it needs one source and has {' and '.join(given) or 'none'}",
                hint=f"Give {', '.join(SOURCES[:-1])} or {SOURCES[-1]}.",
            )
        self.source = given[0]
        if self.source == "from_workloads":
            self._know_workloads()
        self.pattern = self.regexp("pattern") or re.compile("")
        self.alive_pattern = self.regexp("alive_pattern")
        self.expect = self.options.get("expect", "absent")
        if self.expect not in ("absent", "present"):
            self.expect = self.limits("expect", self.expect)
        self.since = context.since.timestamp() if "since" not in self.options else self._time("since")
        self.history = self.positive("history")
        self.begin = self.since - (self.history or 0.0)
        self.time_of = reader(self.options.get("time_field"), self.regexp("time_regexp"), self._zone())
        self.tallies: dict[str, Tally] = {}
        self.files: dict[str, LogFile] = {}
        self.cursor = ""

    @property
    def place(self) -> str:
        """Return the globs, the unit, the command or the workloads."""
        value = self.options[self.source]
        if self.source == "journal":
            return f"journal of {value}"
        if self.source == "from_workloads":
            return f"logs of {', '.join(value)}"
        return ", ".join(value) if self.source == "paths" else f"command {value[0]}"

    def look(self, deadline: Deadline) -> Seen:
        """Read what is new and judge all of it."""
        lacking = {
            "paths": self._read_files,
            "journal": self._read_journal,
            "command": self._read_command,
            "from_workloads": self._read_workloads,
        }[self.source](deadline)
        tallies = self.tallies.values()
        lines, matched = sum(one.lines for one in tallies), sum(one.matched for one in tallies)
        for one in tallies:
            one.end_look()
        alive = any(one.alive for one in tallies) if self.alive_pattern is not None else None
        newest = max((one.newest for one in tallies if one.newest is not None), default=None)
        found = [] if lacking and not lines else [pattern_seen(self.expect, matched, lines, alive)]
        verdict = worst([*found, *lacking, *self._doubts(lines, newest)])
        first = next((one.first_match for one in tallies if one.first_match), None)
        value = {"lines": lines, "matched": matched, "newest": iso(newest), "first_match": first}
        extra: dict[str, Any] = {
            "since": iso(self.since),
            "sources": {name: one.as_dict() for name, one in self.tallies.items()},
        }
        if self.history is not None:
            now = time.time()
            extra["series"] = {name: one.series(now) for name, one in self.tallies.items()}
        if first and verdict.answer != PASS:
            verdict = Answer(verdict.answer, f"{verdict.detail}; first: {first}", verdict.final)
        return Seen(verdict, value, self.place, extra)

    def close(self) -> None:
        """Close the files."""
        for one in self.files.values():
            one.close()

    def _doubts(self, lines: int, newest: float | None) -> Iterator[Answer]:
        if newest is not None and newest > time.time() + FUTURE:
            yield Answer(UNKNOWN, f"the newest line is of {iso(newest)}, in the future: give its time_zone")
        if not lines and any(one.timeless for one in self.tallies.values()):
            yield Answer(UNKNOWN, "the lines bear no time that can be read: give time_field or time_regexp")

    def _tally(self, name: str) -> Tally:
        if name not in self.tallies:
            self.tallies[name] = Tally(self.since, self.begin, self.pattern, self.alive_pattern)
        return self.tallies[name]

    def _read_files(self, deadline: Deadline) -> list[Answer]:
        lacking = []
        for pattern in self.options["paths"]:
            found = expand([str(pattern)])
            for path in found:
                if path not in self.files:
                    self.files[path] = LogFile(path, self.begin, self._time_of_bytes)
            # between two steps of a rotation a file that is followed may be missing for a moment
            if not found and not any(fnmatch(path, str(pattern)) for path in self.files):
                lacking.append(Answer(UNKNOWN, f"no file matches {pattern}"))
        for path, file in self.files.items():
            tally = self._tally(path)
            for key, lines in file.blocks():
                tally.add_block(key, lines, self.time_of)
                if deadline.passed():
                    # what was read stays read: the next answer goes on from here
                    return [*lacking, Answer(UNKNOWN, f"{path} is not read to its end yet")]
        return lacking

    def _read_journal(self, deadline: Deadline) -> list[Answer]:
        argv = ["journalctl", "--no-pager", "--output=json", "--output-fields=MESSAGE"]
        argv += [f"--unit={self.options['journal']}"]
        argv += [f"--after-cursor={self.cursor}"] if self.cursor else [f"--since=@{self.begin:.6f}"]
        finished = run(argv, deadline, where=self.place)
        if any(words in finished.stderr for words in _NOT_ALL):
            raise RollbackError(
                "the journal can't be read in full",
                where=self.place,
                hint="Become root, or let the user join the group systemd-journal.",
            )
        tally = self._tally(self.place)
        for cursor, moment, message in journal_entries(finished.stdout):
            self.cursor = cursor
            for text in message.splitlines():
                tally.add(text, moment)
        return []

    def _read_command(self, deadline: Deadline) -> list[Answer]:
        argv = [str(word).replace("{since}", iso(self.begin) or "") for word in self.options["command"]]
        finished = run(argv, deadline, where=self.place)
        # the command prints everything anew each time
        self.tallies.clear()
        tally = self._tally(self.place)
        for name, text in (("stdout", finished.stdout), ("stderr", finished.stderr)):
            tally.add_block(name, text.encode().split(b"\n"), self.time_of)
        return []

    def _read_workloads(self, deadline: Deadline) -> list[Answer]:
        """Read what the platforms return anew each time; each workload must speak, or nothing is known of it."""
        if self.context.read_logs is None:
            return [Answer(UNKNOWN, "no workloads are given, so there are no logs to read")]
        told = self.context.read_logs(self.options["from_workloads"], iso(self.begin) or "")
        self.tallies.clear()
        lacking = []
        for workload, lines in told.items():
            if lines is None:
                continue
            tally = self._tally(workload)
            tally.add_block(workload, [line.encode() for line in lines], self.time_of)
            if not tally.lines:
                lacking.append(Answer(UNKNOWN, f"no line of {workload} was read: this silence proves nothing"))
            elif self.alive_pattern is not None and not tally.alive:
                lacking.append(Answer(UNKNOWN, f"no line of {workload} matches alive_pattern"))
        return lacking

    def _know_workloads(self) -> None:
        if self.context.read_logs is None or not self.context.workloads:
            raise self.bad("no workloads are given", hint="Name them in the option workloads of the call.")
        for name in self.options["from_workloads"]:
            if name not in self.context.workloads:
                raise self.bad(
                    f"there is no workload '{name}'", hint=f"Known are: {', '.join(self.context.workloads)}."
                )

    def _time_of_bytes(self, line: bytes) -> float | None:
        return self.time_of(line.decode("utf-8", "replace"))

    def _time(self, option: str) -> float:
        moment = parse(self.options[option], timezone.utc)
        if moment is None:
            raise self.bad(f"{option} is '{self.options[option]}', which is no ISO 8601 time")
        return moment

    def _zone(self) -> tzinfo | None:
        name = str(self.options.get("time_zone", "UTC"))
        try:
            return None if name == "local" else timezone.utc if name == "UTC" else ZoneInfo(name)
        except (OSError, ValueError, KeyError) as error:
            raise self.bad(f"there is no time zone '{name}' on this host") from error


def journal_entries(output: str) -> Iterator[tuple[str, float, str]]:
    """Yield (cursor, epoch seconds, message) of ``journalctl --output=json``.

    A message that is no text comes as a list of bytes, one that is too large or empty as null.
    """
    for line in output.splitlines():
        try:
            entry = json.loads(line)
            moment = int(entry["__REALTIME_TIMESTAMP"]) / 1e6
        except (ValueError, KeyError, TypeError):
            continue
        message = entry.get("MESSAGE")
        if isinstance(message, list):
            message = bytes(message).decode("utf-8", "replace")
        yield str(entry.get("__CURSOR", "")), moment, "" if message is None else str(message)
