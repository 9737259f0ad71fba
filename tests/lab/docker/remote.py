"""A host of the lab from which the application's Compose project is worked with over ssh, as on a Docker host.

It has the docker client with Compose, the engine's socket, the project's folder, and the application at
127.0.0.1:8000. The containers' processes are not its own: it sees them only as `docker exec` shows them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import yaml

from ..host import SystemdHost
from ..host.image import PYTHON
from ..postgres import DATABASE, USER
from ..waiting import LabError, wait_until
from .app import ComposeApp
from .engine import Engine

SOCKET = "/run/docker.sock"
PLUGIN = "/usr/libexec/docker/cli-plugins/docker-compose"
HOME = "/root"
NAME = "staging-docker-1.deltacrown.example"  # the name that inventories/staging-compose gives to its host
SERVICE = "[deltacrown-staging]\nhost={sockets}\nport={port}\ndbname={database}\nuser={user}\n"


class ComposeHost:
    """A booted host in front of a project on an engine; ``up`` and ``down``."""

    def __init__(self, name: str, app: ComposeApp) -> None:
        """Name the host; nothing starts yet. The project must not lie in /tmp, which a host has for itself."""
        self.app = app
        self.host = SystemdHost(name, aliases=(NAME,))
        self._tunnel: subprocess.Popen[bytes] | None = None

    @property
    def ssh_config(self) -> Path:
        """What ssh needs to reach it."""
        return self.host.ssh_config

    def up(self) -> ComposeHost:
        """Boot it, give it what it needs and return it. Raises LabError; ``down`` removes what is left then."""
        self.host.up(_binds(self.app.engine), writable=[str(self.app.folder)])
        self.host.write("/etc/deltacrown/api-token", self.app.token_file.read_text(), "0600")
        postgres = self.app.postgres
        told = SERVICE.format(sockets=postgres.socket_dir, port=postgres.port, database=DATABASE, user=USER)
        for path, text in (("pg_service.conf", told), ("pgpass", self.app.password_file.read_text())):
            self.host.write(f"{HOME}/.{path}", text, "0600")
        self._connect()
        return self

    def down(self) -> None:
        """End it; the project and its engine stay."""
        if self._tunnel:
            self._tunnel.terminate()
            self._tunnel.wait()
        self.host.down()

    def _connect(self) -> None:
        """Have the host reach the application where one on its own engine would be; its network knows no way there."""
        there = f"127.0.0.1:8000:{self.app.engine.address}:{self.app.port}"
        options = ["-F", str(self.ssh_config), "-o", "ControlPath=none", "-o", "ExitOnForwardFailure=yes", "-N"]
        self._tunnel = subprocess.Popen(["ssh", *options, "-R", there, self.host.name], stdin=subprocess.DEVNULL)
        asking = ["curl", "--silent", "--fail", "--output", "/dev/null", "http://127.0.0.1:8000/health/"]
        wait_until(
            lambda: self.host.run(asking, check=False).returncode == 0, "the application to answer on the host", 15
        )


def _binds(engine: Engine) -> dict[str, str]:
    """Return {outside: inside} of client, Compose, socket and PyYAML, which the host's image has not."""
    client = shutil.which("docker", path=engine.environ["PATH"])
    told = json.loads(engine.docker("info", "--format", "{{json .ClientInfo}}"))
    plugin = next((one["Path"] for one in told.get("Plugins") or [] if one["Name"] == "compose"), "")
    address = engine.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not client or not plugin or not address.startswith("unix://"):
        raise LabError(
            f"client, Compose and socket of the engine can't be given to a host: {client}, {plugin}, {address}"
        )
    return {
        str(Path(client).resolve()): "/usr/bin/docker",
        str(Path(plugin).resolve()): PLUGIN,
        str(Path(address.removeprefix("unix://")).resolve()): SOCKET,
        str(Path(yaml.__file__).parent): f"/usr/local/lib/python{PYTHON}/dist-packages/yaml",
    }
