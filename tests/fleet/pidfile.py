"""The lab: the application as plain processes of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.fleet.member import Member
from tests.lab.lab import Lab
from tests.lab.waiting import wait_until
from tests.lab.workloads import write_scripts
from tests.support.measure import PROCESSES, held, restart
from tests.support.play import ROOT


class Pidfile(Member):
    """Two workloads, found by their pidfiles."""

    platform = "pidfile"
    host = "lab"

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder, name)
        self.lab = Lab(name, folder)

    def unavailable(self) -> str | None:
        return None

    def up(self) -> None:
        self.lab.up()

    def down(self) -> None:
        self.lab.down(wipe=True)

    def group_variables(self) -> Path:
        return ROOT / "inventories" / "lab" / "group_vars" / "all"

    def host_variables(self) -> dict[str, Any]:
        return {
            "ansible_connection": "local",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            "deltacrown_lab_folder": str(self.folder),
        }

    def dual_writing(self) -> None:
        write_scripts(self.lab.paths, True, {})
        restart(self.lab, "true")
        wait_until(lambda: self.held() == ["true"] * PROCESSES, "five processes to hold dual-write on")

    def held(self) -> list[str]:
        return held(self.lab)

    def users(self) -> tuple[str, int, str]:
        host, dummy, port = self.lab.url.removeprefix("http://").partition(":")
        return host, int(port), self.lab.token

    def connect(self) -> Any:
        return self.lab.postgres.connect()
