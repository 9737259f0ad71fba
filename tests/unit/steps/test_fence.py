"""Changes of the same thing run one after the other; others do not wait for each other."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import Conflict
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms import registry
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.fence import fence_files, one_at_a_time

HOLD = """
import sys
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.fence import one_at_a_time
with one_at_a_time(sys.argv[1:], Deadline(20)):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def things(tmp_path):
    """Names of three things that no other test knows, their lock files removed afterwards."""
    names = [f"pidfile {tmp_path}/{number}.pid" for number in range(3)]
    yield names
    for path in fence_files(names):
        if os.path.exists(path):
            os.unlink(path)


@pytest.fixture
def other(things):
    """Another process that is changing the first two things."""
    argv = [sys.executable, "-c", HOLD, *things[:2]]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_change_of_the_same_thing_waits_and_says_for_what(things, other):
    said = "another call is changing the same workloads on this host and did not end in time"
    with pytest.raises(Conflict, match=said), one_at_a_time(things[1:], Deadline(0.3)):
        pytest.fail("two changes of one thing at a time")


def test_it_goes_on_when_the_other_ends_or_is_killed(things, other):
    other.kill()
    began = time.monotonic()
    with one_at_a_time(things, Deadline(20)):
        assert time.monotonic() - began < 10


def test_a_change_of_another_thing_does_not_wait(things, other):
    with one_at_a_time(things[2:], Deadline(0)):
        assert other.poll() is None


def test_the_order_is_the_same_whoever_asks(things):
    assert fence_files(things) == fence_files(reversed(things)) == sorted(fence_files(things))


def test_two_workloads_that_share_an_env_file_touch_the_same_thing(tmp_path):
    (tmp_path / "app.env").touch()
    (tmp_path / "link.env").symlink_to("app.env")
    touched = []
    for name, env_file in (("web", "app.env"), ("worker", "link.env"), ("other", "other.env")):
        options = {
            "pidfile": f"{tmp_path}/{name}.pid",
            "env_file": f"{tmp_path}/{env_file}",
            "cmdline_match": name,
            "start_command": ["true"],
        }
        touched.append(registry.make({"name": name, "platform": "pidfile", "options": options}).touches())
    web, worker, other = touched
    assert web & worker == {f"file {tmp_path}/app.env"}
    assert not web & other
