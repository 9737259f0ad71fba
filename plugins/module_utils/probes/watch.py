# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask probes at once, again and again, until all have passed long enough or nothing more can be won.

A probe's streak is its unbroken row of passes. It is counted from the end of its first passing answer to the start of
its last, so that what is claimed to have held was looked at on both ends. The watch ends well when at one moment every
probe's streak is as long as its hold. It ends early when an answer is final (a forbidden log line can't be unread).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.deadline import Deadline
from ..core.evidence import ANSWERS, ERROR, FAIL, PASS, Evidence, utc_now
from .base import Probe


@dataclass
class Track:
    """What one probe answered so far: first and latest evidence, how often, and since when it passes."""

    probe: Probe
    hold: float
    asked: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    first: Evidence | None = None
    latest: Evidence | None = None
    passing_from: float | None = None
    passing_to: float = 0.0
    busy: threading.Thread | None = None

    def add(self, evidence: Evidence, started: float, ended: float) -> None:
        """Take one answer, asked from ``started`` to ``ended`` on the monotonic clock."""
        self.asked += 1
        self.counts[evidence.answer] = self.counts.get(evidence.answer, 0) + 1
        self.first = self.first or evidence
        self.latest = evidence
        if evidence.answer != PASS:
            self.passing_from = None
            return
        self.passing_from = ended if self.passing_from is None else self.passing_from
        self.passing_to = started

    @property
    def done(self) -> bool:
        """Return whether the probe needs no further asking: it passed, and once is enough."""
        return self.probe.once and self.passing_from is not None

    @property
    def held(self) -> float:
        """Return the seconds for which the probe has passed without a break."""
        return 0.0 if self.passing_from is None else max(0.0, self.passing_to - self.passing_from)

    @property
    def lacking(self) -> float | None:
        """Return the seconds that the streak still lacks: 0 when it is long enough, None when the probe fails."""
        if self.passing_from is None:
            return None
        return 0.0 if self.probe.once or self.held >= self.hold else self.hold - self.held

    def evidence(self, stage: str) -> Evidence:
        """Return the latest evidence, with how often was asked, the first answer and the time held added."""
        latest = self.latest or Evidence(self.probe.name, self.probe.KIND, ERROR, detail="it was never asked")
        more: dict[str, Any] = {"stage": stage, "asked": self.asked, "answers": dict(self.counts)}
        if self.first is not None:
            first = self.first
            more["first"] = {"answer": first.answer, "detail": first.detail, "value": first.value, "at": first.at}
        more["held"] = round(self.held, 3)
        return replace(latest, extra={**latest.extra, **more})


def ask_once(track: Track, deadline: Deadline) -> None:
    """Ask one probe and wait for its answer, at most its own timeout."""
    _collect([_start(track, deadline)])


def watch(tracks: Sequence[Track], deadline: Deadline, interval: float, *, one_round: bool = False) -> bool:
    """Ask all probes in rounds, ``interval`` seconds apart, and return whether all held long enough.

    Stops at the deadline, on a final answer that is no pass, or after one round when ``one_round`` is set.
    """
    while True:
        _collect([_start(track, deadline) for track in tracks if not track.done])
        lacking = [track.lacking for track in tracks]
        if all(seconds == 0.0 for seconds in lacking):
            return True
        if one_round or deadline.passed() or any(is_final(track) for track in tracks):
            return False
        passing = [seconds for seconds in lacking if seconds is not None]
        # the last round comes exactly when the longest hold is full, not up to one interval later
        pause = min(interval, max(0.001, *passing)) if len(passing) == len(lacking) else interval
        time.sleep(min(pause, deadline.left()))


def is_final(track: Track) -> bool:
    """Return whether asking the probe again can't make it pass."""
    return track.latest is not None and track.latest.answer == FAIL and bool(track.latest.extra.get("final"))


def count_answers(tracks: Sequence[Track]) -> dict[str, int]:
    """Return how many probes gave which latest answer."""
    counted = dict.fromkeys(ANSWERS, 0)
    for track in tracks:
        counted[track.latest.answer if track.latest else ERROR] += 1
    return counted


@dataclass
class _Asking:
    track: Track
    patience: Deadline
    thread: threading.Thread
    answers: list[tuple[Evidence, float, float]]


def _start(track: Track, deadline: Deadline) -> _Asking:
    # an answer may take its own timeout, and never much longer than the watch has left
    patience = Deadline(min(track.probe.timeout, max(deadline.left(), 1.0)))
    answers: list[tuple[Evidence, float, float]] = []

    def work() -> None:
        started = time.monotonic()
        try:
            evidence = track.probe.ask(patience)
        except Exception as error:
            # a bug in one probe must not take the other probes' evidence along
            evidence = _no_answer(track, f"bug in the probe: {type(error).__name__}: {error}")
        answers.append((evidence, started, time.monotonic()))

    if track.busy is not None and track.busy.is_alive():
        return _Asking(track, Deadline(0), track.busy, answers)
    # a daemon thread: a probe that hangs (a dead NFS mount) must not keep the module from ending
    track.busy = threading.Thread(target=work, name=f"probe {track.probe.name}", daemon=True)
    track.busy.start()
    return _Asking(track, patience, track.busy, answers)


def _collect(asked: Sequence[_Asking]) -> None:
    for asking in asked:
        # the probe's own clients stop at the same deadline and say why: give them half a second to say it
        asking.thread.join(asking.patience.left() + 0.5)
        if asking.answers:
            asking.track.add(*asking.answers[0])
        else:
            now = time.monotonic()
            asking.track.add(
                _no_answer(asking.track, f"it gave no answer within {asking.track.probe.timeout:g} s"), now, now
            )


def _no_answer(track: Track, detail: str) -> Evidence:
    probe = track.probe
    return Evidence(probe.name, probe.KIND, ERROR, detail=detail, where=probe.place, at=utc_now())
