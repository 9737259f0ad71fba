"""What the fleet asks of a member: one platform's component, and the one host that stands for it in the inventory."""

from __future__ import annotations

import abc
import contextlib
from pathlib import Path
from typing import Any

from tests.support.measure import LEGACY, MAP, VNEXT


class Member(abc.ABC):
    """One component with the application on it. Any process may take it up again by the same folder and name."""

    #: the group of the inventory, and of the Molecule scenario
    platform: str
    #: the name of the host in the inventory
    host: str
    #: how many processes of the application hold the flag, at least
    processes = 5

    def __init__(self, folder: Path, name: str) -> None:
        """Name a member; ``folder`` is its own, ``name`` is one that nobody else on the machine has."""
        self.folder = folder
        self.name = name

    @abc.abstractmethod
    def unavailable(self) -> str | None:
        """Return the sentence that says why it can't be had on this machine, or None."""

    @abc.abstractmethod
    def up(self) -> None:
        """Start component and application. Raises LabError when that fails."""

    @abc.abstractmethod
    def down(self) -> None:
        """End whatever is there of it and remove what was its own."""

    @abc.abstractmethod
    def group_variables(self) -> Path:
        """Return the folder of the shipped inventory whose variables describe such hosts."""

    @abc.abstractmethod
    def host_variables(self) -> dict[str, Any]:
        """Return what is true of this host only: where it is and how it is reached."""

    @abc.abstractmethod
    def dual_writing(self) -> None:
        """Take back what was done to the application, and have every process of it dual-write."""

    @abc.abstractmethod
    def held(self) -> list[str]:
        """Return what every live process of the application holds for the flag, without any code of the collection."""

    @abc.abstractmethod
    def users(self) -> tuple[str, int, str]:
        """Return address, port and token for users of the application."""

    @abc.abstractmethod
    def connect(self) -> Any:
        """Return a connection to the application's database that commits by itself."""

    def counts(self) -> dict[str, int]:
        """Return the rows of both models and of the table that maps them, all of one moment."""
        asked = ", ".join(f"(SELECT count(*) FROM {table})" for table in (VNEXT, LEGACY, MAP))
        with contextlib.closing(self.connect()) as link, link.cursor() as cursor:
            cursor.execute(f"SELECT {asked}")
            return dict(zip(("vnext", "legacy", "mapped"), cursor.fetchone(), strict=True))

    def queued(self) -> int:
        """Return how many events wait for the worker."""
        with contextlib.closing(self.connect()) as link, link.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM organizations_teamevent")
            return int(cursor.fetchone()[0])


class ServedMember(Member):
    """A member whose application lies in containers, with its database and its files on this machine."""

    @abc.abstractmethod
    def app(self) -> Any:
        """Return the application that is up: ComposeApp or ClusterApp."""

    def users(self) -> tuple[str, int, str]:
        app = self.app()
        host, dummy, port = app.url.removeprefix("http://").partition(":")
        return host, int(port), app.token_file.read_text().strip()

    def connect(self) -> Any:
        return self.app().postgres.connect()
