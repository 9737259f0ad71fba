"""A host that systemd has booted, with the application as units, reached over ssh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.fleet.member import Member
from tests.lab.host import SystemdHost, unavailable, up_with_app
from tests.lab.host.app import PORT
from tests.support.play import ROOT
from tests.support.units import dual_writing, holders


class Systemd(Member):
    """Two units on one host."""

    platform = "systemd"
    host = "staging-web-1"

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder, name)
        self.machine = SystemdHost(name)

    def unavailable(self) -> str | None:
        return unavailable()

    def up(self) -> None:
        up_with_app(self.machine)

    def down(self) -> None:
        self.machine.down()

    def group_variables(self) -> Path:
        return ROOT / "inventories" / "staging" / "group_vars" / "systemd"

    def host_variables(self) -> dict[str, Any]:
        return {"ansible_host": self.machine.aliases[0], "ansible_ssh_args": f"-F {self.machine.ssh_config}"}

    def dual_writing(self) -> None:
        dual_writing(self.machine)

    def held(self) -> list[str]:
        return sum(holders(self.machine).values(), [])

    def users(self) -> tuple[str, int, str]:
        return self.machine.address, PORT, up_with_app(self.machine).token

    def connect(self) -> Any:
        import psycopg2

        app = up_with_app(self.machine)
        service, dummy, settings = app.service_file.read_text().partition("\n")
        link = psycopg2.connect(" ".join(settings.split()), passfile=str(app.password_file), connect_timeout=5)
        link.autocommit = True
        return link
