"""The record's chain: every change to a line is found, a crash in the middle of a write is survived."""

import inspect
import json
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import RollbackError, VerificationFailed
from ansible_collections.dualwrite.rollback.plugins.module_utils.run.record import (
    RECORD,
    START,
    Record,
    extended,
    new_run_id,
    read_chain,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.stores.local import LocalStore

ENTRY = {"at": "2026-11-23T10:30:00.000Z", "run_id": "r", "type": "phase", "host": "web-1", "data": {}}
json_data = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=12),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=4,
)
records = st.lists(json_data, min_size=2, max_size=6)


def build(datas):
    content = b""
    for data in datas:
        content += extended(content, [{**ENTRY, "data": data}])
    return content


@given(records)
def test_what_is_appended_is_read_back_and_holds(datas):
    chain = read_chain(build(datas))
    assert [entry["data"] for entry in chain.entries] == datas
    assert (chain.problem, chain.torn) == ("", 0)
    assert chain.entries[0]["previous"] == START
    assert chain.head == chain.entries[-1]["hash"]


@given(records, st.data())
def test_any_changed_byte_before_the_last_line_is_found(datas, draw):
    content = build(datas)
    last_line = content[:-1].rfind(b"\n") + 1
    place = draw.draw(st.integers(0, last_line - 1))
    byte = draw.draw(st.integers(0, 255).filter(lambda value: value != content[place]))
    changed = content[:place] + bytes([byte]) + content[place + 1 :]
    chain = read_chain(changed)
    if place == last_line - 1:
        # the last two lines became one: an end cut short, which only the head hash kept elsewhere can tell from a crash
        assert (chain.torn, len(chain.entries)) == (1, len(datas) - 2)
        return
    assert chain.problem
    assert chain.bad_line in {content[:place].count(b"\n") + 1, content[:place].count(b"\n") + 2}


@given(records, st.data())
def test_a_removed_or_moved_line_is_found(datas, draw):
    lines = build([{**data, "n": number} for number, data in enumerate(datas)]).splitlines(keepends=True)
    gone = draw.draw(st.integers(0, len(lines) - 2))
    chain = read_chain(b"".join(lines[:gone] + lines[gone + 1 :]))
    assert (chain.bad_line, bool(chain.problem)) == (gone + 1, True)
    assert "removed, added or moved" in chain.problem
    swapped = [*lines]
    swapped[gone], swapped[gone + 1] = swapped[gone + 1], swapped[gone]
    assert read_chain(b"".join(swapped)).bad_line == gone + 1


@settings(max_examples=200)
@given(records, st.lists(st.integers(1, 2000), min_size=1, max_size=4))
def test_cut_at_any_byte_again_and_again_the_next_append_goes_on(datas, cuts):
    content = build(datas)
    whole = len(content)
    for cut in cuts:
        content = content[: max(0, len(content) - cut % max(1, len(content)))] if len(content) >= whole else content
        assert read_chain(content).problem == ""
        addition = extended(content, [{**ENTRY, "data": {"after": "the crash"}}])
        # the writer that tidies up is itself cut short
        content += addition[: cut % (len(addition) + 1)]
        assert read_chain(content).problem == ""
    content += extended(content, [{**ENTRY, "data": {"last": True}}])
    chain = read_chain(content)
    assert (chain.problem, chain.torn) == ("", 0)
    assert chain.entries[-1]["data"] == {"last": True}


def test_the_torn_line_is_kept_and_named(tmp_path):
    record = Record(LocalStore(str(tmp_path)), "r")
    record.append("phase", {"n": 1})
    with open(tmp_path / RECORD, "ab") as stream:
        stream.write(b'{"at": "2026-11-23T10:')
    assert record.verify().torn == 1
    record.append("phase", {"n": 2})
    chain = record.verify()
    assert [entry["type"] for entry in chain.entries] == ["phase", "torn", "phase"]
    assert chain.entries[1]["data"]["bytes"] == 22
    path = tmp_path / RECORD
    path.write_bytes(path.read_bytes().replace(b'{"at": "2026-11-23T10:', b'{"at": "2026-11-23T11:'))
    with pytest.raises(VerificationFailed, match="line 2: the torn line that it names is not there"):
        record.verify()


