# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's own programs on this host: where they are, which version, and whether that one may read a backup."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from ..core.deadline import Deadline
from ..core.errors import CommandFailed, InvalidInput, NotFound, Refused
from ..core.process import run

#: the first minor release of each major one that a crafted backup can't make run code (CVE-2025-8714 and what followed)
SAFE = {14: 25, 15: 20, 16: 16, 17: 12, 18: 7}
#: the first that knows \\restrict
KNOWS_RESTRICT = {13: 22, 14: 19, 15: 14, 16: 10, 17: 6}
#: the major version whose pg_restore sets transaction_timeout in each session, and whose server is the first to know it
SETS_TRANSACTION_TIMEOUT = 17
ON_OLD_CLIENT = ("fail", "warn")


@dataclass(frozen=True)
class Clients:
    """The programs of one folder, all of one version."""

    folder: str
    major: int
    minor: int

    @property
    def version(self) -> str:
        """The version for a person to read."""
        return f"{self.major}.{self.minor}"

    @property
    def knows_restrict(self) -> bool:
        """Whether psql can be kept from commands of its own."""
        return self.major >= 18 or self.minor >= KNOWS_RESTRICT.get(self.major, 10**6)

    def program(self, name: str) -> str:
        """Return the path of psql, pg_dump or pg_restore; raises NotFound."""
        path = os.path.join(self.folder, name)
        if not os.access(path, os.X_OK):
            raise NotFound(f"the program {name} is not there", where=self.folder, hint="Correct bin_dir.")
        return path


def find(bin_dir: str | None, server: int, deadline: Deadline, environ: Mapping[str, str]) -> Clients:
    """Return the programs in ``bin_dir``, else those of the server's major version where Debian and RPMs put them.

    Without such a folder those on the path count. Raises NotFound when there are none, InvalidInput when a program
    tells no version.
    """
    usual = [f"/usr/lib/postgresql/{server}/bin", f"/usr/pgsql-{server}/bin"]
    folder = bin_dir or next((one for one in usual if os.access(os.path.join(one, "psql"), os.X_OK)), "")
    if not folder:
        there = shutil.which("psql")
        if there is None:
            raise NotFound(
                "psql and pg_restore are not installed on this host",
                hint=f"Install the client programs of PostgreSQL {server}, or name their folder with bin_dir.",
            )
        folder = os.path.dirname(there)
    path = os.path.join(folder, "psql")
    try:
        said = run([path, "--version"], deadline.within(20), environ=environ).stdout
    except CommandFailed as error:
        raise NotFound("psql is not there or can't be run", where=folder, hint="Correct bin_dir.") from error
    found = re.search(r"(\d+)(?:\.(\d+))?", said)
    if found is None:
        raise InvalidInput(f"psql tells no version: {said.strip()[:80]}", where=path)
    return Clients(folder, int(found[1]), int(found[2] or 0))


def require_safe(clients: Clients, on_old_client: str) -> str:
    """Return a warning, or raise Refused, when a crafted backup could make these programs run code; "" when not."""
    wanted = SAFE.get(clients.major)
    if clients.major > max(SAFE) or (wanted is not None and clients.minor >= wanted):
        return ""
    fixed = f"{clients.major}.{wanted}" if wanted else " or ".join(f"{one}.{two}" for one, two in SAFE.items())
    said = f"psql and pg_restore {clients.version} run what a crafted backup tells them; fixed in {fixed}"
    if on_old_client != "warn":
        raise Refused(
            said, where=clients.folder, hint="Update them, or set on_old_client to warn for a backup that you trust."
        )
    return said + "."


def require_new_enough(clients: Clients, dump_version: str, where: str) -> None:
    """Raise Refused when a backup was made by a pg_dump of a later major version than these programs."""
    major = int(dump_version.partition(".")[0]) if dump_version[:1].isdigit() else 0
    if major > clients.major:
        raise Refused(
            f"the backup was made by pg_dump {dump_version}, these programs are {clients.version}",
            where=where,
            hint=f"Install the client programs of PostgreSQL {major}, or name their folder with bin_dir.",
        )


def require_understood(clients: Clients, server: int, where: str) -> None:
    """Raise Refused when pg_restore sets in each session what the server, of an older version, does not know."""
    if server < SETS_TRANSACTION_TIMEOUT <= clients.major:
        raise Refused(
            f"pg_restore {clients.version} sets 'transaction_timeout', which PostgreSQL {server} does not know",
            where=where,
            hint=f"Name the folder of PostgreSQL {server}'s programs with bin_dir; an archive that those can't read"
            f" needs a server of version {SETS_TRANSACTION_TIMEOUT} or later.",
        )
