"""Real rotations of log files, before they are read and while they are followed; and large files."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.log_files import (
    BLOCK,
    LogFile,
    expand,
    siblings,
)

from .conftest import add, line, stamp


def renamed(log: Path) -> None:
    log.rename(f"{log}.1")
    log.touch()


def dated(log: Path) -> None:
    log.rename(log.with_name("app.log-20260125"))
    log.touch()


def dated_in_the_name(log: Path) -> None:
    log.rename(log.with_name("app-20260125.log"))
    log.touch()


def compressed(log: Path) -> None:
    with gzip.open(f"{log}.1.gz", "wb") as stream:
        stream.write(log.read_bytes())
    log.unlink()
    log.touch()


def compressed_by_xz(log: Path) -> None:
    Path(f"{log}.1.xz").write_bytes(lzma.compress(log.read_bytes()))
    log.unlink()
    log.touch()


def compressed_by_bzip2(log: Path) -> None:
    Path(f"{log}.1.bz2").write_bytes(bz2.compress(log.read_bytes()))
    log.unlink()
    log.touch()


def copied_and_truncated(log: Path) -> None:
    shutil.copy(log, f"{log}.1")
    os.truncate(log, 0)


def copied_compressed_and_truncated(log: Path) -> None:
    with gzip.open(f"{log}.1.gz", "wb") as stream:
        stream.write(log.read_bytes())
    os.truncate(log, 0)


def twice(log: Path) -> None:
    renamed(log)
    add(log, line("served"), line("served"))
    os.rename(f"{log}.1", f"{log}.2")
    renamed(log)


ROTATIONS = [
    renamed,
    dated,
    dated_in_the_name,
    compressed,
    compressed_by_xz,
    compressed_by_bzip2,
    copied_and_truncated,
    copied_compressed_and_truncated,
    twice,
]


@pytest.mark.parametrize("rotate", ROTATIONS)
def test_rotated_before_the_first_look(follow: Callable[..., Any], log: Path, rotate: Callable[[Path], None]) -> None:
    add(log, *[line("dual_write", 30) for number in range(20)], line("served", 5), line("dual_write", 4))
    rotate(log)
    add(log, line("served"))
    assert follow()().value["matched"] == 1


@pytest.mark.parametrize("rotate", ROTATIONS)
@pytest.mark.parametrize("unread", [0, 1])
def test_rotated_while_followed(
    follow: Callable[..., Any], log: Path, rotate: Callable[[Path], None], unread: int
) -> None:
    """Nothing that was written between two looks is lost, and nothing is counted twice."""
    add(log, line("dual_write", 30), line("served", 5), line("served", 4))
    ask = follow()
    assert ask().answer == "pass"
    add(log, *[line("dual_write") for number in range(unread)])
    rotate(log)
    add(log, line("served"))
    seen = ask()
    expected = {"lines": 3 + unread + (2 if rotate is twice else 0), "matched": unread}
    assert {key: seen.value[key] for key in expected} == expected
    add(log, line("dual_write"))
    seen = ask()
    expected = {"lines": expected["lines"] + 1, "matched": unread + 1}
    assert {key: seen.value[key] for key in expected} == expected


def test_a_writer_that_keeps_the_old_file_open(follow: Callable[..., Any], log: Path) -> None:
    add(log, line("served", 5))
    with log.open("a") as writer:
        ask = follow()
        assert ask().answer == "pass"
        renamed(log)
        add(log, line("served"))
        assert ask().answer == "pass"
        writer.write(line("dual_write"))
        writer.flush()
        assert ask().answer == "fail"


def test_compressed_later_is_not_read_again(follow: Callable[..., Any], log: Path) -> None:
    add(log, line("served", 5), line("served", 4))
    ask = follow()
    assert ask().value["lines"] == 2
    renamed(log)
    add(log, line("served"))
    assert ask().value["lines"] == 3
    with gzip.open(f"{log}.1.gz", "wb") as stream:
        stream.write(Path(f"{log}.1").read_bytes())
    assert ask().value["lines"] == 3
    os.unlink(f"{log}.1")
    assert ask().value["lines"] == 3


def test_a_half_written_archive_is_an_error_until_it_is_whole(follow: Callable[..., Any], log: Path) -> None:
    whole = gzip.compress("".join(line("dual_write", 4) for number in range(500)).encode())
    archive = Path(f"{log}.1.gz")
    archive.write_bytes(whole[: len(whole) // 2])
    add(log, line("served"))
    ask = follow()
    assert ask().answer == "error"
    archive.write_bytes(whole)
    assert ask().value["matched"] == 500


def test_an_archive_that_can_not_be_read_is_an_error(follow: Callable[..., Any], log: Path) -> None:
    add(log, line("served"))
    Path(f"{log}.1.zst").write_bytes(b"x")
    assert "compressed in a way that can't be read" in follow()().detail


def test_old_archives_are_left_alone(follow: Callable[..., Any], log: Path) -> None:
    add(log, line("served"))
    archive = Path(f"{log}.1.zst")
    archive.write_bytes(b"x")
    os.utime(archive, (time.time() - 3600, time.time() - 3600))
    assert follow()().answer == "pass"


def test_a_log_that_vanishes_for_a_moment_and_comes_back(follow: Callable[..., Any], log: Path) -> None:
    add(log, line("served"))
    ask = follow(paths=[str(log.with_name("*.log"))])
    assert ask().answer == "pass"
    log.rename(f"{log}.1")
    assert ask().answer == "pass"
    add(log, line("dual_write"))
    assert ask().answer == "fail"


def test_siblings_and_globs(tmp_path: Path) -> None:
    names = ["app.log", "app.log.1", "app.log.2.gz", "app.log-20260125", "app.log.2026-01-25_18", "app-20260125.log"]
    others = ["app.logger", "app.log.bak2", "app-web.log", "apps.log", "app.log.tmp"]
    for name in [*names, *others]:
        (tmp_path / name).touch()
    found = {os.path.basename(path): archive for path, archive in siblings(str(tmp_path / "app.log"))}
    assert found == {name: name.endswith(".gz") for name in names[1:]}
    live = {os.path.basename(path) for path in expand([str(tmp_path / "*")])}
    assert live == {"app.log", *others}


# -- large files -------------------------------------------------------------------------------------------------------


def test_the_begin_of_a_large_file_is_found_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "large.log"
    with path.open("w") as stream:
        for second in range(300_000):
            stream.write(f"{1769364000 + second} {'x' * 60}\n")
    taken = []

    def time_of(text: bytes) -> float | None:
        taken.append(1)
        return float(text[:10]) if text[:10].isdigit() else None

    begin = 1769364000 + 299_000
    file = LogFile(str(path), begin, time_of)
    lines = [text for key, block in file.blocks() for text in block]
    file.close()
    assert float(lines[0][:10]) <= begin
    assert len(lines) * 72 < 4 * BLOCK
    assert len(taken) < 20


def test_the_whole_history_of_a_busy_log_is_read_in_time(follow: Callable[..., Any], log: Path) -> None:
    now = time.time()
    with log.open("w") as stream:
        for number in range(300_000):
            at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now - 60 + number / 5000))
            stream.write(f'{{"time": "{at}.{number % 1000:03}Z", "event": "served", "n": {number}}}\n')
    started = time.monotonic()
    seen = follow(history=40, since=stamp(time.time() - now + 10))()
    assert seen.answer == "pass"
    assert 45_000 <= seen.value["lines"] <= 55_000
    assert time.monotonic() - started < 5
