"""The reference application as a Compose project; its database is beside it, on a socket of this machine."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from .. import parts
from ..postgres import DATABASE, USER, Postgres, write_secret
from ..served import Served
from ..waiting import LabError, wait_until
from . import images
from .engine import Engine, compose

PROJECT = Path(__file__).parent / "project"
SOCKETS = "/run/postgresql"
ENVIRONMENT = """\
SECRET_KEY='{secret_key}'
API_TOKEN={token}
DELTACROWN_LOG_DIR=/var/log/deltacrown
DATABASE_HOST={sockets}
DATABASE_PORT={port}
DATABASE_NAME={database}
DATABASE_USER={user}
DATABASE_PASSWORD="{password}"
"""


@dataclass(frozen=True)
class ComposeApp(Served):
    """The project in a folder, on an engine; ``up`` makes it."""

    engine: Engine
    folder: Path
    postgres: Postgres
    port: int

    @property
    def url(self) -> str:
        """Where the application answers, without a slash at its end."""
        return f"http://{self.engine.address}:{self.port}"

    def compose(self, *words: str) -> str:
        """Run `docker compose` on the project and return what it said. Raises LabError when it fails."""
        return compose(self.engine, self.folder, *words)

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers."""
        return sorted(self.compose("ps", "--quiet", "--no-trunc", service).split())

    def down(self) -> None:
        """Remove the project's containers and stop the database."""
        self.compose("down", "--timeout", "1", "--volumes")
        self.postgres.stop()


def up(engine: Engine, folder: Path) -> ComposeApp:
    """Start database and application in a new folder and wait until it answers healthy. Raises LabError."""
    image = images.build(engine)
    lab = folder / "database"
    lab.mkdir()
    postgres = Postgres(lab)
    postgres.start(parts.free_port())
    app = ComposeApp(engine, folder, postgres, parts.free_port() if engine.borrowed else 8000)
    _write(app, image)
    app.compose("run", "--rm", "--no-deps", "worker", "python3", "manage.py", "migrate", "--verbosity", "0")
    app.compose("up", "--detach", "--wait")
    try:
        wait_until(app.healthy, "the application to answer healthy", 30)
    except LabError as error:
        raise LabError(f"{error}; it said: {app.compose('logs', '--tail', '15')}") from None
    return app


def _write(app: ComposeApp, image: str) -> None:
    """Write the project as an operator has it: Compose file, .env, an env file with secrets, a folder for logs."""
    shutil.copy(PROJECT / "compose.yaml", app.folder)
    (app.folder / "logs").mkdir()
    token, password = secrets.token_urlsafe(24), app.postgres.password_file.read_text().strip()
    names = {
        "DELTACROWN_PROJECT": f"deltacrown-{secrets.token_hex(4)}",
        "DELTACROWN_IMAGE": image,
        "DELTACROWN_PORT": app.port,
        "DELTACROWN_SOCKETS": app.postgres.socket_dir,
    }
    (app.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in names.items()))
    text = ENVIRONMENT.format(
        secret_key=secrets.token_urlsafe(40),
        token=token,
        sockets=SOCKETS,
        port=app.postgres.port,
        database=DATABASE,
        user=USER,
        password=password,
    )
    write_secret(app.folder / "deltacrown.env", text)
    write_secret(app.token_file, f"{token}\n")
    write_secret(app.password_file, f"*:{app.postgres.port}:{DATABASE}:{USER}:{password}\n")
