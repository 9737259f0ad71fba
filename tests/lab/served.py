"""What an application of the lab that runs in containers has in a folder, whatever runs the containers."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from .postgres import Postgres


class Served:
    """An application with its files in ``folder`` that answers at ``url`` (without a slash at its end)."""

    folder: Path
    postgres: Postgres

    @property
    def url(self) -> str:
        """Where the application answers."""
        raise NotImplementedError

    @property
    def token_file(self) -> Path:
        """The file with the token of the create endpoint."""
        return self.folder / "api-token"

    @property
    def password_file(self) -> Path:
        """The database password for libpq (PGPASSFILE)."""
        return self.folder / "pgpass"

    def healthy(self) -> bool:
        """Return whether the application answers with the status healthy."""
        try:
            with urllib.request.urlopen(f"{self.url}/health/", timeout=2) as answer:
                return bool(json.load(answer)["status"] == "healthy")
        except (OSError, ValueError, KeyError):
            return False

    def sql(self, query: str, values: Any = None) -> list[tuple[Any, ...]]:
        """Run one statement as the application's user and return its rows."""
        with contextlib.closing(self.postgres.connect()) as link, link.cursor() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall()) if cursor.description else []

    def count(self, table: str) -> int:
        """Return how many rows a table has."""
        return int(self.sql(f"SELECT count(*) FROM {table}")[0][0])

    def request(self, method: str, path: str, body: Any = None) -> int:
        """Send one request with the application's token and return the status."""
        headers = {"Authorization": f"Token {self.token_file.read_text().strip()}"}
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
