"""Several units on one host: instances of a template as one workload and beside others. Against a real systemd."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.tests.unit.contract.benches import INSIDE, SystemdBench
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import ENV, FLAG

OFF = ENV.replace(f"{FLAG}=true", f"{FLAG}=false")


class Template:
    """A template with an env file per instance, started for the instances that a test asks for."""

    def __init__(self, bench: SystemdBench) -> None:
        self.bench = bench
        self.name = f"shop{bench.number}-web@"
        tiny = f"/usr/bin/python3 {INSIDE}/tests/unit/platforms/tiny.py --pidfile {bench.folder}/%i.pid"
        lines = ["[Service]", f"EnvironmentFile=/etc/shop{bench.number}/%i.env", "TimeoutStopSec=5"]
        lines += [f"ExecStart={tiny} --env-file {bench.env_file}", "[Install]", "WantedBy=multi-user.target", ""]
        bench.host.write(f"/usr/lib/systemd/system/{self.name}.service", "\n".join(lines))

    def unit(self, number: int) -> str:
        return f"{self.name}{number}.service"

    def env(self, number: int, text: str | None = None) -> str:
        """Return the env file of an instance, after writing it if a text is given."""
        path = f"/etc/shop{self.bench.number}/{number}.env"
        if text is not None:
            self.bench.host.write(path, text)
        return str(self.bench.host.read(path))

    def start(self, *numbers: int) -> dict[str, Any]:
        """Start these instances and return the workload of them all."""
        for number in numbers:
            self.env(number, ENV)
            self.bench.units.append(self.unit(number))
        self.bench.run(["systemctl", "daemon-reload"], "")
        self.bench.host.run(["systemctl", "start", *map(self.unit, numbers)])
        return {"name": "web", "platform": "systemd", "options": {"unit": f"{self.name}*", "stable_for": 0.3}}

    def shown(self, name: str, *units: str) -> list[str]:
        """Return a property of each unit."""
        return self.bench.host.run(["systemctl", "show", "--value", "-p", name, *units]).stdout.split()


@pytest.fixture
def template(systemd_bench: SystemdBench) -> Template:
    return Template(systemd_bench)


def held(told: dict[str, Any], name: str = "web") -> dict[str, str]:
    assert "result" in told, told
    return dict(told["result"]["after"][name][FLAG]["effective"])


def test_instances_of_a_template_and_other_units_are_rolled_at_the_same_time(
    systemd_bench: SystemdBench, template: Template
) -> None:
    bench = systemd_bench
    entry = template.start(1, 2)
    worker = bench.running("worker")
    units = [template.unit(1), template.unit(2), bench.unit("worker")]
    for unit in units:
        bench.host.write(f"/etc/systemd/system/{unit}.d/slow.conf", "[Service]\nExecStartPre=/bin/sleep 1.5\n")
    bench.run(["systemctl", "daemon-reload"], "")
    told = bench.set(entry, worker)
    assert set(held(told).values()) == set(held(told, "worker").values()) == {"false"}
    named = {name.partition(" ")[0] for name in held(told)}
    assert named == {f"{template.name}1", f"{template.name}2"}
    assert told["result"]["rolled"] == {"web": "restart", "worker": "restart"}
    assert (template.env(1), template.env(2), bench.env()) == (OFF, OFF, OFF)
    begun = template.shown("InactiveExitTimestampMonotonic", *units)
    ended = template.shown("ActiveEnterTimestampMonotonic", *units)
    assert max(map(int, begun)) < min(map(int, ended))
    assert bench.set(entry, worker)["result"]["changed"] is False


def test_only_the_instances_that_lack_the_value_are_restarted_and_what_is_stopped_stays_so(
    systemd_bench: SystemdBench, template: Template
) -> None:
    bench = systemd_bench
    entry = template.start(1, 2, 3)
    template.env(2, OFF)
    bench.host.run(["systemctl", "restart", template.unit(2)])
    bench.host.run(["systemctl", "enable", "--quiet", template.unit(3)])
    bench.host.run(["systemctl", "stop", template.unit(3)])
    before = template.shown("MainPID", template.unit(1), template.unit(2))
    read = bench.call("read_flags", {"flags": [FLAG], "workloads": [entry]})["result"]["workloads"]["web"][FLAG]
    assert f"true in {template.unit(1)}, false in {template.unit(2)}" in read["declared"]
    assert read["value"] is None
    told = bench.set(entry)
    assert set(held(told).values()) == {"false"}
    after = template.shown("MainPID", template.unit(1), template.unit(2))
    assert (after[0] != before[0], after[1] == before[1]) == (True, True)
    assert template.shown("ActiveState", template.unit(3)) == ["inactive"]
    assert template.env(3) == OFF


def test_one_instance_that_does_not_start_takes_all_back_and_is_named(
    systemd_bench: SystemdBench, template: Template
) -> None:
    bench = systemd_bench
    entry = template.start(1, 2)
    entry["options"]["stable_for"] = 1
    picky = f'ExecStartPre=/bin/sh -c "[ $${FLAG} = true ] || {{ echo no such thing; exit 7; }}"'
    bench.host.write(f"/etc/systemd/system/{template.unit(2)}.d/picky.conf", f"[Service]\n{picky}\n")
    bench.run(["systemctl", "daemon-reload"], "")
    told = bench.set(entry)
    assert told["error"] == "CommandFailed"
    assert f"{template.unit(2)}: the unit did not start" in told["text"]
    assert "no such thing" in told["text"]
    assert f"the change was taken back, web runs with {FLAG}=true again" in told["text"]
    assert (template.env(1), template.env(2)) == (ENV, ENV)
    assert template.shown("ActiveState", template.unit(1), template.unit(2)) == ["active", "active"]


def test_instances_that_were_stopped_together_start_together_and_speak_as_one(
    systemd_bench: SystemdBench, template: Template
) -> None:
    bench = systemd_bench
    drop_in = f"/etc/systemd/system/{template.name}.service.d/speak.conf"
    bench.host.write(drop_in, "[Service]\nExecStartPre=/bin/echo here is %i\n")
    entry = template.start(1, 2)
    begun = bench.host.run(["date", "-u", "+%FT%TZ"]).stdout.strip()
    given = {"workloads": [entry], "timeout": 20}
    assert bench.call("set_workloads", {**given, "state": "stopped"})["result"]["after"] == {"web": {"instances": 0}}
    assert bench.call("set_workloads", {**given, "state": "started"})["result"]["after"] == {"web": {"instances": 6}}
    said = bench.call("logs", {"workload": entry, "since": begun})["result"]
    assert {"here is 1", "here is 2"} <= set(said)


def test_a_pattern_that_finds_nothing_is_one_clear_sentence(systemd_bench: SystemdBench, template: Template) -> None:
    entry = {"name": "web", "platform": "systemd", "options": {"unit": f"{template.name}*"}}
    told = systemd_bench.set(entry)
    assert told["error"] == "NotFound"
    assert f"no unit is found by the pattern '{template.name}*.service'" in told["text"]
    entry["options"]["unit"] = "web *"
    assert "the option 'unit' is no pattern of units: 'web *'" in systemd_bench.set(entry)["text"]
