"""Whoever runs the playbooks from a clone, for an application of the lab that an inventory of the project describes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.controller import Controller
from tests.support.play import Ended, call, environ


class Operator:
    """One operator, of the inventory of that name."""

    def __init__(self, inventory: str, variables: Mapping[str, Any], clone: Path, folder: Path) -> None:
        """Write the variables that say where the application is into a folder, where the lock will be too."""
        self.inventory, self.clone = inventory, clone
        self.reports = clone / "reports"
        self.lock = folder / f"{inventory}.lock"
        self._given = folder / "variables.json"
        self._given.write_text(json.dumps({**variables, "dualwrite_lock_folder": str(folder)}))

    def locked(self) -> bool:
        """Return whether a run holds the environment's lock."""
        return self.lock.exists()

    def argv(self, playbook: str, *more: str, **variables: Any) -> list[str]:
        """Return the literal command, with what is this test's own after it."""
        given = ["-e", f"@{self._given}", *(["-e", json.dumps(variables)] if variables else [])]
        return ["ansible-playbook", f"{playbook}.yml", "-i", self.inventory, *given, *more]

    def environ(self, **more: str) -> dict[str, str]:
        """Return the environment that the command has."""
        return environ(**more)

    def run(self, playbook: str, *more: str, env: Mapping[str, str] | None = None, **variables: Any) -> Ended:
        """Run a playbook to its end."""
        argv = self.argv(playbook, *more, **variables)
        return call(argv, self.reports, self.environ(**(env or {})), cwd=self.clone / "playbooks")

    def begin(self, playbook: str, output: Path, **variables: Any) -> Controller:
        """Begin a run that is to be killed."""
        argv = self.argv(playbook, **variables)
        return Controller(argv, self.environ(), self.reports, output, cwd=self.clone / "playbooks")
