"""One lab for all faults, put right before each test, and the rollback as an operator calls it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.faults.expect import lock_of
from tests.lab.lab import Lab
from tests.lab.waiting import LabError, quoting, wait_until
from tests.lab.workloads import write_scripts
from tests.support.measure import FLAG, State
from tests.support.play import Ended, play

SECRETS = ("SECRET_KEY", "API_TOKEN", "DATABASE_PASSWORD")
WORKLOADS = ("web", "worker")
#: what a killed run leaves beside a pidfile for the next one
LEFT = ("*.restarting", "*.stopped")
#: a run that has nothing to wait for is short; what a test needs otherwise it says
BRISK = {"dualwrite_hold": 1, "dualwrite_verify_timeout": 20, "dualwrite_timeout": 40}


class Bench:
    """The lab, and what a test may do to it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.env = lab.paths.env_file.read_bytes()
        self.disturbed = False

    def arrange(self, reload: bool = True, **knobs: str) -> None:
        """Start web and worker anew, with or without reload at SIGHUP and with these knobs."""
        self.disturbed = True
        self._restart(reload, knobs)

    def before_start(self, workload: str, line: str) -> None:
        """Put a line of shell before what the workload's start script does; ``$ENV_FILE`` is the env file."""
        script = self.lab.paths.script(f"start-{workload}")
        head, dummy, rest = script.read_text().partition("\n")
        script.write_text(f"{head}\nENV_FILE={self.lab.paths.env_file}\n{line}\n{rest}")

    def refuses(self, workload: str, how: str) -> None:
        """Let the start script do ``how`` (shell) when dual-write is off."""
        self.before_start(workload, f'if grep -q "^{FLAG}=false" "$ENV_FILE"; then {how}; fi')

    def put_right(self) -> None:
        """Have dual-write on again in five processes, and nothing of an earlier test left."""
        lab, env = self.lab, self.lab.paths.env_file
        with quoting(lab.postgres.log):
            wait_until(lab.postgres.process, "PostgreSQL runs", 0)
        lab.set_unhealthy(False)
        for path in (lock_of(lab), *(one for kind in LEFT for one in lab.paths.run_dir.glob(kind))):
            path.unlink(missing_ok=True)
        if env.is_dir():
            shutil.rmtree(env)
        env.unlink(missing_ok=True)
        env.write_bytes(self.env)
        env.chmod(0o600)
        write_scripts(lab.paths, True, {})
        if self.disturbed or not self._right():
            self._restart(True, {})
            self.disturbed = False

    def _right(self) -> bool:
        status = self.lab.status()
        told = [one["flags"][FLAG] for one in self.lab.instances()]
        return all(status[name]["up"] for name in WORKLOADS) and told == ["true"] * 5

    def _restart(self, reload: bool, knobs: dict[str, str]) -> None:
        write_scripts(self.lab.paths, reload, knobs)
        for action in (self.lab.stop, self.lab.start):
            with ThreadPoolExecutor() as pool:
                list(pool.map(action, WORKLOADS))
        try:
            wait_until(self._right, "five processes hold dual-write on")
        except LabError as error:
            raise LabError(f"{error}: {self.lab.status()}, {self.lab.instances()}") from error

    def workloads(self, **more: dict[str, Any]) -> dict[str, Any]:
        """Return the variable dualwrite_workloads of inventories/lab, with further options for web or worker."""
        state = self.lab.state
        made = []
        for name in WORKLOADS:
            options = {
                "pidfile": state[name]["pidfile"],
                "cmdline_match": state[name]["cmdline_match"],
                "env_file": state["env_file"],
                "start_command": state[name]["start_command"],
                "state_file": f"{state['run_dir']}/instances/{{pid}}.json",
                "roll": ["reload", "restart"] if name == "web" else ["restart"],
            }
            made.append({"name": name, "platform": "pidfile", "options": {**options, **more.get(name, {})}})
        return {"dualwrite_workloads": made}


@pytest.fixture(scope="session")
def one_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The lab of all faults, under traffic."""
    lab = Lab("faults", tmp_path_factory.mktemp("lab"))
    try:
        lab.up(traffic=10)
        wait_until(lambda: lab.counts()["organizations_teammigrationmap"] >= 3, "the traffic's first dual writes")
        yield Bench(lab)
    finally:
        lab.down()


@pytest.fixture
def bench(one_bench: Bench) -> Bench:
    """The lab, put right."""
    one_bench.put_right()
    return one_bench


@pytest.fixture
def lab(bench: Bench) -> Lab:
    """The lab itself."""
    return bench.lab


@pytest.fixture
def before(lab: Lab) -> State:
    """The lab as it was before the test."""
    return State.of(lab)


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """A folder for the reports of the test's runs."""
    return tmp_path / "reports"


@pytest.fixture
def rollback(lab: Lab, reports: Path) -> Callable[..., Ended]:
    """Call the rollback: ``rollback(*arguments, variables={...}, **environment)``."""

    def call(*more: str, variables: dict[str, Any] | None = None, **environment: str) -> Ended:
        return play(reports, *extra(variables), *more, DUALWRITE_LAB=str(lab.dir), **environment)

    return call


@pytest.fixture
def secrets(lab: Lab) -> dict[str, str]:
    """The values of the env file that nobody may ever see."""
    text = lab.paths.env_file.read_text()
    found = {name: re.findall(rf"^{name}=['\"]?([^'\"\n]+)", text, re.MULTILINE)[0] for name in SECRETS}
    assert found["API_TOKEN"] == lab.token
    assert len(set(found.values())) == len(SECRETS)
    return found


def extra(variables: dict[str, Any] | None = None) -> list[str]:
    """Return the arguments that give a run these variables, and brisk times where they say nothing else."""
    return ["-e", json.dumps({**BRISK, **(variables or {})})]
