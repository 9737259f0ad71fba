"""Units of a user's own service manager, which runs without a login. Against a systemd that runs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.tests.unit.contract.benches import SystemdBench
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import ENV, FLAG

USER, HOME, RUNTIME = "deploy", "/home/deploy", "/run/user/1000"
OFF = ENV.replace(f"{FLAG}=true", f"{FLAG}=false")


@pytest.fixture(scope="module")
def lingering(host: Any) -> Iterator[None]:
    """The user's service manager, which logind keeps running without a login."""
    # on a host with libpam-systemd the session module says where it is
    where = "[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n"
    host.write("/etc/systemd/system/user@.service.d/runtime.conf", where)
    host.run(["systemctl", "daemon-reload"])
    host.run(["loginctl", "enable-linger", USER])
    host.run(["systemctl", "start", "user@1000.service"])
    yield
    host.run(["loginctl", "disable-linger", USER])
    host.run(["systemctl", "stop", "user@1000.service"])


class Mine:
    """Units of the user, made of the bench's."""

    def __init__(self, bench: SystemdBench) -> None:
        self.bench = bench
        self.host = bench.host
        self.folder = f"{HOME}/.config/systemd/user"
        self.env_file = f"{HOME}/.config/shop{bench.number}.env"
        self.host.run(["install", "-d", "-o", USER, "-g", USER, f"{HOME}/.config", f"{HOME}/.config/systemd"])
        self.host.run(["install", "-d", "-o", USER, "-g", USER, self.folder])
        self.host.run(["chown", USER, bench.folder])
        self.started: list[str] = []

    def entry(self, name: str, lines: list[str], *habits: str, folder: str = "", **options: Any) -> dict[str, Any]:
        """Write a unit of the user with these lines, start it, and return its entry for who is root."""
        self.bench.write_unit(name, lines, *habits, folder=folder or self.folder)
        unit = self.bench.unit(name)
        self.bench.units.remove(unit)
        self.systemctl("daemon-reload")
        self.systemctl("start", unit)
        self.started.append(unit)
        given = {"unit": unit, "user": USER, "stable_for": 0.3, **options}
        return {"name": name, "platform": "systemd", "options": given}

    def env(self, text: str, mode: str = "0640") -> list[str]:
        """Write an env file of the user and return the unit's lines that name it."""
        self.host.write(self.env_file, text, mode, f"{USER}:{USER}")
        return [f"EnvironmentFile={self.env_file}", "Type=exec"]

    def systemctl(self, *words: str) -> str:
        """Run systemctl as the user does."""
        argv = ["env", f"XDG_RUNTIME_DIR={RUNTIME}", f"HOME={HOME}", "systemctl", "--user", *words]
        return str(self.host.run(argv, user=USER).stdout)

    def told_of(self, path: str) -> str:
        """Return mode and owner of a file."""
        return str(self.host.run(["stat", "-c", "%a %U:%G", path]).stdout.strip())


@pytest.fixture
def mine(systemd_bench: SystemdBench, lingering: None) -> Iterator[Mine]:
    """Units of the user, stopped afterwards."""
    made = Mine(systemd_bench)
    yield made
    if made.started:
        made.systemctl("kill", "--signal", "KILL", *made.started)
        made.systemctl("stop", *made.started)


def held(told: dict[str, Any], name: str = "web") -> set[str]:
    assert "result" in told, told
    return set(told["result"]["after"][name][FLAG]["effective"].values())


def test_units_of_a_user_and_of_the_system_are_changed_in_one_call(systemd_bench: SystemdBench, mine: Mine) -> None:
    own = mine.entry("web", mine.env(ENV))
    told = systemd_bench.set(own, systemd_bench.running("worker"))
    assert held(told) == held(told, "worker") == {"false"}
    assert told["result"]["rolled"] == {"web": "restart", "worker": "restart"}
    assert told["result"]["notes"] == []
    assert mine.host.read(mine.env_file) == OFF
    assert mine.told_of(mine.env_file) == f"640 {USER}:{USER}"
    assert systemd_bench.set(own)["result"]["changed"] is False
    read = systemd_bench.call("read_flags", {"flags": [FLAG], "workloads": [own]})["result"]
    assert read["workloads"]["web"][FLAG]["source"] == f"{mine.env_file}:3"
    assert read["identity"]["web"]["user"] == USER


