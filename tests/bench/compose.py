"""Services of one container each in a Compose project: `docker compose` by hand beside the module flag."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from tests.lab.docker.engine import Engine, compose
from tests.support.inside import look
from tests.support.play import ROOT

from .arms import FLAG, Subject, call_module

TINY = ROOT / "tests" / "unit" / "platforms" / "tiny.py"
PIDFILE = "/tmp/web.pid"
ON, OFF = (f'"{FLAG}": "{value}"' for value in ("true", "false"))


class Services(Subject):
    """So many services in a project of their own: a master and two workers each, which hold the flag."""

    def __init__(self, engine: Engine, image: str, number: int, folder: Path) -> None:
        self.engine, self.image = engine, image
        self.names = [f"web-{index}" for index in range(number)]
        self.what = f"{number} Compose service{'s' if number > 1 else ''}"
        self.folder = folder / f"project-{number}"
        self.file = self.folder / "compose.yaml"
        self.inventory = folder / f"compose-{number}.yml"
        options = {"project_src": str(self.folder)}
        workloads = [{"name": one, "platform": "compose", "options": {**options, "service": one}} for one in self.names]
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "bench_flags": {FLAG: False},
            "bench_workloads": workloads,
        }
        self.inventory.write_text(yaml.safe_dump({"all": {"hosts": {"docker": {}}, "vars": variables}}))

    def prepare(self) -> None:
        """Write the project."""
        self.folder.mkdir()
        services = {name: self._service() for name in self.names}
        self.file.write_text(json.dumps({"name": f"bench-{len(self.names)}", "services": services}, indent=2))

    def _service(self) -> dict[str, object]:
        return {
            "image": self.image,
            "pull_policy": "never",
            "command": ["python3", "/opt/tiny.py", "--pidfile", PIDFILE, "--env-file", "/tmp/app.env"],
            "environment": {"SECRET": "s3cr3t", FLAG: "true"},
            # on a busy machine a service takes more than three seconds to write its pidfile
            "healthcheck": {"test": ["CMD", "cat", PIDFILE], "interval": "1s", "retries": 60},
            "volumes": [f"{TINY}:/opt/tiny.py:ro"],
        }

    def down(self) -> None:
        """Remove the project's containers."""
        self._compose("down", "--timeout", "1")

    def switch_on(self) -> None:
        self._edit(OFF, ON)
        self._compose("up", "--detach", "--wait")

    def held(self) -> list[str]:
        running = self._compose("ps", "--quiet", "--no-trunc").split()
        told = "".join(self.engine.docker("exec", one, *look(FLAG)) for one in running).split()
        # a health probe that is just being put into a container has no environment yet
        return [one for one in told if one != "-"]

    def pasted(self) -> None:
        self._edit(ON, OFF)
        for name in self.names:
            self._compose("up", "--detach", "--no-deps", "--wait", name)

    def at_once(self) -> None:
        self._edit(ON, OFF)
        self._compose("up", "--detach", "--no-deps", "--wait", *self.names)

    def module(self) -> float:
        docker = {name: value for name, value in self.engine.environ.items() if name.startswith("DOCKER_")}
        return call_module(
            self.inventory, PATH=f"{Path(sys.executable).parent}:{self.engine.environ['PATH']}", **docker
        )

    def _edit(self, old: str, new: str) -> None:
        """Do what `sed -i` does."""
        self.file.write_text(self.file.read_text().replace(old, new))

    def _compose(self, *words: str) -> str:
        return compose(self.engine, self.folder, *words)