def test_verify_names_the_line_the_file_and_what_to_do(tmp_path):
    record = Record(LocalStore(str(tmp_path)), "r")
    for number in range(3):
        record.append("phase", {"value": f"held by {number}"})
    path = tmp_path / RECORD
    path.write_text(path.read_text().replace("held by 1", "held by 9"))
    with pytest.raises(VerificationFailed) as caught:
        record.verify()
    assert "line 2" in str(caught.value)
    assert "head hash in incident.md" in str(caught.value)
    assert caught.value.evidence["bad_line"] == 2


def test_secrets_are_hidden_and_long_texts_cut_before_they_are_written(tmp_path):
    record = Record(LocalStore(str(tmp_path)), "r")
    record.append("phase", {"password": "hunter2", "url": "postgresql://app:hunter2@db/x", "log": "x" * 90000})
    text = (tmp_path / RECORD).read_text()
    assert "hunter2" not in text
    assert "86000 more characters" in json.loads(text)["data"]["log"]


def _write(folder, number):
    record = Record(LocalStore(folder), "r")
    for turn in range(10):
        record.append("phase", {"writer": number, "turn": turn}, host=f"web-{number}")


def test_many_processes_append_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(str(tmp_path), number)) for number in range(12)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    chain = Record(LocalStore(str(tmp_path)), "r").verify()
    seen = {(entry["data"]["writer"], entry["data"]["turn"]) for entry in chain.entries}
    assert len(chain.entries) == len(seen) == 120


WRITER = """
import sys
from ansible_collections.dualwrite.rollback.plugins.module_utils.run.record import Record
from ansible_collections.dualwrite.rollback.plugins.module_utils.stores.local import LocalStore
record = Record(LocalStore(sys.argv[1]), "r")
number = 0
while True:
    number += 1
    record.append("phase", {"n": number, "log": "line\\n" * 700})
    print(number, flush=True)
"""


@pytest.mark.parametrize("wait", [0.01, 0.03, 0.07])
def test_a_killed_writer_loses_nothing_that_it_had_finished(tmp_path, wait):
    root = inspect.getfile(Record).partition("/ansible_collections/")[0]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    finished = int(writer.stdout.readline())
    time.sleep(wait)  # a random point of its work, not a synchronisation
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.communicate()[0].split()
    finished = int(rest[-1]) if rest else finished
    record = Record(LocalStore(str(tmp_path)), "r")
    record.append("note", {"text": "went on"})
    chain = record.verify()
    numbers = [entry["data"]["n"] for entry in chain.entries if entry["type"] == "phase"]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= finished
    assert chain.entries[-1]["data"] == {"text": "went on"}


def _append_beyond_the_limit(folder, size, queue):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))
    try:
        Record(LocalStore(folder), "r").append("phase", {"log": "x" * 3000})
    except RollbackError as error:
        queue.put(str(error))


def test_a_write_that_fails_half_way_leaves_the_record_whole(tmp_path):
    """The kernel's file size limit stands for a full disk: the first 100 bytes fit, the rest does not."""
    record = Record(LocalStore(str(tmp_path)), "r")
    record.append("phase", {"n": 1})
    before = (tmp_path / RECORD).read_bytes()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    writer = context.Process(target=_append_beyond_the_limit, args=(str(tmp_path), len(before), queue))
    writer.start()
    sentence = queue.get(timeout=30)
    writer.join()
    assert "record.jsonl: the file can't be written: File too large." in sentence
    assert "run the same command again" in sentence
    assert (tmp_path / RECORD).read_bytes() == before


def test_run_ids_sort_by_time_and_name_the_scenario():
    run_id = new_run_id("rollback dual_write")
    stamp, rest = run_id.split("-", 1)
    assert re.fullmatch(r"\d{8}T\d{9}Z", stamp)
    assert rest.startswith("rollback-dual-write-")
    assert len(rest.rsplit("-", 1)[1]) == 4


def test_runs_of_one_second_sort_as_they_began():
    made = []
    for dummy in range(20):
        made.append(new_run_id(f"rollback {dummy}"))
        time.sleep(0.002)
    assert made == sorted(made)
