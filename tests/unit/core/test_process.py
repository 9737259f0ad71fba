"""Children get what they are given, and their end is read."""

from __future__ import annotations

import os
import sys
import time

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import CommandFailed, DeadlinePassed
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.process import run


def test_output_input_environment_and_folder(tmp_path):
    code = "import os, sys; print(os.environ['WORD'], os.getcwd(), sys.stdin.read(), len(os.environ) < 5)"
    done = run([sys.executable, "-c", code], Deadline(20), environ={"WORD": "yes"}, cwd=str(tmp_path), stdin="in")
    assert done.rc == 0
    assert done.stdout.split() == ["yes", str(tmp_path), "in", "True"]


def test_a_bad_exit_code_is_an_error_with_the_last_words():
    with pytest.raises(CommandFailed, match=r"ended with 3: no such table\.") as caught:
        run([sys.executable, "-c", "import sys; print('no such table', file=sys.stderr); sys.exit(3)"], Deadline(20))
    assert caught.value.evidence == {"rc": 3}


def test_any_exit_code_can_be_accepted():
    assert run(["false"], Deadline(20), ok=None).rc == 1


def test_a_command_that_is_not_there_is_one_sentence():
    with pytest.raises(CommandFailed, match="'/no/such/command' can't be started: No such file or directory"):
        run(["/no/such/command"], Deadline(20))


def test_a_passed_deadline_ends_the_child_and_its_children(tmp_path):
    pidfile = tmp_path / "pid"
    with pytest.raises(DeadlinePassed, match="was still running after 1 s and was killed"):
        run(["sh", "-c", f"sleep 600 & echo $! > {pidfile}; wait"], Deadline(1))
    pid = int(pidfile.read_text())
    end = time.monotonic() + 5
    while time.monotonic() < end and _lives(pid):
        time.sleep(0.02)
    assert not _lives(pid)


def test_undecodable_output_does_not_stop_anything():
    assert run(["printf", r"\377ok"], Deadline(20)).stdout == "\ufffdok"


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
    finally:
        assert os.getpid() != pid
