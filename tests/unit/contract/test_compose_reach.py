"""What of a Compose project holds a flag and is listed nowhere, told by name. On a real engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline, wait_until
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms import compose_containers, compose_reach
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.docker import Docker
from ansible_collections.dualwrite.rollback.tests.unit.contract.compose_bench import ComposeBench, held, read
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import FLAG

ON = {FLAG: "true"}
STAYS = {"entrypoint": ["sleep", "300"], "command": [], "stop_signal": "SIGKILL"}


def told_of(bench: ComposeBench, done: dict[str, Any]) -> dict[str, Any]:
    """Return what was found, by its name without the project's."""
    return {one["name"].replace(f"{bench.name}-", ""): one["holds"] for one in done["unlisted"]}


def test_other_services_profiles_and_one_off_containers_are_told_by_name(compose_bench: ComposeBench) -> None:
    bench = compose_bench
    entry = bench.entry("web")
    bench.service("plain", **STAYS)
    bench.service("nightly", profiles=["night"], environment=ON, **STAYS)
    bench.service("adhoc", profiles=["tools"], environment={**ON, "API_TOKEN": "t0ken-of-the-shop"}, **STAYS)
    bench.compose("--profile", "night", "up", "--detach", "--pull", "never")
    given = ("--detach", "--no-deps", "--name", f"{bench.name}-backfill", "--entrypoint", "sh")
    bench.compose("run", *given, "adhoc", "-c", "sleep 300; exit", "t0ken-of-the-shop")
    found = {
        "container nightly-1 of service nightly: sleep 300": ON,
        "container backfill of service adhoc, one-off: sh -c sleep 300; exit ********": ON,
    }
    shown = bench.set(entry, check=True)["result"]
    assert told_of(bench, shown) == found
    done = bench.set(entry)["result"]
    assert told_of(bench, done) == found
    (note,) = done["notes"]
    for name in ("nightly-1 of service nightly", "backfill of service adhoc, one-off"):
        assert name in note
    assert f"holds {FLAG}=true" in note
    assert "t0ken" not in str(done)
    strict = bench.set(entry, on_unlisted="fail")
    assert (strict["error"], "nightly-1" in strict["text"]) == ("VerificationFailed", True)
    listed = bench.set(entry, bench.options("nightly"))["result"]
    assert list(told_of(bench, listed)) == [name for name in found if "backfill" in name]
    bench.engine.docker("rm", "--force", f"{bench.name}-backfill")
    assert bench.set(entry, bench.options("nightly"), on_unlisted="fail")["result"]["notes"] == []


def test_a_service_that_may_change_too_is_told_while_its_container_is_the_old_one(compose_bench: ComposeBench) -> None:
    bench = compose_bench
    entry = bench.entry("web", shared_with=["migrate"])
    bench.service("migrate", env_file=["app.env"], **STAYS)
    bench.start("web", "migrate")
    done = bench.set(entry)["result"]
    (held,) = told_of(bench, done).values()
    assert held[FLAG] == "true"
    assert f"{bench.name}-migrate-1 of service migrate: sleep 300 holds {FLAG}=true" in done["notes"][0]


def test_a_health_command_is_no_holder(compose_bench: ComposeBench) -> None:
    """It has the environment that its container was made with; the process that counts has taken the flag out."""
    bench = compose_bench
    entry = bench.entry("web")
    health = {"test": "sleep 1", "interval": "100ms", "timeout": "5s"}
    without = {**STAYS, "entrypoint": ["env", "-u", FLAG, "sleep", "300"]}
    bench.service("bare", environment=ON, healthcheck=health, **without)
    bench.start("web", "bare")
    for dummy in range(2):
        assert bench.set(entry)["result"]["unlisted"] == []


def test_a_container_that_can_not_be_looked_into_is_told_as_it_was_made(
    compose_bench: ComposeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = compose_bench
    bench.service("closed", environment=ON, **{**STAYS, "volumes": ["/dev/null:/usr/bin/dash:ro"]})
    bench.service("open", environment=ON, **STAYS)
    bench.start("closed", "open")
    for name, value in bench.engine.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(compose_containers, "of_this_host", lambda dummy: {})
    found = compose_reach.carriers(Docker("docker", None, "web"), bench.name, [FLAG])
    assert [(one.name.replace(f"{bench.name}-", ""), one.holds) for one in found] == [
        ("container closed-1 of service closed, as it was made", ON),
        ("container open-1 of service open: sleep 300", ON),
    ]


def test_a_project_is_asked_once_for_all_its_services(compose_bench: ComposeBench, tmp_path: Path) -> None:
    """Compose reads its files once a round, twice where one came late; it was six times each for six services."""
    bench, names = compose_bench, [f"web{number}" for number in range(6)]
    said, client = tmp_path / "said", tmp_path / "docker"
    client.write_text(f'#!/bin/sh\necho "$*" >> {said}\nexec docker "$@"\n')
    client.chmod(0o755)
    entries = [bench.options(one, docker_cli=str(client)) for one in names]
    for one in names:
        bench.service(one, environment={FLAG: "true"})
    bench.start(*names)
    wait_until(lambda: len(read(bench, *entries)["instances"]) == 18, Deadline(15), what="the start of all processes")
    said.unlink()
    told = bench.set(*entries)
    assert {value for one in names for value in held(told, one)} == {"false"}
    assert bench.file.read_text().count(f'"{FLAG}": "false"') == 6
    asked = [one.split() for one in said.read_text().splitlines()]
    assert sum("config" in one for one in asked) <= 12, asked
    assert sum(one[0] == "info" for one in asked) == 1
    assert sum("up" in one for one in asked) == 1
