"""What only Compose projects have: files, images, several containers, an engine. On a real one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline, wait_until
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms import compose_containers, inside, proc
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.docker import Docker
from ansible_collections.dualwrite.rollback.tests.unit.contract.compose_bench import ComposeBench, held, read
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import ENV, FLAG


def test_containers_that_come_of_other_files_are_not_replaced(compose_bench: ComposeBench) -> None:
    """Else a file that the inventory forgot (an override of production) would be undone by the roll."""
    bench = compose_bench
    entry = bench.entry("web")
    (bench.folder / "more.yaml").write_text("services: {web: {cpus: 1}}\n")
    bench.compose("-f", str(bench.file), "-f", f"{bench.folder}/more.yaml", "up", "--detach", "--pull", "never", "web")
    before = bench.containers("web")
    told = bench.set(entry)
    assert told["error"] == "Refused"
    assert f"was made from {bench.file}, {bench.folder}/more.yaml, not from {bench.file}" in told["text"]
    assert (bench.env(), bench.containers("web")) == (ENV, before)
    assert held(bench.set(bench.options("web", files=["compose.yaml", "more.yaml"]))) == {"false"}


def test_an_image_whose_name_has_moved_is_not_deployed_by_the_way(compose_bench: ComposeBench) -> None:
    """Somebody has built or pulled for the next deployment: a new container would be of that image."""
    bench = compose_bench
    name = f"{bench.name}:latest"
    bench.engine.docker("tag", bench.image, name)
    try:
        entry = bench.entry("web")
        bench.services["web"]["image"] = name
        bench.write({"name": bench.name, "services": bench.services})
        bench.start("web")
        before, runs = bench.containers("web"), bench.engine.docker("image", "inspect", "-f", "{{.Id}}", name).strip()
        exported = bench.engine.docker("commit", "--change", "LABEL next=yes", before[0], name).strip()
        told = bench.set(entry)
        assert told["error"] == "Refused"
        assert f"but {name} names {exported[7:19]} now" in told["text"]
        assert f"docker tag {runs} {name}" in told["text"]
        assert (bench.env(), bench.containers("web")) == (ENV, before)
        bench.env(ENV.replace(f"{FLAG}=true", f"{FLAG}=false"))  # declared by hand and not rolled: the same answer
        assert f"docker tag {runs} {name}" in bench.set(entry)["text"]
        assert bench.containers("web") == before
        bench.engine.docker("rmi", name)
        assert f"but {name} is not on the engine any more" in bench.set(entry)["text"]
        bench.engine.docker("tag", runs, name)
        assert held(bench.set(entry)) == {"false"}
    finally:
        bench.engine.docker("rmi", "--force", name, check=False)


def test_a_project_that_is_not_there_is_one_sentence(compose_bench: ComposeBench) -> None:
    bench = compose_bench
    told = bench.set(bench.options("web"))
    assert "there is no Compose file in the folder" in told["text"]
    bench.service("web")
    told = bench.set(bench.options("wbe"))
    assert "service 'wbe'" in told["text"]
    bench.write("services: [\n")
    assert "yaml: line 1: did not find expected node content" in bench.set(bench.options("web"))["text"]
    told = bench.set(bench.options("web", docker_host="unix:///nowhere/docker.sock"))
    assert told["error"] in ("Unreachable", "CommandFailed")


# --- containers -------------------------------------------------------------------------------------------------------


def test_all_containers_of_a_service_are_replaced_and_no_other(compose_bench: ComposeBench) -> None:
    bench = compose_bench
    entry = bench.entry("web")
    bench.service("db", environment={"A": "1"})
    bench.service("web", env_file=["app.env"], depends_on=["db"])
    bench.compose("up", "--detach", "--pull", "never", "--scale", "web=2")
    db, web = bench.containers("db"), bench.containers("web")
    told = bench.set(entry)
    assert (held(told), len(told["result"]["instances"])) == ({"false"}, 6)
    new = bench.containers("web")
    assert (len(new), bench.containers("db")) == (2, db)
    assert not set(new) & set(web)
    assert bench.set(entry)["result"]["changed"] is False
    assert bench.containers() == sorted([*new, *db])


def test_an_instance_with_another_value_is_replaced_though_the_files_are_right(compose_bench: ComposeBench) -> None:
    bench = compose_bench
    entry = bench.running("web")
    bench.env(ENV.replace(f"{FLAG}=true", f"{FLAG}=false"))
    assert read(bench, entry)["drift"]
    assert held(bench.set(entry)) == {"false"}


def test_an_unhealthy_container_is_taken_back(compose_bench: ComposeBench) -> None:
    bench = compose_bench
    probe = {"test": f'test "${FLAG}" = true || {{ echo no such thing; exit 1; }}'.replace("$", "$$")}
    more = {"interval": "300ms", "timeout": "10s", "retries": 2, "start_period": "0s"}
    bench.service("web", env_file=["app.env"], healthcheck={**probe, **more})
    bench.start("web")
    told = bench.set(bench.options("web"))
    assert told["error"] == "CommandFailed", told
    assert "is unhealthy" in told["text"]
    assert "taken back, web run" in told["text"]
    assert told["evidence"]["undone"]
    assert bench.env() == ENV
    state = told["evidence"]["after"]["web"][FLAG]["effective"]
    assert set(state.values()) == {"true"}


def test_a_container_that_never_gets_healthy_ends_in_time(compose_bench: ComposeBench) -> None:
    bench = compose_bench
    probe = {"test": f"test $${FLAG} = true", "interval": "300ms", "start_period": "60s"}
    bench.service("web", env_file=["app.env"], healthcheck=probe)
    bench.start("web")
    told = bench.set(bench.options("web", wait_timeout=6))
    assert "is running, starting after 6 s" in told["text"]
    assert told["evidence"]["undone"]


def test_a_container_made_and_never_started_is_started_by_the_next_call(compose_bench: ComposeBench) -> None:
    """What a kill in the middle of a roll leaves: the old container gone, the new one made."""
    bench = compose_bench
    entry = bench.entry("web")
    bench.env(ENV.replace(f"{FLAG}=true", f"{FLAG}=false"))
    bench.compose("create", "--pull", "never", "web")
    told = bench.set(entry)
    assert held(told) == {"false"}
    assert told["result"]["rolled"] == {"web": "recreate"}


def test_a_process_put_into_a_container_and_a_one_off_one_are_told(compose_bench: ComposeBench) -> None:
    bench = compose_bench
    entry = bench.running("web")
    bench.engine.docker("exec", "--detach", *bench.containers("web"), "sleep", "300")
    bench.compose("run", "--detach", "--no-deps", "--entrypoint", "sleep", "web", "300")
    time.sleep(inside.VISITOR + 0.2)  # younger ones may be a probe's command
    assert len(read(bench, entry)["instances"]) == 5
    told = bench.set(entry)
    assert told["error"] == "VerificationFailed"
    assert "web-run-" in told["text"]
    assert f"still holds {FLAG}=true" in told["text"]


def test_inside_and_outside_tell_the_same(compose_bench: ComposeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = compose_bench
    bench.running("web")
    for name, value in bench.engine.environ.items():
        monkeypatch.setenv(name, value)
    docker = Docker("docker", None, "web")
    (told,) = docker.inspect(bench.containers("web"))
    container = compose_containers.container_of(told)
    for start in ("exit", "for one in 1 2 3 4 5 6 7 8 9 10 11 12; do /bin/true; done"):
        # processes are listed in the order of their digits: the shell that looks comes before its elders at last
        bench.engine.docker("exec", container.id, "sh", "-c", start)
        inside = compose_containers.asked_inside(container, docker)
        assert len(inside) == 3
    outside = compose_containers.of_this_host([container])[container.id]
    assert sorted(one.started for one in inside) == sorted(one.started for one in outside)
    assert {one.command for one in inside} == {one.command for one in outside}
    assert all(one.environ and one.environ[FLAG] == "true" for one in inside)
    assert [one.environ for one in inside] == [one.environ for one in outside]
    assert abs(time.time() - os.stat(bench.file).st_mtime) < 60
    assert all(one.started_at[:13] == outside[0].started_at[:13] for one in inside)


@pytest.mark.parametrize("policy", ["unless-stopped", "no"])
def test_an_engine_restarted_in_mid_roll_is_waited_for(compose_bench: ComposeBench, policy: str) -> None:
    bench = compose_bench
    if bench.engine.borrowed:
        pytest.skip("the engine is this machine's own: it is not restarted for a test")
    # it does not end by SIGTERM, so that the roll takes as long as its grace period
    bench.service("web", "--ignore-term", env_file=["app.env"], restart=policy, stop_grace_period="2s")
    bench.start("web")
    told: list[dict[str, Any]] = []
    call = threading.Thread(target=lambda: told.append(bench.set(bench.options("web"), timeout=60)))
    call.start()
    deadline = time.monotonic() + 20
    while f"{FLAG}=false" not in bench.env() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.7)
    bench.engine.stop_daemon()
    time.sleep(0.5)
    bench.engine.start_daemon()
    call.join(60)
    assert "result" in told[0], told[0]["text"]
    assert held(told[0]) == {"false"}
    assert len(bench.containers("web")) == 1


def test_a_roll_that_is_killed_is_ended_by_the_same_call(compose_bench: ComposeBench) -> None:
    """Killed with its docker client while the old container is told to stop and the new one is made."""
    bench = compose_bench
    bench.service("web", "--ignore-term", env_file=["app.env"], stop_grace_period="3s")
    bench.start("web")
    given = {"flags": {FLAG: False}, "known_flags": [FLAG], "workloads": [bench.options("web")], "timeout": 30}
    call = subprocess.Popen(bench.python(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=bench.engine.environ)
    assert call.stdin
    call.stdin.write(json.dumps({"do": "set_flags", "params": given}).encode())
    call.stdin.close()
    wait_until(
        lambda: len(bench.compose("ps", "--all", "--quiet").split()) == 2, Deadline(20), what="a second container"
    )
    mine = [one for one in proc.family(proc.find(call.pid)) if one.pid == call.pid or _names(one, bench.folder)]
    for process in mine:
        os.kill(process.pid, signal.SIGKILL)
    call.wait()
    assert len(mine) >= 2
    told = bench.set(bench.options("web"))
    assert held(told) == {"false"}
    assert len(bench.compose("ps", "--all", "--quiet").split()) == 1


def _names(process: proc.Process, folder: Path) -> bool:
    return str(folder) in proc.command_line(process)