@pytest.mark.parametrize("who", ["root", USER])
def test_a_unit_that_is_not_the_users_own_gets_a_drop_in_of_that_user(
    systemd_bench: SystemdBench, mine: Mine, who: str
) -> None:
    folder = "/usr/lib/systemd/user" if who == USER else "/etc/systemd/user"
    entry = mine.entry("web", [f"Environment={FLAG}=true", "Type=exec"], folder=folder)
    if who == "root":
        told = systemd_bench.set(entry)
    else:
        entry["options"] = {"unit": entry["options"]["unit"], "scope": "user", "stable_for": 0.3}
        given = {"flags": {FLAG: False}, "known_flags": [FLAG], "workloads": [entry], "timeout": 30}
        asked = json.dumps({"do": "set_flags", "params": given})
        done = mine.host.run(["env", f"HOME={HOME}", *systemd_bench.python()], stdin=asked, user=USER)
        told = json.loads(done.stdout)
    assert held(told) == {"false"}
    drop_in = f"{mine.folder}/{systemd_bench.unit('web')}.d/90-dualwrite.conf"
    assert FLAG in mine.host.read(drop_in)
    assert mine.told_of(drop_in) == f"644 {USER}:{USER}"
    assert mine.told_of(drop_in.rpartition("/")[0]) == f"755 {USER}:{USER}"


def test_a_failing_start_says_what_the_users_journal_says_and_is_taken_back(
    systemd_bench: SystemdBench, mine: Mine
) -> None:
    entry = mine.entry("web", mine.env(ENV), "--fail-when", f"{FLAG}=false", stable_for=1)
    told = systemd_bench.set(entry)
    assert told["error"] == "CommandFailed"
    assert "refusing to start" in told["text"]
    assert f"the change was taken back, web runs with {FLAG}=true again" in told["text"]
    assert mine.host.read(mine.env_file) == ENV
    assert mine.told_of(mine.env_file) == f"640 {USER}:{USER}"


def test_a_users_files_lead_nowhere_where_that_user_may_not_write(systemd_bench: SystemdBench, mine: Mine) -> None:
    """Root follows no symlink of a user into files that are not that user's."""
    entry = mine.entry("web", mine.env(ENV))
    systemd_bench.env(ENV)
    mine.host.run(["ln", "-sf", systemd_bench.env_file, mine.env_file])
    mine.host.run(["chmod", "0644", systemd_bench.env_file])
    told = systemd_bench.set(entry)
    assert f"{mine.env_file}: the file can't be written: Permission denied" in told["text"]
    assert systemd_bench.env() == ENV
    mine.host.run(["chmod", "0600", systemd_bench.env_file])
    assert f"{mine.env_file}: the file can't be read: Permission denied" in systemd_bench.set(entry)["text"]


def test_a_user_unit_is_stopped_and_started_and_its_words_are_read(systemd_bench: SystemdBench, mine: Mine) -> None:
    lines = [*mine.env(ENV), "ExecStartPre=/bin/echo the user says so"]
    entry = mine.entry("web", lines)
    begun = mine.host.run(["date", "-u", "+%FT%TZ"]).stdout.strip()
    stopped = systemd_bench.call("set_workloads", {"workloads": [entry], "state": "stopped", "timeout": 20})
    assert stopped["result"]["after"] == {"web": {"instances": 0}}
    started = systemd_bench.call("set_workloads", {"workloads": [entry], "state": "started", "timeout": 20})
    assert started["result"]["after"]["web"]["instances"] >= 1
    said = systemd_bench.call("logs", {"workload": entry, "since": begun})["result"]
    assert "the user says so" in said


def test_a_user_without_a_service_manager_is_one_clear_sentence(systemd_bench: SystemdBench, mine: Mine) -> None:
    entry = mine.entry("web", mine.env(ENV))
    entry["options"]["user"] = "nobody-here"
    assert "this host has no user 'nobody-here'" in systemd_bench.set(entry)["text"]
    entry["options"]["user"] = idle = f"idle{systemd_bench.number}"
    mine.host.run(["useradd", "--create-home", idle])
    told = systemd_bench.set(entry)
    assert f"the service manager of user '{idle}' does not run" in told["text"]
    assert f"loginctl enable-linger {idle}" in told["text"]
    entry["options"]["scope"] = "system"
    assert "the option 'user' has no meaning for a unit of the system" in systemd_bench.set(entry)["text"]


def test_a_service_manager_that_ends_with_a_session_is_told(systemd_bench: SystemdBench, mine: Mine) -> None:
    entry = mine.entry("web", mine.env(ENV))
    linger = f"/var/lib/systemd/linger/{USER}"
    mine.host.run(["mv", linger, f"{linger}.aside"])
    try:
        (note,) = systemd_bench.set(entry)["result"]["notes"]
    finally:
        mine.host.run(["mv", f"{linger}.aside", linger])
    assert f"it ends when '{USER}' has logged out, until: loginctl enable-linger {USER}" in note
