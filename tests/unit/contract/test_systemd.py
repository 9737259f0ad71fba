"""What only units have: many places for a value, drop-ins, masked units. Against a systemd that runs them."""

from __future__ import annotations

import pytest

from ansible_collections.dualwrite.rollback.tests.unit.contract.benches import INSIDE, SystemdBench
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import ENV, FLAG

#: env files whose values systemd itself is asked for
ENV_FILES = [
    f"{FLAG}=true\n",
    f"  {FLAG} = 'true'  \nB=\"x y\"\n",
    f"{FLAG}=true # not a comment\n#{FLAG}=1\n;{FLAG}=2\n",
    f"export {FLAG}=true\n{FLAG}=0\nA\n=B\n",
    f'{FLAG}=tr\\\nue\nA=a\\\n\nB=\'one\ntwo\'\nC="q\\"q\\$x\\n"\n',
    f"{FLAG}=a\r\n{FLAG}=b\r\n",
    f"A='x'\"y\" z\nB=x'y'\nC= \nD=\\ d \n{FLAG}=true",
    f"# a comment that goes on \\\n{FLAG}=true\nA=1\n",
    f"{FLAG}=one\nA=\\\n",
    f"\ufeff{FLAG}=one\nB=é漢\n",
]


def held(told: dict, name: str = "web") -> set[str]:
    assert "result" in told, told
    return set(told["result"]["after"][name][FLAG]["effective"].values())


def declared(bench: SystemdBench, entry: dict, flag: str = FLAG) -> dict:
    told = bench.call("read_flags", {"flags": [flag], "workloads": [entry]})
    return told["result"]["workloads"]["web"][flag]


@pytest.fixture
def entry(systemd_bench: SystemdBench) -> dict:
    """A workload whose unit the test writes."""
    options = {"unit": systemd_bench.unit("web"), "stable_for": 0.3}
    return {"name": "web", "platform": "systemd", "options": options}


@pytest.mark.parametrize("text", ENV_FILES)
def test_systemd_reads_env_files_as_we_do(systemd_bench: SystemdBench, text: str) -> None:
    systemd_bench.env(text)
    file = f"EnvironmentFile={systemd_bench.env_file}"
    run = ["systemd-run", "--quiet", "--pipe", "--wait", "--property", file, "env", "-0"]
    theirs = dict(pair.split("=", 1) for pair in systemd_bench.run(run, "").stdout.split("\0") if "=" in pair)
    ours = systemd_bench.call("values", {"text": text, "dialect": "systemd<254"})["result"]
    names = [name for name in ours if name.isidentifier() and name.isascii()]
    assert {name: theirs.get(name) for name in names} == {name: ours[name] for name in names}
    assert (FLAG in theirs) is (FLAG in ours)


def test_the_later_of_two_env_files_wins_and_is_edited(systemd_bench: SystemdBench, entry: dict) -> None:
    bench = systemd_bench
    later = f"/etc/shop{bench.number}/later.env"
    bench.host.write(later, f"{FLAG}='true'\n", mode="0640")
    files = [f"EnvironmentFile={bench.env_file}", f"EnvironmentFile=-{later}", "EnvironmentFile=-/nowhere/app.env"]
    bench.write_unit("web", [*files, f"Environment={FLAG}=1"])
    bench.start("web")
    one = declared(bench, entry)
    assert one["source"] == f"{later}:1"
    assert one["shadowed"] == [f"/etc/systemd/system/{bench.unit('web')}:7", f"{bench.env_file}:3"]
    assert held(bench.set(entry)) == {"false"}
    assert (bench.env(), bench.host.read(later)) == (ENV, f"{FLAG}='false'\n")
    assert bench.run(["stat", "-c", "%a", later], "").stdout == "640\n"


def test_a_value_in_an_admins_drop_in_is_edited_there(systemd_bench: SystemdBench, entry: dict) -> None:
    bench = systemd_bench
    bench.write_unit("web", [f"Environment={FLAG}=false"])
    drop_in = f"/etc/systemd/system/{bench.unit('web')}.d/50-flags.conf"
    bench.host.write(drop_in, f'[Service]\nEnvironment="SECRET=s3cr3t" "{FLAG}=true"\n')
    bench.run(["systemctl", "daemon-reload"], "")
    bench.start("web")
    told = bench.set(entry)
    assert held(told) == {"false"}
    assert bench.host.read(drop_in) == f'[Service]\nEnvironment="SECRET=s3cr3t" "{FLAG}=false"\n'
    assert "s3cr3t" not in str(told["result"]["diff"])
    assert bench.set(entry)["result"]["changed"] is False


def test_a_value_in_an_admins_unit_is_edited_there_and_every_other_byte_stays(
    systemd_bench: SystemdBench, entry: dict
) -> None:
    bench = systemd_bench
    bench.write_unit("web", ["Environment=A=1 \\", "# a note in between", f"  '{FLAG}=true' B=%n"])
    bench.start("web")
    path = f"/etc/systemd/system/{bench.unit('web')}"
    before = bench.host.read(path)
    assert held(bench.set(entry)) == {"false"}
    assert bench.host.read(path) == before.replace(f"'{FLAG}=true'", f"'{FLAG}=false'")


