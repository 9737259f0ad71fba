"""Input that can't be right, and places that can't be read or written: one sentence, and nothing is touched."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.expect import chain_of, closed, failed, proved, sentence
from tests.support.measure import FLAG, State, held
from tests.support.play import play

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="mounts need root")


@contextlib.contextmanager
def mounted(*arguments: str) -> Iterator[None]:
    """Mount something for the time of a test; the last argument is where."""
    subprocess.run(["mount", *arguments], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", arguments[-1]], check=True)


# --- flags and their values -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            {"TEAM_VNEXT_DUAL_WRIT_ENABLED": False},
            ["'TEAM_VNEXT_DUAL_WRIT_ENABLED' is not known", f"Did you mean {FLAG}?"],
        ),
        ({FLAG: "perhaps"}, [f"flags.{FLAG}", "'perhaps' is not a boolean", "Give true or false."]),
        ({FLAG: ""}, [f"flags.{FLAG}", "'' is not a boolean", "Give true or false."]),
    ],
    ids=["unknown", "no-boolean", "empty"],
)
def test_a_flag_that_cant_be_set_as_asked_is_refused(lab, before, rollback, flags, words):
    ended = rollback(variables={"disable_dual_write_flags": flags})
    failed(ended, lab, *words)
    assert State.of(lab) == before


def test_check_mode_says_it_too_and_writes_nothing(lab, before, reports, rollback):
    ended = rollback("--check", variables={"disable_dual_write_flags": {FLAG: "perhaps"}})
    sentence(ended, f"flags.{FLAG}", "'perhaps' is not a boolean", "Give true or false.")
    assert State.of(lab) == before
    assert not reports.exists()


# --- the env file ---------------------------------------------------------------------------------------------------


def _gone(path: Path) -> None:
    path.unlink()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _latin_1(path: Path) -> None:
    path.write_bytes(path.read_bytes() + "GREETING=grüß\n".encode("latin-1"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_gone, ["the file does not exist"]),
        (_folder, ["the file can't be read", "Is a directory"]),
        (_latin_1, ["the file is not UTF-8 at byte", "Fix the file's encoding first."]),
    ],
    ids=["missing", "a-folder", "not-utf-8"],
)
def test_an_env_file_that_cant_be_read_changes_nothing(lab, rollback, spoil, words):
    spoil(lab.paths.env_file)
    before = State.of(lab)
    failed(rollback(), lab, str(lab.paths.env_file), *words)
    assert State.of(lab) == before


@ROOT_ONLY
def test_a_full_disk_keeps_the_old_bytes(lab, before, rollback, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)):
        real = small / "app.env"
        real.write_bytes(before.env)
        real.chmod(0o600)
        lab.paths.env_file.unlink()
        lab.paths.env_file.symlink_to(real)
        assert subprocess.run(
            ["dd", "if=/dev/zero", f"of={small / 'filler'}"], capture_output=True, check=False
        ).returncode
        ended = rollback()
        failed(
            ended, lab, str(lab.paths.env_file), "the file can't be written: No space left on device", "free the disk"
        )
        assert State.of(lab) == before
        assert sorted(path.name for path in small.iterdir()) == ["app.env", "filler"]
        (small / "filler").unlink()
        proved(rollback(), lab)
        assert lab.paths.env_file.is_symlink()


# --- the pidfile ----------------------------------------------------------------------------------------------------


def test_a_stale_pidfile_changes_nothing(bench, lab, before, rollback, tmp_path):
    pidfile = tmp_path / "web.pid"
    ended = subprocess.Popen(["true"])
    ended.wait()
    pidfile.write_text(f"{ended.pid}\n")
    said = failed(
        rollback(variables=bench.workloads(web={"pidfile": str(pidfile)})),
        lab, "workload 'web'", f"the pidfile is stale: no process has pid {ended.pid}", "Start the workload",
    )  # fmt: skip
    assert str(pidfile) in said
    assert State.of(lab) == before


def test_a_pidfile_of_another_program_lets_that_program_live(bench, lab, before, rollback, tmp_path):
    pidfile = tmp_path / "web.pid"
    with subprocess.Popen(["sleep", "300"]) as other:
        try:
            pidfile.write_text(f"{other.pid}\n")
            ended = rollback(variables=bench.workloads(web={"pidfile": str(pidfile)}))
            failed(ended, lab, f"{pidfile}: pid {other.pid} is another program ('sleep')", "nothing was signalled")
            assert State.of(lab) == before
            assert other.poll() is None
        finally:
            other.kill()


# --- the report folder ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["a-file", pytest.param("read-only", marks=ROOT_ONLY)])
def test_the_flag_comes_off_also_when_the_report_folder_cant_be_written(lab, tmp_path, how):
    reports, home = tmp_path / "reports", tmp_path / "home"
    with contextlib.ExitStack() as stack:
        if how == "a-file":
            reports.write_text("in the way\n")
        else:
            reports.mkdir()
            stack.enter_context(mounted("-t", "tmpfs", "-o", "ro", "tmpfs", str(reports)))
        ended = play(reports, "-e", '{"dualwrite_hold": 1}', DUALWRITE_LAB=str(lab.dir), HOME=str(home))
        place = home / ".local/state/dualwrite/reports"
        said = sentence(ended, "not proved: lab:", f"{reports}", "The record of this run is kept in", str(place))
        assert "the run goes on and ends non-zero" in said
        assert held(lab) == ["false"] * 5
        assert f"{FLAG}=false\n" in lab.paths.env_file.read_text()
        (folder,) = [path.parent for path in place.rglob("record.jsonl")]
        assert str(folder) in said
        assert closed(folder)["hosts"] == {"lab": "done"}
        assert folder.stat().st_mode & 0o077 == 0
        assert "probes pass" in ended.text
        assert reports.is_file() if how == "a-file" else not list(reports.iterdir())
    assert not (lab.paths.run_dir / "lab.lock").exists()


@ROOT_ONLY
def test_the_flag_comes_off_also_when_the_disk_of_the_reports_fills_up_in_mid_run(lab, tmp_path):
    """One page holds the record's first entries; what the flag module found does not fit any more."""
    reports = tmp_path / "reports"
    reports.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=4k", "tmpfs", str(reports)):
        ended = play(reports, "-e", "dualwrite_hold=1", DUALWRITE_LAB=str(lab.dir))
        entries = chain_of(ended.run_folder).entries
    said = sentence(ended, "flag", "NOT RECORDED", "record.jsonl: the file can't be written: No space left on device")
    assert "Free the disk or fix the permissions" in said
    assert [entry["type"] for entry in entries] == ["open", "phase", "close"]
    assert entries[-1]["data"]["hosts"] == {"lab": "no_answer"}
    assert held(lab) == ["false"] * 5
    assert not (lab.paths.run_dir / "lab.lock").exists()


