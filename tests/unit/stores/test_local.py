"""A folder as a store."""

import os
import subprocess
import sys

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    RollbackError,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.stores.local import LocalStore


def test_put_open_list_and_stat(tmp_path):
    store = LocalStore(str(tmp_path / "made" / "later"))
    path = store.put("staging/r1/incident.md", b"one")
    store.put("staging/r1/incident.md", b"two")
    store.append("staging/r2/record.jsonl", lambda content: b"a")
    store.append("staging/r2/record.jsonl", lambda content: content + b"b")
    assert path == str(tmp_path / "made/later/staging/r1/incident.md")
    assert store.read("staging/r1/incident.md") == b"two"
    assert store.read("staging/r2/record.jsonl") == b"aab"
    assert [item.name for item in store.list("staging/")] == ["staging/r1/incident.md", "staging/r2/record.jsonl"]
    assert [item.name for item in store.list("staging/r2/")] == ["staging/r2/record.jsonl"]
    assert store.list("production/") == []
    assert store.stat("staging/r2/record.jsonl").size == 3
    assert store.stat("nope") is None


def write_half(store, name):
    with store.write(name) as stream:
        stream.write(b"half")
        raise ZeroDivisionError


def test_a_stream_is_there_whole_or_not_at_all(tmp_path):
    store = LocalStore(str(tmp_path))
    with store.write("archives/a.gz") as stream:
        stream.write(b"one")
        assert store.stat("archives/a.gz") is None
        stream.write(b" two")
    assert store.read("archives/a.gz") == b"one two"
    with pytest.raises(ZeroDivisionError):
        write_half(store, "archives/b.gz")
    assert sorted(path.name for path in (tmp_path / "archives").iterdir()) == ["a.gz"]
    with pytest.raises(Conflict, match="already"), store.write("archives/a.gz") as stream:
        stream.write(b"another")
    assert store.read("archives/a.gz") == b"one two"


KILLED = """
import os, signal, sys
from ansible_collections.dualwrite.rollback.plugins.module_utils.stores.local import LocalStore
with LocalStore(sys.argv[1]).write("run-1/rows.gz") as stream:
    stream.write(b"names of users" * 10000)
    stream.flush()
    print("half", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_writer_has_left_goes_and_what_is_being_written_stays(tmp_path):
    store = LocalStore(str(tmp_path))
    argv = [sys.executable, "-c", KILLED, str(tmp_path)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(argv, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"half\n"
        (hidden,) = (tmp_path / "run-1").iterdir()
        os.utime(hidden, (0, 0))  # it has been written for long
        assert store.list() == []
        with store.write("run-1/other.gz"):
            assert hidden.exists()
        child.kill()
        child.wait()
    assert hidden.stat().st_size > 0, "so it is on the disk"
    assert [item.name for item in store.list()] == ["run-1/other.gz"]
    assert not hidden.exists()
    hidden.write_bytes(b"of another one that was killed")
    os.utime(hidden, (0, 0))
    with store.write("run-1/third.gz"):
        assert not hidden.exists()


def test_a_name_can_not_leave_the_folder(tmp_path):
    with pytest.raises(InvalidInput, match="leads out of the folder"):
        LocalStore(str(tmp_path)).put("../elsewhere", b"")


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(NotFound, match="does not exist"):
        LocalStore(str(tmp_path)).open("record.jsonl")


def test_a_folder_that_can_not_be_made_is_said(tmp_path):
    (tmp_path / "reports").write_text("a file, not a folder")
    with pytest.raises(RollbackError, match="the folder can't be made: .*irectory.* run the same command again"):
        LocalStore(str(tmp_path / "reports")).put("x/y", b"")
