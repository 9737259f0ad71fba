"""The watch: asked at once, again and again, until all hold, and not a round longer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput, Unreachable
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.base import COMMON_OPTIONS, Context, Probe, Seen
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.judge import Answer
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.registry import KINDS, make
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.watch import Track, ask_once, watch


class Scripted(Probe):
    """Answers what a function of the asking's number says: a sequence that no real part gives on call."""

    KIND = "scripted"

    def __init__(self, context: Context, answers: Callable[[int], str], **options: Any) -> None:
        super().__init__({"name": "p", **options}, context)
        self.answers, self.asked = answers, 0
        self.times: list[float] = []

    def look(self, deadline: Deadline) -> Seen:
        self.asked += 1
        self.times.append(time.monotonic())
        answer = self.answers(self.asked)
        return Seen(Answer(answer.replace("final", "fail"), f"answer {self.asked}", answer == "final"), self.asked)


def always(answer: str) -> Callable[[int], str]:
    return lambda asked: answer


def test_one_full_round_is_enough_without_hold(context: Context) -> None:
    probes = [Scripted(context, always("pass")) for number in range(3)]
    started = time.monotonic()
    assert watch([Track(probe, 0) for probe in probes], Deadline(30), 10)
    assert [probe.asked for probe in probes] == [1, 1, 1]
    assert time.monotonic() - started < 5


def test_held_from_answer_to_answer_and_not_longer(context: Context) -> None:
    probe = Scripted(context, always("pass"))
    track = Track(probe, 0.5)
    started = time.monotonic()
    assert watch([track], Deadline(30), 10)
    assert probe.times[-1] - probe.times[0] >= 0.5
    assert track.held >= 0.5
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("answer", ["fail", "unknown", "error"])
def test_a_break_starts_the_hold_anew(context: Context, answer: str) -> None:
    def work(number: int) -> str:
        if number == 3:
            if answer == "error":
                raise Unreachable("gone")
            return answer
        return "pass"

    probe = Scripted(context, work)
    assert watch([Track(probe, 0.3)], Deadline(5), 0.1)
    assert probe.times[-1] - probe.times[3] >= 0.3


def test_all_must_hold_at_the_same_time(context: Context) -> None:
    early = Scripted(context, lambda number: "fail" if number == 4 else "pass")
    late = Scripted(context, lambda number: "fail" if number < 3 else "pass")
    tracks = [Track(early, 0.2), Track(late, 0.2)]
    assert watch(tracks, Deadline(5), 0.1)
    assert early.asked == late.asked
    assert early.asked >= 6  # the fourth answer was a fail, and what holds was looked at on both ends


@pytest.mark.parametrize("answer", ["fail", "unknown", "error"])
def test_what_never_passes_ends_at_the_deadline(context: Context, answer: str) -> None:
    tracks = [Track(Scripted(context, always(answer)), 0), Track(Scripted(context, always("pass")), 0)]
    started = time.monotonic()
    assert not watch(tracks, Deadline(1), 0.1)
    assert 1 <= time.monotonic() - started < 5
    assert tracks[0].asked >= 4


def test_a_final_failure_ends_the_watch(context: Context) -> None:
    tracks = [Track(Scripted(context, always("final")), 0), Track(Scripted(context, always("pass")), 3)]
    started = time.monotonic()
    assert not watch(tracks, Deadline(30), 10)
    assert time.monotonic() - started < 5


def test_once_is_asked_until_it_passes_and_no_more(context: Context) -> None:
    once = Scripted(context, lambda number: "pass" if number == 2 else "fail", once=True)
    other = Scripted(context, always("pass"))
    assert watch([Track(once, 9), Track(other, 1)], Deadline(30), 0.1)
    assert once.asked == 2
    assert other.asked > 3


def test_probes_are_asked_at_once(context: Context) -> None:
    together = threading.Barrier(3, timeout=5)

    def meet(asked: int) -> str:
        together.wait()
        return "pass"

    assert watch([Track(Scripted(context, meet), 0) for number in range(3)], Deadline(5), 0.1)


def test_a_probe_that_hangs_holds_up_nobody(context: Context) -> None:
    release = threading.Event()
    hung = Scripted(context, lambda asked: "pass" if release.wait(20) else "fail", timeout=0.2)
    quick = Scripted(context, always("pass"))
    tracks = [Track(hung, 0), Track(quick, 0)]
    started = time.monotonic()
    assert not watch(tracks, Deadline(1.5), 0.1)
    assert time.monotonic() - started < 4
    assert hung.asked == 1
    assert tracks[0].latest is not None
    assert (tracks[0].latest.answer, tracks[0].latest.detail) == ("error", "it gave no answer within 0.2 s")
    assert quick.asked >= 2
    release.set()


def test_a_bug_in_one_probe_is_an_error_of_that_probe(context: Context) -> None:
    def broken(asked: int) -> str:
        raise ZeroDivisionError("division by zero")

    track = Track(Scripted(context, broken), 0)
    ask_once(track, Deadline(1))
    assert track.latest is not None
    assert track.latest.answer == "error"
    assert "bug in the probe: ZeroDivisionError" in track.latest.detail


def test_the_evidence_tells_how_often_was_asked_and_what_came_first(context: Context) -> None:
    track = Track(Scripted(context, lambda number: "pass" if number > 2 else "fail"), 0)
    assert watch([track], Deadline(5), 0.05)
    extra = track.evidence("probes").as_dict()["extra"]
    assert (extra["stage"], extra["asked"], extra["answers"]) == ("probes", 3, {"fail": 2, "pass": 1})
    assert (extra["first"]["answer"], extra["first"]["value"]) == ("fail", 1)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kind": "http"}, "a probe has no name"),
        ({"name": "x", "kind": "smtp"}, "there is no probe of kind 'smtp'. Kinds are: http, log"),
        ({"name": "x"}, "there is no probe of kind 'None'"),
        ({"name": "x", "kind": "http", "url": "http://x/", "hold": -1}, "hold must be more than 0"),
        ({"name": "x", "kind": "http", "url": "http://x/", "timeout": 0}, "timeout must be more than 0"),
    ],
)
def test_wrong_options(context: Context, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(options, context)
    assert sentence in str(caught.value)


def test_every_kind_tells_its_options() -> None:
    for name, kind in KINDS.items():
        assert name == kind.KIND
        assert set(kind.REQUIRED) <= set(kind.OPTIONS)
        assert not set(kind.OPTIONS) & set(COMMON_OPTIONS)