# --- the guard of a protected environment ---------------------------------------------------------------------------

WHY = {"dualwrite_reason": "errors on create", "dualwrite_ticket": "INC-7"}
CONFIRM, REASON, TICKET = "-e dualwrite_confirm=lab", "-e dualwrite_reason=", "-e dualwrite_ticket="


@pytest.mark.parametrize(
    ("given", "asks", "asks_not"),
    [
        ({}, [CONFIRM, REASON, TICKET], []),
        (WHY, [CONFIRM], [REASON, TICKET]),
        ({**WHY, "dualwrite_confirm": "production"}, [CONFIRM], [REASON, TICKET]),
        ({**WHY, "dualwrite_confirm": "lab", "dualwrite_reason": " "}, [REASON], [CONFIRM, TICKET]),
        ({**WHY, "dualwrite_confirm": "lab", "dualwrite_ticket": ""}, [TICKET], [CONFIRM, REASON]),
    ],
    ids=["nothing", "no-confirmation", "another-name", "blank-reason", "no-ticket"],
)
def test_a_protected_environment_wants_its_name_a_reason_and_a_ticket(
    lab, before, reports, rollback, given, asks, asks_not
):
    ended = rollback(variables={"dualwrite_protected": True, **given})
    said = sentence(ended, "the environment 'lab' is protected", "Nothing was changed", *asks)
    for words in asks_not:
        assert words not in said
    assert State.of(lab) == before
    assert not reports.exists()
    assert not (lab.paths.run_dir / "lab.lock").exists()


def test_a_protected_environment_that_is_confirmed_is_rolled_back_and_check_mode_asks_nothing(
    lab, before, reports, rollback
):
    protected = {"dualwrite_protected": True}
    checked = rollback("--check", "--diff", variables=protected)
    assert checked.rc == 0, checked.text
    assert f"-{FLAG}=true" in checked.text
    assert State.of(lab) == before
    assert not reports.exists()
    ended = rollback(variables={**protected, **WHY, "dualwrite_confirm": "lab"})
    proved(ended, lab)
    opened = chain_of(ended.run_folder).entries[0]["data"]
    assert (opened["reason"], opened["ticket"]) == ("errors on create", "INC-7")
