"""Hosts booted by systemd: they boot, Ansible reaches them, the application lives in them, and nothing stays."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psycopg2
import pytest

from tests.lab import LabError, wait_until
from tests.lab.host import SystemdHost, unavailable, up_with_app
from tests.lab.host.app import ENV_FILE, WEB, WORKER, dependencies
from tests.lab.host.host import STAGING
from tests.lab.traffic import Traffic

ROOT = Path(__file__).resolve().parents[2]
NAME = f"test-{os.getpid()}"


@pytest.fixture(scope="session", autouse=True)
def _machine():
    """Skip where there can be no host, and say why; in CI that is a failure."""
    reason = unavailable()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def host():
    """A host with the application in it."""
    one = SystemdHost(NAME)
    dependencies()  # fetched and built before the clock starts
    try:
        began = time.monotonic()
        up_with_app(one)
        print(f"\nhost with application up in {time.monotonic() - began:.1f} s")
        yield one
    finally:
        one.down()


@pytest.fixture(scope="session")
def app(host):
    """How to reach the application."""
    return up_with_app(host)


def health(app):
    with urllib.request.urlopen(app.health, timeout=10) as answer:
        return json.load(answer)


def traces(name, index_device):
    """Return what is left of a host on this machine: processes, network device, mounts, groups, files."""
    left = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            groups = (entry / "cgroup").read_text()
        except OSError:
            continue
        if not command:
            continue  # ended, and only not yet collected by its parent
        if f"dwr-{name}" in groups or f"hosts/{name}/" in command:
            left.append(f"process {entry.name}: {command}")
    left += [line for line in Path("/proc/self/mounts").read_text().splitlines() if f"dwr-{name} " in line]
    left += [str(group) for group in Path("/sys/fs/cgroup").rglob(f"dwr-{name}")]
    left += [str(path) for path in (Path("/sys/class/net", index_device), SystemdHost(name).folder) if path.exists()]
    left += [str(path) for path in Path("/run/systemd/nspawn").rglob(f"*{name}*")]
    return left


def test_a_bare_host_boots_in_seconds_and_leaves_nothing(host):
    """Beside another one, too: `host` is up all the while."""
    other = SystemdHost(f"{NAME}-b")
    began = time.monotonic()
    other.up()
    booted = time.monotonic() - began
    device = next(path.name for path in Path("/sys/class/net").glob("dwrh*") if _address(path.name) == other.gateway)
    try:
        assert other.run(["systemctl", "is-system-running"]).stdout.strip() == "running"
        assert other.run(["cat", "/proc/1/comm"]).stdout.strip() == "systemd"
        assert other.address != host.address
        assert SystemdHost(other.name).up().address == other.address  # up again is the same host
        with pytest.raises(LabError, match="take it down first"):
            other.up({"/usr/share": "/mnt"})
        other.write("/etc/deltacrown/worker.env", "A=1\n", mode="0600")
        assert other.read("/etc/deltacrown/worker.env") == "A=1\n"
    finally:
        began = time.monotonic()
        other.down()
    print(f"\nbare host up in {booted:.1f} s, down in {time.monotonic() - began:.1f} s")
    assert traces(other.name, device) == []
    assert host.running
    other.down()  # a host that isn't there is fine


def _address(device):
    links = json.loads(subprocess.check_output(["ip", "-j", "address", "show", device], text=True))
    return links[0]["addr_info"][0]["local"]


def test_what_a_dead_process_left_half_up_is_cleared_by_the_next_up():
    one = SystemdHost(f"{NAME}-c")
    one.up()
    try:
        one.ssh_config.unlink()
        one.up()
        assert one.running
        assert one.ssh_config.exists()
    finally:
        one.down()


def test_ansible_pings_and_becomes_root_over_ssh(host):
    """By the name that inventories/staging uses, with the host's own key checked."""
    ansible = shutil.which("ansible", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert ansible, "ansible is not beside this Python: make setup"
    environment = {**os.environ, "ANSIBLE_SSH_ARGS": f"-F {host.ssh_config}", "ANSIBLE_HOST_KEY_CHECKING": "true"}
    base = [ansible, "-i", f"{STAGING},", STAGING, "--become", "-u", "deploy"]
    for module, expected in ((["-m", "ansible.builtin.ping"], "pong"), (["-a", "id -un"], "root")):
        done = subprocess.run([*base, *module], env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
        assert expected in done.stdout


def test_the_key_is_for_its_owner_only(host):
    assert (host.folder / "id_ed25519").stat().st_mode & 0o777 == 0o600
    assert host.folder.stat().st_mode & 0o777 == 0o700


def test_the_env_file_holds_secrets_and_flags_for_the_application_only(host):
    assert host.run(["stat", "-c", "%a %U:%G", ENV_FILE]).stdout.strip() == "640 root:deltacrown"
    assert "TEAM_VNEXT_DUAL_WRITE_ENABLED=true" in host.read(ENV_FILE)
    for unit in (WEB, WORKER):
        process = host.run(["systemctl", "show", "-P", "MainPID", unit]).stdout.strip()
        assert "TEAM_VNEXT_DUAL_WRITE_ENABLED=true" in host.read(f"/proc/{process}/environ").split("\0")
        assert host.run(["ps", "-o", "user=", "-p", process]).stdout.strip() == "deltacrown"


def test_the_application_answers_healthy_and_dual_writes(host, app, monkeypatch):
    assert health(app)["status"] == "healthy"
    body = json.dumps({"name": "Two Models"}).encode()
    headers = {"Authorization": f"Token {app.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{app.url}/api/vnext/teams/create/", body, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 201
    monkeypatch.setenv("PGSERVICEFILE", str(app.service_file))
    monkeypatch.setenv("PGPASSFILE", str(app.password_file))
    connection = psycopg2.connect("service=deltacrown-staging")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM teams_team WHERE name = 'Two Models'")
            assert cursor.fetchone() == (1,)
    finally:
        connection.close()
    assert '"dual_write_succeeded"' in host.read("/var/log/deltacrown/web.log")
    inside = ["psql", "-At", "service=deltacrown-staging", "-c", "SELECT count(*) FROM organizations_teammigrationmap"]
    assert int(host.run(inside).stdout) >= 1


def test_restarts_and_reloads_lose_no_request(host, app, tmp_path):
    """The socket unit holds the connections that come while the service is away."""
    traffic = Traffic(host.address, 8000, app.token, tmp_path / "traffic.jsonl", rate=20).start()
    try:
        for verb in ("restart", "reload", "restart"):
            main = host.run(["systemctl", "show", "-P", "MainPID", WEB]).stdout.strip()
            old = set(host.run(["pgrep", "-P", main]).stdout.split())
            began = time.monotonic()
            host.run(["systemctl", verb, WEB, WORKER])
            wait_until(lambda old=old: str(health(app)["pid"]) not in old, f"a new process to answer after {verb}", 30)
            print(f"\n{verb}: first answer of a new process after {time.monotonic() - began:.1f} s")
            sent = len(traffic.made)
            wait_until(lambda sent=sent: len(traffic.made) > sent + 5, "requests to go on", 30)
    finally:
        told = traffic.stop()
    assert told["failed"] == 0, told["errors"]
    assert told["sent"] > 40


def test_without_root_one_sentence_says_what_is_missing(tmp_path):
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    environment.pop("CI", None)
    command = [*nobody, "/usr/bin/env", "python3", "-m", "tests.lab.host", "up"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip().startswith("host: hosts booted by systemd need root")
    assert len(done.stderr.strip().splitlines()) == 1
