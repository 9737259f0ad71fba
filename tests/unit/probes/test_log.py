"""Kind log on real files, with real rotations while they are followed."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import CommandFailed, InvalidInput
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.base import Context
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.log import journal_entries

from .conftest import absent, add, line, stamp

RECORDINGS = Path(__file__).parent / "recordings"


def test_quiet_since_then(follow: Callable[..., Any], log: Path) -> None:
    add(log, line("dual_write", 60), line("dual_write", 11), line("served", 9), line("served", 1))
    seen = follow()()
    assert seen.answer == "pass"
    assert (seen.value["lines"], seen.value["matched"]) == (2, 0)


def test_a_line_since_then_is_shown_and_final(follow: Callable[..., Any], log: Path) -> None:
    add(log, line("served", 9), line("dual_write token=abcdef", 3))
    seen = follow()()
    assert seen.answer == "fail"
    assert seen.extra["final"] is True
    assert '"event": "dual_write' in seen.detail
    assert "abcdef" not in str(seen.as_dict())


def test_silence_without_life_is_unknown(follow: Callable[..., Any], log: Path) -> None:
    add(log, line("served", 60))
    ask = follow()
    assert ask().answer == "unknown"
    add(log, line("served"))
    assert ask().answer == "pass"


def test_only_the_sign_of_life_counts_as_life(follow: Callable[..., Any], log: Path) -> None:
    add(log, line("request", 60), line("cron", 5))
    ask = follow(alive_pattern="request")
    assert ask().answer == "unknown"
    add(log, line("request"))
    assert ask().answer == "pass"


def test_no_file_and_a_folder_are_unknown(follow: Callable[..., Any], log: Path, tmp_path: Path) -> None:
    assert follow()().detail == f"no file matches {log}"
    assert follow(paths=[str(tmp_path)])().answer == "unknown"


def test_one_of_two_logs_missing_is_unknown(follow: Callable[..., Any], log: Path, tmp_path: Path) -> None:
    add(log, line("served"))
    ask = follow(paths=[str(log), str(tmp_path / "worker*.log")])
    assert (ask().answer, ask().detail) == ("unknown", f"no file matches {tmp_path}/worker*.log")
    add(tmp_path / "worker-a.log", line("served"))
    assert ask().answer == "pass"


def test_an_unreadable_file_is_an_error(follow: Callable[..., Any], log: Path) -> None:
    log.symlink_to("/proc/self/mem")  # may be opened by its owner, root or not; reading its begin is an I/O error
    seen = follow()()
    assert (seen.answer, seen.detail) == ("error", "the log can't be read: Input/output error")


def test_a_pipe_is_no_log(follow: Callable[..., Any], log: Path) -> None:
    os.mkfifo(log)
    assert follow()().detail == f"no file matches {log}"


def test_lines_without_time_are_unknown(follow: Callable[..., Any], log: Path) -> None:
    add(log, "served\n", "served\n")
    seen = follow()()
    assert (seen.answer, "give time_field or time_regexp" in seen.detail) == ("unknown", True)


def test_a_line_without_time_has_that_of_the_line_before(follow: Callable[..., Any], log: Path) -> None:
    add(log, line("error", 60), "  dual_write in an old traceback\n", line("error", 5), "  File x\n")
    ask = follow()
    assert ask().answer == "pass"
    add(log, "  dual_write in a new one\n")
    assert ask().answer == "fail"


def test_times_of_the_wrong_zone_never_pass(follow: Callable[..., Any], log: Path) -> None:
    local = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + 6 * 3600))
    add(log, f"{local} served\n")
    seen = follow()()
    assert (seen.answer, "give its time_zone" in seen.detail) == ("unknown", True)
    assert follow(time_zone="Asia/Dhaka")().answer == "pass"


def test_present_and_counted(follow: Callable[..., Any], log: Path) -> None:
    add(log, line("served", 5), line("served", 4))
    assert follow(pattern="served", expect="present")().answer == "pass"
    assert follow(pattern="served", expect={"min": 2, "max": 2})().answer == "pass"
    assert follow(pattern="served", expect={"min": 3})().answer == "fail"
    assert follow(pattern="started", expect="present")().answer == "fail"


def test_history_counts_per_second(follow: Callable[..., Any], log: Path) -> None:
    now = time.time()
    add(log, line("dual_write", 100), *[line("dual_write", 20) for number in range(3)], line("served", 1))
    seen = follow(history=30)()
    series = seen.extra["series"][str(log)]
    assert seen.answer == "pass"
    assert [second for second, count in series] == list(range(int(now - 40), series[-1][0] + 1))
    assert series[-1][0] >= int(now)
    assert {second: count for second, count in series if count} == {int(now - 20): 3}


def test_only_new_bytes_are_read(follow: Callable[..., Any], log: Path) -> None:
    add(log, line("served"), line("served")[:-10])
    ask = follow()
    assert ask().value["lines"] == 1
    assert ask().value["lines"] == 1
    with log.open("a") as stream:
        stream.write(line("served")[-10:])
    add(log, line("served"))
    assert ask().value["lines"] == 3


# -- journal and command -----------------------------------------------------------------------------------------------


def test_recorded_journal() -> None:
    found = list(journal_entries((RECORDINGS / "journalctl-252" / "messages.out").read_text()))
    assert [int(moment) - 1769364000 for cursor, moment, message in found] == [0, 1, 3, 4, 5, 6, 7]
    messages = [message for cursor, moment, message in found]
    assert messages[1] == '{"event": "dual_write_scheduled", "team": 17}'
    assert messages[2] == "Größe geändert ✓"
    assert messages[3].splitlines()[1] == "dual_write_failed in the second"
    assert messages[4].startswith("raw ��")
    assert messages[5] == ""
    assert all(cursor.startswith("s=") for cursor, moment, message in found)


def test_the_journal_of_a_unit_that_says_nothing_is_unknown_or_an_error(ask: Callable[..., Any]) -> None:
    if not shutil.which("journalctl"):
        absent("journalctl")
    assert ask("log", journal="no-such-unit.service", pattern="x").answer in ("unknown", "error")


def test_a_command_is_asked_anew_each_time(build: Callable[..., Any], log: Path) -> None:
    add(log, line("dual_write", 60), line("served", 5))
    script = "import sys; assert sys.argv[1] > '2026'; sys.stderr.write(open(sys.argv[2]).read())"
    probe = build(
        "log", command=[sys.executable, "-c", script, "{since}", str(log)], pattern="dual_write", since=stamp(10)
    )
    for _look in range(2):
        seen = probe.ask(Deadline(10))
        assert (seen.answer, seen.value["lines"]) == ("pass", 1)
    add(log, line("dual_write"))
    assert probe.ask(Deadline(10)).answer == "fail"


def test_a_command_that_fails_is_an_error(ask: Callable[..., Any]) -> None:
    seen = ask("log", command=[sys.executable, "-c", "import sys; sys.exit('no such container')"], pattern="x")
    assert seen.answer == "error"
    assert seen.detail.endswith("ended with 1: no such container")


# -- the workloads' own ------------------------------------------------------------------------------------------------


@pytest.fixture
def told(context: Context) -> dict[str, Any]:
    """Fill with lines by workload: what the platforms (which have tests of their own) return next; None: not running.

    Under "since" stands the time that was asked for last.
    """
    found: dict[str, Any] = {}

    def read(names: Sequence[str], since: str) -> dict[str, list[str] | None]:
        found["since"] = since
        return {name: found[name] for name in names}

    context.workloads = ["web", "worker"]
    context.read_logs = read
    return found


@pytest.fixture
def follow_workloads(follow: Callable[..., Any]) -> Callable[..., Any]:
    """Follow the logs of both workloads, as ``follow`` does a file."""
    return lambda **options: follow(paths=None, from_workloads=["web", "worker"], **options)


def lines(*made: str) -> list[str]:
    return [one.rstrip("\n") for one in made]


def test_workloads_that_speak_of_other_things_are_quiet(
    follow_workloads: Callable[..., Any], told: dict[str, Any]
) -> None:
    told["web"] = lines(line("dual_write", 20), line("served", 5), line("served", 1))
    told["worker"] = lines(line("heartbeat", 2))
    ask = follow_workloads()
    for _look in range(2):
        seen = ask()
        assert (seen.answer, seen.value["lines"], seen.where) == ("pass", 3, "logs of web, worker")
    told["worker"] += lines(line("dual_write", 1))
    seen = ask()
    assert (seen.answer, seen.extra["final"]) == ("fail", True)
    assert [one["matched"] for one in seen.extra["sources"].values()] == [0, 1]


def test_a_workload_that_says_nothing_is_unknown(follow_workloads: Callable[..., Any], told: dict[str, Any]) -> None:
    told.update(web=lines(line("served", 1)), worker=[])
    seen = follow_workloads()()
    assert (seen.answer, "no line of worker was read" in seen.detail) == ("unknown", True)
    told["worker"] = lines(line("heartbeat", 60))
    assert follow_workloads()().answer == "unknown"
    told["worker"] = lines("served, at some time")
    assert follow_workloads()().answer == "unknown"


def test_every_workload_must_show_life(follow_workloads: Callable[..., Any], told: dict[str, Any]) -> None:
    told.update(web=lines(line("served", 1)), worker=lines(line("started", 1)))
    ask = follow_workloads(alive_pattern="served|heartbeat")
    seen = ask()
    assert (seen.answer, "no line of worker matches alive_pattern" in seen.detail) == ("unknown", True)
    told["worker"] += lines(line("heartbeat", 1))
    assert ask().answer == "pass"


def test_a_workload_that_need_not_run_is_left_out_but_not_all(
    follow_workloads: Callable[..., Any], told: dict[str, Any]
) -> None:
    told.update(web=lines(line("served", 1)), worker=None)
    assert follow_workloads()().answer == "pass"
    told["web"] = None
    assert follow_workloads()().answer == "unknown"


def test_history_of_workloads_is_asked_for(follow_workloads: Callable[..., Any], told: dict[str, Any]) -> None:
    told.update(web=lines(line("dual_write", 20), line("served", 1)), worker=lines(line("heartbeat", 1)))
    seen = follow_workloads(history=30, since=stamp(10))()
    assert told["since"] < stamp(39)
    assert (seen.answer, sum(count for _second, count in seen.extra["series"]["web"])) == ("pass", 1)


def test_logs_that_can_not_be_read_are_an_error(follow_workloads: Callable[..., Any], context: Context) -> None:
    def refuse(names: Sequence[str], since: str) -> dict[str, list[str] | None]:
        raise CommandFailed("the pod's log can't be read", where="workload 'web'")

    context.workloads, context.read_logs = ["web", "worker"], refuse
    seen = follow_workloads()()
    assert (seen.answer, seen.where, seen.detail) == ("error", "workload 'web'", "the pod's log can't be read")


def test_logs_of_workloads_need_workloads(build: Callable[..., Any], told: dict[str, Any], context: Context) -> None:
    with pytest.raises(InvalidInput, match="there is no workload 'beat'. Known are: web, worker"):
        build("log", pattern="x", from_workloads=["web", "beat"])
    context.read_logs = None
    with pytest.raises(InvalidInput, match="no workloads are given. Name them in the option workloads of the call"):
        build("log", pattern="x", from_workloads=["web"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"paths": ["/x"]}, "needs the option 'pattern'"),
        ({"pattern": "x"}, "needs one source and has none. Give paths, journal, command or from_workloads"),
        ({"pattern": "x", "paths": ["/x"], "journal": "u"}, "needs one source and has paths and journal"),
        ({"pattern": "x", "from_workloads": []}, "needs one source and has none"),
        ({"pattern": "(", "paths": ["/x"]}, "pattern is no regular expression"),
        ({"pattern": "x", "paths": ["/x"], "alive_pattern": "["}, "alive_pattern is no regular expression"),
        ({"pattern": "x", "paths": ["/x"], "since": "yesterday"}, "since is 'yesterday', which is no ISO 8601 time"),
        ({"pattern": "x", "paths": ["/x"], "expect": "gone"}, "expect has no use for 'gone'"),
        ({"pattern": "x", "paths": ["/x"], "expect": {"min": 3, "max": 2}}, "min 3 is above max 2"),
        ({"pattern": "x", "paths": ["/x"], "expect": {"min": "many"}}, "expect.min is 'many', which is no number"),
        ({"pattern": "x", "paths": ["/x"], "history": -1}, "history must be more than 0"),
        ({"pattern": "x", "paths": ["/x"], "time_zone": "Mars/Base"}, "no time zone 'Mars/Base'"),
    ],
)
def test_wrong_options(build: Callable[..., Any], options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match="probe 'p'") as caught:
        build("log", **options)
    assert sentence in str(caught.value)
