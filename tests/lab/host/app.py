"""The reference application on a host: PostgreSQL, the env file, a web and a worker unit, in seconds."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..waiting import LabError, wait_until
from . import image, machine
from .host import USER, SystemdHost

LAB = Path(__file__).resolve().parent.parent
REQUIREMENTS = LAB.parents[1] / "requirements"
DISTRIBUTIONS = ("django", "gunicorn", "psycopg2-binary", "prometheus-client")
UNITS = Path(__file__).parent / "units"
OPT = "/opt/deltacrown"
ENV_FILE = f"{OPT}/.env.staging"
TOKEN_FILE = "/etc/deltacrown/api-token"
WEB = "deltacrown-staging.service"
WORKER = "deltacrown-staging-worker.service"
PORT = 8000
ENVIRONMENT = """\
# DeltaCrown staging. Managed by the platform team: ask in #deltacrown-ops before you change it.
# Read by systemd (EnvironmentFile=), so no shell syntax here.

SECRET_KEY='{secret_key}'
API_TOKEN={api_token}

# Database
DATABASE_HOST=127.0.0.1
DATABASE_PORT=5432
DATABASE_NAME=deltacrown
DATABASE_USER=deltacrown
DATABASE_PASSWORD="{password}"

# Web
WEB_CONCURRENCY=3
PROMETHEUS_MULTIPROC_DIR=/run/deltacrown/metrics

# Team model migration (vNext): see the rollback runbook before you touch these
TEAM_VNEXT_DUAL_WRITE_ENABLED=true
TEAM_VNEXT_DUAL_WRITE_STRICT_MODE=false
TEAM_VNEXT_LEGACY_WRITE_BLOCKED=false
"""
# As operators have it: a service with a name, its password in a file of their own.
SERVICE = """\
[deltacrown-staging]
host={address}
port=5432
dbname=deltacrown
user=deltacrown
"""
PASSWORD = "{address}:5432:deltacrown:deltacrown:{password}\n"
DATABASE = """\
CREATE ROLE deltacrown LOGIN PASSWORD '{password}';
CREATE DATABASE deltacrown OWNER deltacrown TEMPLATE template0 ENCODING 'UTF8';
"""


@dataclass(frozen=True)
class App:
    """How to reach the application on a host from this machine."""

    url: str  # without a slash at its end
    token: str  # of the create endpoint
    service_file: Path  # for PGSERVICEFILE: has the service deltacrown-staging, at the host's address
    password_file: Path  # for PGPASSFILE

    @property
    def health(self) -> str:
        """The address of its health answer."""
        return f"{self.url}/health/"

    def request(self, method: str, path: str, body: Any = None) -> int:
        """Send one request with the application's token and return the status."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Token {self.token}"}
        asked = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


def up_with_app(host: SystemdHost) -> App:
    """Boot the host and install the application into it, unless both is done already; return how to reach it.

    Raises LabError when a step fails.
    """
    host.up(binds())
    return install_app(host)


def binds() -> dict[str, str]:
    """Return the folders that up() needs for the application, {outside: inside}; dependencies are fetched first."""
    return {str(LAB / "app"): f"{OPT}/app", str(dependencies()): f"{OPT}/site-packages"}


