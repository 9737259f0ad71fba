"""Labs come up once, side by side, and go without a trace."""

import signal
import stat
import subprocess
import sys

import pytest

from tests.lab import Lab, wait_until
from tests.lab.lab import ROOT
from tests.lab.processes import look_up, of_lab, start_time
from tests.lab.waiting import LabError, quoting


def command(*arguments, folder):
    argv = [sys.executable, "-m", "tests.lab", *arguments, "--dir", str(folder)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


def test_from_up_to_nothing_left(tmp_path):
    folder = tmp_path / "lab"
    assert command("up", "--traffic", "20", folder=folder).returncode == 0
    lab = Lab(dir=folder)
    members = of_lab(folder)
    assert len({part["pid"] for part in lab.status().values()} & {member.pid for member in members}) >= 4

    again = command("up", folder=folder)
    assert again.returncode == 0
    assert of_lab(folder) == members, "a second up changes nothing"
    status = command("status", folder=folder)
    assert status.returncode == 0
    assert " down" not in status.stdout

    for secret in ("state.json", "app.env", "secrets/api_token", "secrets/database_password", "secrets/pgpass"):
        assert stat.S_IMODE((folder / secret).stat().st_mode) == 0o600, secret
    values = [lab.token, lab.postgres.password_file.read_text().strip()]
    assert not [m for m in members if any(value in m.command for value in values)], "no secret in a command line"
    env = command("env", folder=folder).stdout
    assert f"export LAB_URL={lab.url}" in env
    assert not any(value in env for value in values)

    children = [child for member in members for child in descendants(member.pid)]
    assert command("down", folder=folder).returncode == 0
    for process in [*members, *children]:
        assert start_time(process.pid) != process.start_time, process.command
    assert of_lab(folder) == []
    assert command("status", folder=folder).returncode == 1
    assert command("down", "--wipe", folder=folder).returncode == 0
    assert not folder.exists()
    assert command("down", folder=folder).returncode == 0


def test_down_ends_what_a_killed_up_left_behind(tmp_path):
    argv = [sys.executable, "-m", "tests.lab", "up", "--dir", str(tmp_path)]
    up = subprocess.Popen(argv, cwd=ROOT)
    pidfile = tmp_path / "run" / "web.pid"
    wait_until(pidfile.exists, "the web workload has begun to start")
    up.send_signal(signal.SIGKILL)
    up.wait()
    assert of_lab(tmp_path)
    assert not (tmp_path / "state.json").exists()
    assert command("down", folder=tmp_path).returncode == 0
    assert of_lab(tmp_path) == []


def test_up_completes_a_lab_of_which_a_part_died(stiff):
    others = {part: found["pid"] for part, found in stiff.status().items() if part != "worker"}
    look_up(stiff.status()["worker"]["pid"]).send(signal.SIGKILL)
    wait_until(lambda: not stiff.status()["worker"]["up"], "the worker is gone")
    stiff.up()
    assert all(part["up"] for part in stiff.status().values())
    assert others == {part: found["pid"] for part, found in stiff.status().items() if part != "worker"}


def test_labs_side_by_side_share_nothing(labs):
    one, two = labs
    assert one.url != two.url
    assert one.state["database"]["port"] != two.state["database"]["port"]
    status, team = two.request("POST", "/api/vnext/teams/create/", {"name": "Only In Two"})
    assert status == 201
    assert two.sql("SELECT count(*) FROM organizations_team WHERE name = 'Only In Two'") == [(1,)]
    assert one.sql("SELECT count(*) FROM organizations_team WHERE name = 'Only In Two'") == [(0,)]
    assert one.request("GET", f"/api/vnext/teams/{team['slug']}/", token=two.token)[0] == 401


def test_the_traffic_process_knows_the_rows_it_made(lab):
    made = lab.traffic_summary()["made"]
    assert made
    rows = lab.sql("SELECT count(*) FROM organizations_team WHERE slug = ANY(%s)", [made])
    assert rows == [(len(made),)]


def test_the_foreign_keys_are_real_and_deferred(lab):
    rows = lab.sql("""
        SELECT conrelid::regclass::text || ' -> ' || confrelid::regclass::text FROM pg_constraint
        WHERE contype = 'f' AND condeferrable AND condeferred ORDER BY 1""")
    assert [row[0] for row in rows] == [
        "organizations_teammembership -> organizations_team",
        "organizations_teammigrationmap -> organizations_team",
        "organizations_teammigrationmap -> teams_team",
        "teams_teammembership -> teams_team",
    ]


def descendants(pid):
    """Return the live children of a process, and theirs."""
    found = []
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        for child in map(int, file.read().split()):
            process = look_up(child)
            found += [process, *descendants(child)] if process else []
    return found


def test_what_does_not_become_ready_is_told_with_the_last_words_of_its_log(tmp_path):
    log = tmp_path / "web.log"
    with pytest.raises(LabError, match=r"web runs: not so after 0 s; web.log says: nothing"), quoting(log):
        wait_until(lambda: False, "web runs", 0)
    log.write_text("starting\nbind failed\naddress in use\ngiving up\n")
    with pytest.raises(LabError, match=r"web.log says: bind failed \| address in use \| giving up$"), quoting(log):
        wait_until(lambda: False, "web runs", 0)