def test_a_full_disk_keeps_the_old_bytes_and_restarts_nothing(systemd_bench: SystemdBench, entry: dict) -> None:
    bench = systemd_bench
    small = f"/srv/small{bench.number}"
    bench.host.run(["mkdir", small])
    bench.host.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", small])
    try:
        bench.host.write(f"{small}/app.env", ENV, mode="0640")
        bench.write_unit("web", [f"EnvironmentFile={small}/app.env"])
        bench.start("web")
        bench.host.run(["dd", "if=/dev/zero", f"of={small}/ballast", "bs=4k"], check=False)
        told = bench.set(entry)
        assert f"{small}/app.env: the file can't be written: No space left on device" in told["text"]
        assert "free the disk or fix the permissions and run the same command again" in told["text"]
        assert told["evidence"]["rolled"] == {}
        assert bench.host.read(f"{small}/app.env") == ENV
        assert bench.host.run(["ls", "-A", small]).stdout.split() == ["app.env", "ballast"]
        bench.host.run(["rm", f"{small}/ballast"])
        assert held(bench.set(entry)) == {"false"}
    finally:
        bench.host.run(["umount", "--lazy", small])


@pytest.mark.parametrize(("name", "drop_in"), [("", "90-dualwrite.conf"), ("95-vendor.conf", "zz-dualwrite.conf")])
def test_a_vendors_unit_gets_a_drop_in(systemd_bench: SystemdBench, entry: dict, name: str, drop_in: str) -> None:
    bench = systemd_bench
    lines = [f"Environment={FLAG}=true"]
    bench.write_unit("web", [] if name else lines, folder="/usr/lib/systemd/system")
    if name:
        folder = f"/usr/lib/systemd/system/{bench.unit('web')}.d"
        bench.host.write(f"{folder}/{name}", "\n".join(["[Service]", *lines, ""]))
        bench.run(["systemctl", "daemon-reload"], "")
    bench.start("web")
    assert held(bench.set(entry)) == {"false"}
    path = f"/etc/systemd/system/{bench.unit('web')}.d/{drop_in}"
    assert declared(bench, entry)["source"] == f"{path}:3"
    assert bench.run(["stat", "-c", "%a", path], "").stdout == "644\n"
    assert bench.set(entry)["result"]["changed"] is False
    assert held(bench.set(entry, flags={FLAG: True})) == {"true"}


def test_a_new_drop_in_is_taken_back_when_the_unit_does_not_start(systemd_bench: SystemdBench, entry: dict) -> None:
    bench = systemd_bench
    vendor = "/usr/lib/systemd/system"
    bench.write_unit("web", [f"Environment={FLAG}=true"], "--fail-when", f"{FLAG}=false", folder=vendor)
    bench.start("web")
    entry["options"]["stable_for"] = 3
    told = bench.set(entry)
    assert "the change was taken back, web runs with TEAM_X=true again" in told["text"]
    assert bench.run(["test", "-e", f"/etc/systemd/system/{bench.unit('web')}.d/90-dualwrite.conf"], "").returncode
    assert declared(bench, entry)["value"] is True


def test_a_flag_declared_nowhere_goes_to_the_env_file_that_is_named(systemd_bench: SystemdBench, entry: dict) -> None:
    bench = systemd_bench
    first = f"/etc/shop{bench.number}/first.env"
    bench.host.write(first, "A=1\n")
    bench.env("B=2\n")
    bench.write_unit("web", [f"EnvironmentFile={first}", f"EnvironmentFile={bench.env_file}"])
    bench.start("web")
    entry["options"]["env_file"] = "/etc/other.env"
    told = bench.set(entry)
    assert f"'env_file' is no EnvironmentFile= of the unit: '/etc/other.env'. Its files are: {first}" in told["text"]
    entry["options"]["env_file"] = first
    assert held(bench.set(entry)) == {"false"}
    assert (bench.host.read(first), bench.env()) == (f"A=1\n{FLAG}=false\n", "B=2\n")


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([f"Environment={FLAG}=true", f"UnsetEnvironment={FLAG}"], "the unit takes TEAM_X away (UnsetEnvironment=)"),
        (["EnvironmentFile=-/nowhere/*.env", "EnvironmentFile=/nowhere/app.env"], "EnvironmentFile= does not exist"),
    ],
)
def test_what_cant_be_declared_is_said_before_anything_changes(
    systemd_bench: SystemdBench, entry: dict, lines: list[str], sentence: str
) -> None:
    systemd_bench.write_unit("web", lines)
    assert sentence in systemd_bench.set(entry)["text"]


