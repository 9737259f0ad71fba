"""The small values that everything else joins on: errors, deadlines, booleans, evidence, results, redaction."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core import redact
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.booleans import BooleanWords, read_input
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline, wait_until
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    DeadlinePassed,
    InvalidInput,
    Refused,
    RollbackError,
    Unreachable,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.evidence import format_time, parse_time
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.parallel import for_each
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.result import Timings, result
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.translate import require


def test_an_error_says_where_what_and_what_to_do():
    error = Refused("another run holds the lock", where="web-1", hint="Wait for it.", evidence={"owner": "ann"})
    assert str(error) == "web-1: another run holds the lock. Wait for it."
    assert error.as_result()["msg"] == str(error)
    assert error.as_result()["owner"] == "ann"
    assert error.as_result()["error"]["kind"] == "refused"


def test_a_sentence_always_ends():
    assert str(RollbackError("it broke")) == "it broke."
    assert str(RollbackError("did it break?")) == "did it break?"


def test_a_part_of_a_deadline_never_outlives_it():
    whole = Deadline(0.2)
    assert whole.within(60).left() <= 0.2
    assert whole.within(0.05).left() <= 0.05
    time.sleep(0.21)
    assert whole.passed()
    assert whole.left() == 0.0


def test_waiting_returns_the_answer_or_says_what_did_not_happen():
    answers = iter([None, "", 7])
    assert wait_until(lambda: next(answers), Deadline(5), what="the number") == 7
    with pytest.raises(DeadlinePassed, match="web: the start did not happen within 0 s"):
        wait_until(lambda: None, Deadline(0.05), what="the start", where="web")


def test_waiting_wakes_at_the_event_that_it_watches():
    event = threading.Event()
    threading.Timer(0.05, event.set).start()
    began = time.monotonic()
    wait_until(event.is_set, Deadline(20), what="the event", first_pause=10, longest_pause=10, watch=event.wait)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("TRUE ", True),
        ("1", True),
        ("off", False),
        ("No", False),
        ("", None),
        ("falsey", None),
        (None, None),
    ],
)
def test_what_an_application_makes_of_a_word(text, value):
    assert BooleanWords().read(text) is value


def test_the_first_word_is_written_and_the_lists_must_differ():
    words = BooleanWords(true=["Y"], false=["N", "0"])
    assert (words.write(True), words.write(False)) == ("Y", "N")
    assert words.read("y") is True
    for lists in ({"true": [], "false": ["0"]}, {"true": ["1"], "false": ["1"]}):
        with pytest.raises(InvalidInput, match="must both be given and must differ"):
            BooleanWords(**lists)


@pytest.mark.parametrize(("value", "expected"), [(True, True), ("Yes", True), (0, False), ("off", False)])
def test_a_boolean_from_an_operator(value, expected):
    assert read_input(value, "flags.X") is expected


@pytest.mark.parametrize("value", ["", "maybe", 2, None, [], "truee"])
def test_what_is_no_boolean_is_refused(value):
    with pytest.raises(InvalidInput, match=r"flags\.X: '.*' is not a boolean\. Give true or false\."):
        read_input(value, "flags.X")


def test_times_are_utc_in_milliseconds_both_ways():
    moment = datetime(2026, 1, 25, 18, 0, 0, 123000, tzinfo=timezone(timedelta(hours=6)))
    assert format_time(moment) == "2026-01-25T12:00:00.123Z"
    assert parse_time("2026-01-25T12:00:00.123Z") == moment
    assert parse_time("2026-01-25T12:00:00").tzinfo is timezone.utc
    with pytest.raises(ValueError, match="yesterday"):
        parse_time("yesterday")


def test_everything_is_tried_and_every_error_kept():
    def work(number: int) -> int:
        if number == 2:
            raise Unreachable("no answer", where="two")
        return number * 10

    results, errors = for_each([1, 2, 3], work)
    assert results == {1: 10, 3: 30}
    assert str(errors[2]) == "two: no answer."
    assert for_each([], work) == ({}, {})


def test_a_bug_in_one_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        for_each([1], lambda number: number // 0)


def test_a_result_holds_what_is_given_and_the_time_spent():
    timings = Timings()
    with timings.phase("roll"):
        time.sleep(0.02)
    built = result(changed=True, summary="done", before={"a": 1}, diff=[], timings=timings, rolled={})
    assert built["timings"]["roll"] >= 0.02
    assert built["timings"]["total"] >= built["timings"]["roll"]
    assert "after" not in built
    assert "diff" not in built


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://app:s3cret-value@db/app is down",
        "DATABASE_PASSWORD='s3cret-value' is wrong",
        'header "Authorization: Token s3cret-value"',
        "api_key=s3cret-value&x=1",
        "DB_PASS=s3cret-value",
    ],
)
def test_secrets_leave_no_text(text):
    assert "s3cret-value" not in redact.redact_text(text)


def test_known_secrets_are_hidden_wherever_they_stand():
    assert redact.redact({"note": ["the s3cret-value leaked"]}, ["s3cret-value"]) == {"note": ["the ******** leaked"]}


def test_values_under_secret_names_are_hidden_and_others_are_not():
    seen = redact.redact({"login_password": "x1y2z3", "answers": {"pass": 3}, "flag": "true", "n": 5})
    assert seen["login_password"] == redact.HIDDEN
    assert seen["answers"] == {"pass": 3}
    assert (seen["flag"], seen["n"]) == ("true", 5)


def test_a_missing_library_names_the_package_to_install():
    with pytest.raises(
        RollbackError, match="'no-such-package' is needed for sql probes and is not installed"
    ) as caught:
        require("no_such_module", "no-such-package", needed_for="sql probes")
    assert "pip install no-such-package" in caught.value.hint
