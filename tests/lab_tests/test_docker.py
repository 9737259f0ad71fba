"""The lab's own Docker engine: private, twice on one machine, and gone without a trace."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms import proc
from tests.lab.docker import Engine, images, network, unavailable
from tests.lab.docker.engine import compose, machines_own
from tests.lab.waiting import LabError


@pytest.fixture(scope="module")
def engines() -> Iterator[list[Engine]]:
    """Two engines side by side."""
    reason = unavailable() or (
        "this machine has an engine of its own, which is used as it is" if machines_own() else ""
    )
    if reason and os.environ.get("CI") and not machines_own():
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    made = [Engine(f"lab-{os.getpid()}-{number}") for number in range(2)]
    try:
        yield [one.up() for one in made]
    finally:
        for one in made:
            one.down()


def links() -> set[str]:
    """Return the names of this machine's network devices."""
    told = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
    return {link["ifname"] for link in told}


def test_two_engines_know_nothing_of_each_other(engines: list[Engine]) -> None:
    ids = {one.docker("info", "--format", "{{.ID}}").strip() for one in engines}
    assert len(ids) == 2
    assert len({one.address for one in engines}) == 2
    image = images.build(engines[0])
    assert engines[0].docker("images", "--quiet", image).strip()
    assert not engines[1].docker("images", "--quiet", image).strip()
    assert {"docker0", "engine0"} & links() == set()


def test_an_engine_that_is_up_stays(engines: list[Engine]) -> None:
    before = engines[0].docker("info", "--format", "{{.ID}}")
    assert Engine(engines[0].name).up().docker("info", "--format", "{{.ID}}") == before


def test_the_engine_restarts_with_its_containers(engines: list[Engine], tmp_path: Path) -> None:
    one = engines[0]
    service = {"image": images.build(one), "command": ["sleep", "300"], "restart": "always", "stop_signal": "SIGKILL"}
    (tmp_path / "compose.yaml").write_text(json.dumps({"name": "kept", "services": {"web": service}}))
    compose(one, tmp_path, "up", "--detach", "--wait")
    one.stop_daemon()
    assert not one.docker("ps", "--quiet", check=False).strip()
    one.start_daemon()
    compose(one, tmp_path, "up", "--detach", "--wait")
    assert len(compose(one, tmp_path, "ps", "--quiet").split()) == 1


def test_down_leaves_nothing_also_after_a_kill(engines: list[Engine]) -> None:
    one = engines[1]
    container = one.docker("run", "--detach", images.build(one), "sleep", "300").strip()
    inside = proc.find(int(one.docker("inspect", "--format", "{{.State.Pid}}", container)))
    state = json.loads((one.folder / "state.json").read_text())
    os.kill(state["dockerd"], 9)
    one.down()
    assert not one.folder.exists()
    assert inside
    assert not proc.alive(inside)  # its parent may not have collected it yet
    assert network.device(state["network"]) not in links()
    left = [entry for entry in Path("/proc").glob("[0-9]*/cmdline") if str(one.folder) in _text(entry)]
    assert left == []
    with pytest.raises(LabError):
        one.docker("info")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def test_a_wrong_name_is_told() -> None:
    with pytest.raises(LabError, match="is no name for an engine"):
        Engine("../x")