def dependencies() -> Path:
    """Return the cached folder with the application's dependencies for the image's Python, filled by pip if new.

    Raises LabError when pip fails.
    """
    wanted = _pinned()
    digest = hashlib.sha256("\n".join([image.digest(), *wanted]).encode()).hexdigest()[:16]
    target = machine.cache_dir() / "site-packages" / digest
    with machine.locked(f"site-packages-{digest}"):
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".installing-", dir=target.parent))
            options = ["--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--no-compile"]
            options += ["--python-version", image.PYTHON, "--target", str(work / "new")]
            try:
                machine.call([sys.executable, "-m", "pip", "install", *options, *wanted])
                _compile(work / "new")
                (work / "new").chmod(0o755)
                (work / "new").rename(target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return target


def install_app(host: SystemdHost) -> App:
    """Set up database, env file and units in a host that is up with binds(), and wait until it answers healthy.

    Does nothing but wait when the env file is there. Raises LabError when a step fails or it doesn't get healthy.
    """
    if host.run(["test", "-e", ENV_FILE], check=False).returncode:
        _install(host)
    app = App(
        url=f"http://{host.address}:{PORT}",
        token=host.read(TOKEN_FILE).strip(),
        service_file=host.folder / "pg_service.conf",
        password_file=host.folder / "pgpass",
    )
    try:
        wait_until(lambda: healthy(app), "the application to answer healthy", 30)
    except LabError as error:
        raise LabError(f"{error}; its journal ends: {host.journal(WEB, 15)}") from None
    return app


def _compile(site: Path) -> None:
    """Compile with the image's Python: hosts see the folder read-only and would compile at each start of a process."""
    inside = f"{OPT}/site-packages"
    script = f'mount --bind "$1" "$2/mnt"; exec chroot "$2" python3 -m compileall -q -j2 -s /mnt -p {inside} /mnt'
    machine.call(["unshare", "--mount", "sh", "-ec", script, "sh", str(site), str(image.build())])


def healthy(app: App) -> bool:
    """Return whether the application answers 200 with the status healthy."""
    try:
        with urllib.request.urlopen(app.health, timeout=2) as answer:
            return bool(json.load(answer)["status"] == "healthy")
    except (OSError, ValueError, KeyError):
        return False


def _install(host: SystemdHost) -> None:
    host.run(["systemctl", "start", "postgresql@15-main.service"])
    secret = {name: secrets.token_urlsafe(24) for name in ("secret_key", "api_token", "password")}
    host.run(["psql", "--quiet", "-v", "ON_ERROR_STOP=1"], user="postgres", stdin=DATABASE.format(**secret))
    host.run(["useradd", "--system", "--home-dir", OPT, "--shell", "/usr/sbin/nologin", "deltacrown"])
    host.write("/etc/tmpfiles.d/deltacrown.conf", (UNITS / "deltacrown.tmpfiles").read_text())
    host.run(["systemd-tmpfiles", "--create", "/etc/tmpfiles.d/deltacrown.conf"])
    host.write(f"/usr/local/lib/python{image.PYTHON}/dist-packages/deltacrown.pth", f"{OPT}/site-packages\n")
    names = sorted(entry.name for entry in UNITS.iterdir() if entry.suffix in (".service", ".socket"))
    for name in names:
        host.write(f"/etc/systemd/system/{name}", (UNITS / name).read_text())
    host.write(TOKEN_FILE, f"{secret['api_token']}\n", "0640", "root:deltacrown")
    _write_database_access(host, secret["password"])
    # Moved into place last: it marks the host as done.
    host.write(f"{ENV_FILE}.new", ENVIRONMENT.format(**secret), "0640", "root:deltacrown")
    migrate = f"set -a; . {ENV_FILE}.new; exec python3 {OPT}/app/manage.py migrate --verbosity 0"
    host.run(["sh", "-c", migrate], user="deltacrown")
    host.run(["mv", f"{ENV_FILE}.new", ENV_FILE])
    host.run(["systemctl", "daemon-reload"])
    host.run(["systemctl", "enable", "--now", "--quiet", "deltacrown-staging.socket", WEB, WORKER])


def _write_database_access(host: SystemdHost, password: str) -> None:
    """Write the libpq service and its password for this machine, and for root and deploy inside."""
    for path, text in (("pg_service.conf", SERVICE), ("pgpass", PASSWORD)):
        outside = host.folder / path
        outside.touch(0o600)
        outside.write_text(text.format(address=host.address, password=password))
        for home, owner in (("/root", "root:root"), (f"/home/{USER}", f"{USER}:{USER}")):
            host.write(f"{home}/.{path}", text.format(address="127.0.0.1", password=password), "0600", owner)


def _pinned() -> list[str]:
    """Return the requirements of the application with the versions that the lock file names."""
    pinned = {}
    for line in (REQUIREMENTS / "dev.lock").read_text().splitlines():
        requirement, dummy, marker = line.split("#")[0].partition(";")
        name, dummy, version = requirement.strip().partition("==")
        if name in DISTRIBUTIONS and _fits(marker):
            pinned[name] = version
    missing = sorted(set(DISTRIBUTIONS) - set(pinned))
    if missing:
        raise LabError(f"requirements/dev.lock pins no {', '.join(missing)} for Python {image.PYTHON}: run make lock")
    return [f"{name}=={pinned[name]}" for name in DISTRIBUTIONS]


def _fits(marker: str) -> bool:
    """Return whether a marker of the lock file holds for the image's Python; only its bounds on Python matter."""
    ours = [int(part) for part in image.PYTHON.split(".")]
    for bound, version in re.findall(r"python_(?:full_)?version\s*(<|>=)\s*'([\d.]+)'", marker):
        theirs = [int(part) for part in version.split(".")]
        if (ours < theirs) != (bound == "<"):
            return False
    return True
