"""What an operator sees during a run: real ansible-playbook, our modules, no remote host."""

import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core import errors

ROOT = inspect.getfile(errors).partition("/ansible_collections/")[0]
PLAYBOOK = str(Path(__file__).resolve().parent / "phases.yml")
INVENTORY = """
all:
  vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  hosts:
    web-1:
    web-2:
    web-3: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
"""


@pytest.fixture
def play(tmp_path):
    command = Path(sys.executable).parent / "ansible-playbook"
    found = str(command) if command.exists() else shutil.which("ansible-playbook")
    assert found, "ansible-playbook is not installed"
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    environ = {
        **os.environ,
        "PYTHONPATH": ROOT,
        "ANSIBLE_COLLECTIONS_PATH": ROOT,
        "ANSIBLE_CONFIG": str(tmp_path / "none.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "dualwrite.rollback.phases",
        "ANSIBLE_LOCAL_TEMP": str(tmp_path / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "HOME": str(tmp_path),
    }
    (tmp_path / "none.cfg").write_text("")

    def call(*words):
        argv = [found, "-i", str(tmp_path / "hosts.yml"), PLAYBOOK, "-e", f"work={tmp_path}", *words]
        done = subprocess.run(argv, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
        return done.returncode, re.sub(r"\[ *[0-9.]+ s of", "[T s of", done.stdout), done.stderr

    return call


def test_a_short_line_per_phase_and_the_outcome(play, tmp_path):
    code, out, err = play("--limit", "web-1")
    assert code == 0, out + err
    lines = out.splitlines()
    run_id = re.search(r"run (\S+) by", out)[1]
    assert [re.sub(r" +", " ", line) for line in lines] == [
        f"[T s of 60 s] open controller lab: run {run_id} by ann",
        f"[T s of 60 s] lock web-1 locked for {run_id}",
        "[T s of 60 s] unlock web-1 lock given back",
        "[T s of 60 s] close controller " + lines[5],
        "",
        lines[5],
        f"report: {tmp_path}/reports/lab/{run_id}/incident.html",
    ]
    assert re.fullmatch(r"Done and proved on every host \(1 of 1\), [0-9.]+ s of 60 s", lines[5])


def test_failures_are_one_sentence_each_and_the_end_names_only_failed_hosts(play):
    code, out, err = play("-e", "break=web-2")
    assert code == 2, out + err
    assert len([line for line in out.splitlines() if "UNREACH" in line]) == 1
    assert re.search(r"task +web-2 +FAILED: Break: the disk is on fire$", out, re.M)
    end = out[out.index("\n\n") :]
    assert "not proved: web-2: the disk is on fire (in: Break)" in end
    assert re.search(r"not proved: web-3: .*Connection refused", end)
    assert "web-1" not in end.replace("web-1.", "")
    assert "{" not in out


def test_check_mode_is_marked_diff_shows_the_change_and_nothing_stays(play, tmp_path):
    code, out, err = play("--limit", "web-1", "--check", "--diff")
    assert code == 0, out + err
    assert re.search(r"lock +web-1 +\(check\) locked for", out)
    assert re.search(r"^\+\S+ of ann$", out, re.M)
    assert "report:" not in out
    assert not (tmp_path / "reports").exists()
    assert not (tmp_path / "locks").exists()


def test_verbosity_adds_short_lines_then_everything(play):
    out = play("--limit", "web-1", "-v")[1]
    assert re.search(r"ok +web-1 +Say something$", out, re.M)
    assert re.search(r"add +web-1 +verify recorded$", out, re.M)
    out = play("--limit", "web-1", "-vvv")[1]
    assert "PLAY RECAP" in out
    assert "TASK [" in out


def test_no_log_stays_hidden(play):
    code, out, err = play("--limit", "web-1", "-e", "hidden=true")
    assert code == 0, out + err
    assert re.search(r"lock +web-1 +hidden by no_log$", out, re.M)


def test_an_unwritable_report_folder_is_said_and_ends_non_zero(play, tmp_path):
    (tmp_path / "reports").write_text("a file where the folder should be")
    code, out, err = play("--limit", "web-1")
    assert code == 2, out + err
    assert "REPORT FOLDER NOT WRITABLE" in out
    assert "[WARNING]: The report folder can't be written" in " ".join(err.split())
    assert "not proved: web-1: was so already, proved, but The report folder can't be written" in out
    assert f"report: {tmp_path}/.local/state/dualwrite/reports/lab/" in out


def test_a_guard_that_says_no_is_said_once(play):
    code, out, err = play("--limit", "web-1", "-e", "protected=true")
    assert code == 2, out + err
    assert out.count("-e dualwrite_confirm=lab") == 1
    assert out.splitlines()[-1] == "not proved: web-1: failed, see above"
