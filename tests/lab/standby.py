"""A standby of the lab's PostgreSQL: made by pg_basebackup, fed by streaming, and promoted on demand."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .postgres import Postgres, runs_as


class Standby(Postgres):
    """One standby, with the users and passwords of its primary."""

    def __init__(self, folder: Path, primary: Postgres) -> None:
        super().__init__(folder, primary.programs)
        self.primary = primary
        self.password_file = primary.password_file
        self.admin_password_file = primary.admin_password_file

    def promote(self) -> None:
        """Make it a server that takes writes, as a failover does, and wait until it does. Raise LabError if not."""
        self._run("pg_ctl", "promote", "-w", "-t", "30", "-s", "-D", str(self.data))

    def _prepare(self) -> None:
        self._prepare_folders()
        if (self.data / "PG_VERSION").exists():
            return
        argv = [str(self.programs / "pg_basebackup"), "-D", str(self.data), "-R", "-c", "fast", "--no-sync"]
        argv += ["-h", "127.0.0.1", "-p", str(self.primary.port), "-U", "postgres"]
        environ = {
            "PATH": os.environ["PATH"],
            "PGPASSWORD": self.admin_password_file.read_text().strip(),
            "LC_ALL": "C",
        }
        subprocess.run(argv, env=environ, cwd="/", check=True, capture_output=True, **runs_as())

    def _make_database(self) -> None:
        """Do nothing: it has what its primary has."""
