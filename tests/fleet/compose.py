"""A Docker engine with the application as a Compose project on it."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.fleet.member import ServedMember
from tests.lab.docker import Engine, unavailable
from tests.lab.docker.app import PROJECT, ComposeApp, up
from tests.lab.docker.engine import machines_own
from tests.lab.postgres import Postgres
from tests.lab.waiting import LabError, wait_until
from tests.support.play import ROOT
from tests.support.projects import holders, variables_of


class Compose(ServedMember):
    """Two services; their project and its database lie on this machine."""

    platform = "compose"
    host = "staging-docker-1"

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder, name)
        self.engine = Engine(name)
        self.project = folder / "project"

    def unavailable(self) -> str | None:
        return unavailable()

    def up(self) -> None:
        self.project.mkdir(parents=True)
        up(self.engine.up(), self.project)

    def app(self) -> ComposeApp:
        """Return the project that is up."""
        port = re.search(r"^DELTACROWN_PORT=(\d+)$", (self.project / ".env").read_text(), re.MULTILINE)
        assert port, "the lab writes the port into .env"
        return ComposeApp(self.engine.up(), self.project, Postgres(self.project / "database"), int(port[1]))

    def down(self) -> None:
        if (self.project / ".env").exists() and (self.engine.folder.exists() or machines_own()):
            with contextlib.suppress(LabError):  # one that was killed has nothing that could be asked to go
                self.app().down()
        Postgres(self.project / "database").stop()
        self.engine.down()
        shutil.rmtree(self.folder, ignore_errors=True)

    def group_variables(self) -> Path:
        return ROOT / "inventories" / "staging-compose" / "group_vars" / "compose"

    def host_variables(self) -> dict[str, Any]:
        described = yaml.safe_load((self.group_variables() / "dualwrite.yml").read_text())["dualwrite_workloads"]
        for workload in described:
            workload["options"]["docker_cli"] = self._client()
        return {
            **variables_of(self.app()),
            "dualwrite_lock_folder": str(self.folder / "lock"),
            "dualwrite_workloads": described,
        }

    def _client(self) -> str:
        """Write a docker client that speaks to this engine whoever calls it, and return its path."""
        kept = {name: value for name, value in self.engine.environ.items() if name.startswith("DOCKER_")}
        settings = shlex.join(
            f"{name}={value}" for name, value in {**kept, "PATH": self.engine.environ["PATH"]}.items()
        )
        client = self.folder / "docker"
        client.write_text(f'#!/bin/sh\nexec env {settings} docker "$@"\n')
        client.chmod(0o755)
        return str(client)

    def dual_writing(self) -> None:
        shutil.copy(PROJECT / "compose.yaml", self.project)
        app = self.app()
        app.compose("up", "--detach", "--wait")
        wait_until(app.healthy, "the application to answer healthy")
        wait_until(lambda: set(self.held()) == {"true"}, "every process to hold dual-write on")

    def held(self) -> list[str]:
        app = self.app()
        return [value for service in ("web", "worker") for value in holders(app, service)]