def test_a_passed_variable_is_told_and_beaten_by_a_drop_in(systemd_bench: SystemdBench, entry: dict) -> None:
    bench = systemd_bench
    bench.run(["systemctl", "set-environment", f"{FLAG}=true"], "")
    try:
        bench.write_unit("web", [f"PassEnvironment={FLAG}"])
        bench.start("web")
        assert declared(bench, entry)["source"] == f"PassEnvironment= of {bench.unit('web')}"
        assert held(bench.set(entry)) == {"false"}
    finally:
        bench.run(["systemctl", "unset-environment", FLAG], "")


def test_a_masked_or_missing_unit_is_one_clear_sentence(systemd_bench: SystemdBench, entry: dict) -> None:
    bench = systemd_bench
    good = bench.running("worker")
    told = bench.set(good, entry)
    assert (told["error"], "the unit does not exist" in told["text"]) == ("NotFound", True)
    bench.run(["systemctl", "mask", bench.unit("web")], "")
    told = bench.set(good, entry)
    assert told["error"] == "InvalidInput"
    assert f"workload 'web', {bench.unit('web')}: the unit is masked, so it can't be started" in told["text"]
    assert bench.env() == ENV


def test_a_start_limit_is_said_and_the_old_value_runs_again(systemd_bench: SystemdBench) -> None:
    bench = systemd_bench
    entry = bench.entry("web", "--fail-when", f"{FLAG}=false", stable_for=3)
    path = f"/etc/systemd/system/{bench.unit('web')}"
    unit = (
        bench.host.read(path) + "Restart=always\nRestartSec=10ms\n[Unit]\nStartLimitBurst=3\nStartLimitIntervalSec=60\n"
    )
    bench.host.write(path, unit)
    bench.run(["systemctl", "daemon-reload"], "")
    bench.start("web")
    told = bench.set(entry)
    assert told["error"] == "CommandFailed"
    assert told["evidence"]["undone"], told["text"]
    assert bench.run(["systemctl", "is-active", bench.unit("web")], "").stdout == "active\n"


def test_a_unit_that_was_just_started_as_often_as_it_may_is_rolled_all_the_same(systemd_bench: SystemdBench) -> None:
    bench = systemd_bench
    entry = bench.entry("web")
    path = f"/etc/systemd/system/{bench.unit('web')}"
    bench.host.write(path, bench.host.read(path) + "[Unit]\nStartLimitBurst=2\nStartLimitIntervalSec=60\n")
    bench.run(["systemctl", "daemon-reload"], "")
    bench.start("web")
    bench.host.run(["systemctl", "restart", bench.unit("web")])
    assert bench.run(["systemctl", "restart", bench.unit("web")], "").returncode != 0
    bench.host.run(["systemctl", "reset-failed", bench.unit("web")])
    for dummy in range(2):
        bench.host.run(["systemctl", "restart", bench.unit("web")])
    assert held(bench.set(entry)) == {"false"}


def test_an_old_process_that_the_unit_leaves_behind_is_waited_for(systemd_bench: SystemdBench) -> None:
    bench = systemd_bench
    entry = bench.entry("web")
    path = f"/etc/systemd/system/{bench.unit('web')}"
    # only the main process is told to stop; a child of it stays in the control group with the old value
    unit = bench.host.read(path) + "KillMode=process\nExecStartPost=/bin/sh -c 'sleep 300 &'\n"
    bench.host.write(path, unit)
    bench.run(["systemctl", "daemon-reload"], "")
    bench.start("web")
    told = bench.set(entry, timeout=6)
    assert told["error"] == "DeadlinePassed"
    assert "still ran" in told["text"]
    assert f"{FLAG}=false" in bench.env()


def test_instances_of_a_template_are_changed_together_and_one_alone_by_a_drop_in(systemd_bench: SystemdBench) -> None:
    bench = systemd_bench
    template = f"shop{bench.number}-web@"
    tiny = f"/usr/bin/python3 {INSIDE}/tests/unit/platforms/tiny.py --pidfile {bench.folder}/%i.pid"
    vendor = f"[Service]\nEnvironment={FLAG}=true\nExecStart={tiny} --env-file {bench.env_file}\nTimeoutStopSec=5\n"
    bench.host.write(f"/usr/lib/systemd/system/{template}.service", vendor)
    bench.units += [f"{template}{number}.service" for number in (1, 2)]
    bench.run(["systemctl", "daemon-reload"], "")
    bench.run(["systemctl", "start", *bench.units], "")
    one, two = (
        {"name": f"web {number}", "platform": "systemd", "options": {"unit": f"{template}{number}", "stable_for": 0.3}}
        for number in (1, 2)
    )
    told = bench.set(one)
    assert held(told, "web 1") == {"false"}
    assert bench.host.read(f"/etc/systemd/system/{template}1.service.d/90-dualwrite.conf").endswith(f'"{FLAG}=false"\n')
    assert [f"holds {FLAG}=true" in sentence for sentence in told["result"]["notes"]] == [True]  # the other instance
    told = bench.set(one, two)
    assert held(told, "web 1") == held(told, "web 2") == {"false"}
    assert told["result"]["rolled"] == {"web 2": "restart"}
    assert bench.host.read(f"/usr/lib/systemd/system/{template}.service") == vendor
