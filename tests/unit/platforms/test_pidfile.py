"""Platform pidfile against real processes."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline, wait_until
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    CommandFailed,
    DeadlinePassed,
    InvalidInput,
    NotFound,
    VerificationFailed,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms import proc
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.registry import make
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import FLAG, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


def test_a_reload_reaches_master_and_workers(shop: Shop) -> None:
    web = make(shop.running("web", "--state-dir", str(shop.state_dir), roll=["reload", "restart"]))
    before = web.instances()
    assert [one.role for one in before] == ["master", "worker", "worker"]
    web.declare({FLAG: "false"})
    assert web.roll(Deadline(10), {FLAG: "false"}) == "reload"
    assert [one.id for one in web.instances()] == [one.id for one in before]
    assert {web.effective(one, [FLAG])[FLAG] for one in web.instances()} == {"false"}


@pytest.mark.parametrize("habit", ["--ignore-hup", "--die-on-hup", "--keeper"])
def test_a_reload_that_does_nothing_falls_back_to_a_restart(shop: Shop, habit: str) -> None:
    web = make(shop.running("web", "--state-dir", str(shop.state_dir), habit, roll=["reload", "restart"]))
    before = {one.id for one in web.instances()}
    web.declare({FLAG: "false"})
    assert web.roll(Deadline(20), {FLAG: "false"}) == "reload, restart"
    assert not before & {one.id for one in web.instances()}
    assert {web.effective(one, [FLAG])[FLAG] for one in web.instances()} == {"false"}


def test_a_pidfile_that_is_away_while_it_reloads_is_no_success(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """gunicorn removes its pidfile at the signal and writes it anew; that moment is played by every second look."""
    web = make(shop.running("web", "--state-dir", str(shop.state_dir), "--ignore-hup", roll=["reload", "restart"]))
    listed, looks = web.instances, itertools.count()
    monkeypatch.setattr(web, "instances", lambda: [] if next(looks) % 2 else listed())
    web.declare({FLAG: "false"})
    assert web.roll(Deadline(20), {FLAG: "false"}) == "reload, restart"
    assert {web.effective(one, [FLAG])[FLAG] for one in listed()} == {"false"}


def test_a_leader_that_takes_a_while_to_end_at_the_signal_is_restarted(shop: Shop) -> None:
    """The kernel frees its memory while it can still be seen: alive, but without a command line."""
    more = ("--die-on-hup", "--ballast", "500", "--workers", "0", "--state-dir", str(shop.state_dir))
    web = make(shop.running("web", *more, roll=["reload", "restart"]))
    before = {one.id for one in web.instances()}
    web.declare({FLAG: "false"})
    assert web.roll(Deadline(20), {FLAG: "false"}) == "reload, restart"
    assert not before & {one.id for one in web.instances()}


@contextlib.contextmanager
def ending(shop: Shop) -> Iterator[proc.Process]:
    """A process with so much memory that it is there for a moment, without command line and environment, as it ends."""
    code = "import sys; held = bytearray(400_000_000); print(sys.argv, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "tiny.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert b"tiny.py" in child.stdout.readline()
        (shop.folder / "web.pid").write_text(f"{child.pid}\n")
        process = proc.find(child.pid)
        assert process is not None
        yield process
        child.kill()


def test_a_process_that_is_ending_is_no_other_program(shop: Shop) -> None:
    web = make(shop.workload("web"))
    with ending(shop) as process:
        assert web.running() == [process]
        os.kill(process.pid, signal.SIGKILL)
        while web.running():
            pass


def test_a_process_that_is_ending_holds_nothing_rather_than_no_flag(shop: Shop) -> None:
    def look_until_it_is_gone(process: proc.Process) -> None:
        while True:
            assert "PATH" in proc.environment(process)

    with ending(shop) as process:
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(NotFound):
            look_until_it_is_gone(process)


def test_a_reload_that_does_nothing_is_an_error_where_no_restart_is_allowed(shop: Shop) -> None:
    web = make(shop.running("web", "--state-dir", str(shop.state_dir), "--ignore-hup", roll=["reload"]))
    web.declare({FLAG: "false"})
    with pytest.raises(VerificationFailed, match=rf"master {shop.pid('web')} holds {FLAG}=true.*Allow a restart"):
        web.roll(Deadline(10), {FLAG: "false"})


def test_a_restart_leaves_no_instance_of_before(shop: Shop) -> None:
    web = make(shop.running("web"))
    before = shop.mine()
    web.declare({FLAG: "false"})
    assert web.roll(Deadline(10), {FLAG: "false"}) == "restart"
    assert not any(map(proc.alive, before))
    assert {web.effective(one, [FLAG])[FLAG] for one in web.instances()} == {"false"}
    assert not web.interrupted()


def test_who_does_not_stop_is_named_and_nothing_is_killed(shop: Shop) -> None:
    web = make(shop.running("web", "--ignore-term"))
    with pytest.raises(DeadlinePassed, match=f"pid {shop.pid('web')}.* still ran 1 s after"):
        web.roll(Deadline(1), {FLAG: "false"})
    assert proc.find(shop.pid("web"))


def test_kill_after_ends_who_does_not_stop(shop: Shop) -> None:
    web = make(shop.running("web", "--ignore-term", kill_after=0.3))
    before = shop.pid("web")
    web.roll(Deadline(10), {FLAG: "true"})
    assert not proc.find(before)


def test_a_failing_start_says_its_last_words_without_secrets(shop: Shop) -> None:
    web = make(shop.running("web", "--fail-when", f"{FLAG}=false"))
    web.declare({FLAG: "false"})
    with pytest.raises(CommandFailed, match="did not start.*refusing to start") as caught:
        web.roll(Deadline(10), {FLAG: "false"})
    assert "hunter22" not in str(caught.value)
    assert web.interrupted()


def test_a_start_that_does_not_last_is_no_start(shop: Shop) -> None:
    web = make(shop.running("web", "--end-when", f"{FLAG}=false", stable_for=5, start_timeout=3))
    web.declare({FLAG: "false"})
    # it may come and go, pidfile and all, between two looks
    with pytest.raises(CommandFailed, match="did not start: (pid .* ended within 5 s|no live process)"):
        web.roll(Deadline(20), {FLAG: "false"})


def test_a_start_that_writes_no_pidfile_is_ended(shop: Shop) -> None:
    command = ["sh", "-c", f"sleep 60; : {shop.folder}"]
    web = make(shop.workload("web", start_command=command, start_timeout=0.5))
    with pytest.raises(CommandFailed, match=r"no live process in .*web.pid within"):
        web.roll(Deadline(20), {FLAG: "false"})
    wait_until(lambda: not shop.mine(), Deadline(5), what="the end of the start")


def test_a_stale_pidfile_is_refused(shop: Shop) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    (shop.folder / "web.pid").write_text(f"{child.pid}\n")
    with pytest.raises(InvalidInput, match=f"the pidfile is stale: no process has pid {child.pid}"):
        make(shop.workload("web")).instances()


def test_another_programs_pid_is_refused_and_never_signalled(shop: Shop) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (shop.folder / "web.pid").write_text(f"{stranger.pid}\n")
        web = make(shop.workload("web", roll=["reload", "restart"]))
        for act in (web.instances, lambda: web.roll(Deadline(5), {}), lambda: web.stop(Deadline(5))):
            with pytest.raises(InvalidInput, match=r"is another program \('sleep'\), not 'tiny.py'"):
                act()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_pidfile_without_a_pid_is_refused(shop: Shop) -> None:
    (shop.folder / "web.pid").write_text("-1\n")
    with pytest.raises(InvalidInput, match="holds no process id"):
        make(shop.workload("web")).instances()


def test_a_state_file_of_another_process_counts_for_nothing(shop: Shop) -> None:
    web = make(shop.running("web", state_file=f"{shop.state_dir}/{{pid}}.json"))
    master = web.instances()[0]
    path = shop.state_dir / f"{shop.pid('web')}.json"
    path.write_text(json.dumps({"pid": shop.pid("web"), "start_time": 1, "flags": {FLAG: "false"}}))
    assert web.effective(master, [FLAG]) == {FLAG: "true"}
    path.write_text('{"pid": 1, "start_ti')
    assert web.effective(master, [FLAG]) == {FLAG: "true"}


def test_a_command_runs_with_the_environment_and_folder_of_an_instance(shop: Shop) -> None:
    web = make(shop.running("web"))
    done = web.execute(web.instances()[0], ["sh", "-c", f"echo $SECRET ${FLAG}; pwd; exit 3"], Deadline(5))
    assert (done.rc, done.stdout.split()) == (3, ["s3cr3t", "true", os.getcwd()])


def test_stop_and_start(shop: Shop) -> None:
    web = make(shop.running("web"))
    stopped = web.stop(Deadline(5))
    assert web.instances() == []
    web.start(stopped, Deadline(10))
    wait_until(lambda: len(web.instances()) == 3, Deadline(5), what="the workers")
    web.start(web.stop(Deadline(5)), Deadline(10))
    assert web.instances()


def test_instance_match_leaves_helpers_out(shop: Shop) -> None:
    web = make(shop.running("web", instance_match="no such command"))
    assert web.instances() == []


def test_a_new_file_keeps_owner_mode_and_link(shop: Shop) -> None:
    real = shop.folder / "real.env"
    shop.env_file.rename(real)
    shop.env_file.symlink_to(real)
    real.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(real, 12345, 23456)
    before = real.stat()
    (change,) = make(shop.workload("web")).declare({FLAG: "false"})
    after = real.stat()
    assert shop.env_file.is_symlink()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert (change.before, change.after) == (f"{FLAG}=true\n", f"{FLAG}=false\n")


def test_logs_since_a_time(shop: Shop) -> None:
    (shop.folder / "web.log").write_text(
        "2026-01-01T10:00:00Z old\n  more of it\n2026-01-01T12:00:00+01:00 new\n  its trace\n"
    )
    web = make(shop.workload("web"))
    assert web.logs("2026-01-01T10:30:00Z") == ["2026-01-01T12:00:00+01:00 new", "  its trace"]
    assert web.logs("2026-01-01T11:00:01Z") == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"colour": "red"}, "the option 'colour' is not known"),
        ({"pidfile": None}, "the option 'pidfile' is missing"),
        ({"cmdline_match": None}, "the option 'cmdline_match' is missing"),
        ({"start_command": None}, "the option 'start_command' is missing"),
        ({"roll": ["pray"]}, "the option 'roll' is 'pray'"),
        ({"roll": []}, "the option 'roll' is not a list"),
        ({"cmdline_match": "("}, "the option 'cmdline_match' is no regular expression"),
        ({"stop_signal": "STOPPIT"}, "the option 'stop_signal' is 'STOPPIT'"),
        ({"reload_timeout": "soon"}, "the option 'reload_timeout' is 'soon'"),
        ({"env_format": "ini"}, "the option 'env_format' is 'ini'"),
    ],
)
def test_an_option_that_is_wrong_is_named_with_its_workload(shop: Shop, options: dict, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=f"workload 'web': {sentence}"):
        make(shop.workload("web", **options))


def test_an_unknown_platform_is_named() -> None:
    with pytest.raises(InvalidInput, match="workload 'web': the platform 'nomad' is not known. Give one of: .*pidfile"):
        make({"name": "web", "platform": "nomad", "options": {}})
