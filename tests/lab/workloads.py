"""The two workloads of the lab, as files: the env file, and scripts that start them as an operator would."""

import os
import secrets
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from .postgres import DATABASE, USER, Postgres, write_secret

APP = Path(__file__).resolve().parent / "app"
MATCH = {"web": "deltacrown.wsgi", "worker": "run_worker"}  # in the command line of the workload's processes
ENV_FILE = """\
# DeltaCrown: environment of web and worker. Read when they start.
# Secrets inside: keep the mode at 0600.

SECRET_KEY='{secret_key}'
API_TOKEN="{token}"
WEB_BIND=127.0.0.1:{web_port}
WEB_CONCURRENCY=3
DELTACROWN_LOG_DIR="{log_dir}"

# --- database (a folder is a unix socket)
DATABASE_HOST="{socket_dir}"
DATABASE_PORT={database_port}
DATABASE_NAME={database}
DATABASE_USER={user}
DATABASE_PASSWORD='{password}'

# --- vNext rollout: write both models until the cut-over
TEAM_VNEXT_DUAL_WRITE_ENABLED=true
# a failed dual write is logged, the request goes on
TEAM_VNEXT_DUAL_WRITE_STRICT_MODE="false"
TEAM_VNEXT_LEGACY_WRITE_BLOCKED='false'

# --- mail
EMAIL_HOST=localhost
DEFAULT_FROM_EMAIL="DeltaCrown <no-reply@deltacrown.test>"
"""


@dataclass(frozen=True)
class Paths:
    """Where the parts of one lab lie."""

    dir: Path

    @property
    def env_file(self) -> Path:
        return self.dir / "app.env"

    @property
    def run_dir(self) -> Path:
        return self.dir / "run"

    @property
    def log_dir(self) -> Path:
        return self.dir / "logs"

    @property
    def token_file(self) -> Path:
        return self.dir / "secrets" / "api_token"

    @property
    def unhealthy_file(self) -> Path:
        return self.run_dir / "unhealthy"

    def pidfile(self, workload: str) -> Path:
        """The file that holds the process id of `web`, `worker`, `traffic` or `prometheus`."""
        return self.run_dir / f"{workload}.pid"

    def script(self, name: str) -> Path:
        """The script `start-web`, `start-worker` or `manage`."""
        return self.dir / "bin" / name


def write_env_file(paths: Paths, postgres: Postgres, web_port: int) -> None:
    """Write the application's env file with all flags as they are before any rollback."""
    token = secrets.token_urlsafe(24)
    write_secret(paths.token_file, token + "\n")
    text = ENV_FILE.format(
        secret_key=secrets.token_urlsafe(40),
        token=token,
        web_port=web_port,
        log_dir=paths.log_dir,
        socket_dir=postgres.socket_dir,
        database_port=postgres.port,
        database=DATABASE,
        user=USER,
        password=postgres.password_file.read_text().strip(),
    )
    write_secret(paths.env_file, text)


def write_scripts(paths: Paths, reload: bool, knobs: dict[str, str]) -> None:
    """Write bin/start-web, bin/start-worker and bin/manage: a clean environment, then the application's start.py."""
    environ = {
        "LANG": "C.UTF-8",
        "LAB_MEMBER_OF": str(paths.dir),
        "LAB_RUN_DIR": str(paths.run_dir),
        "LAB_ENV_FILE": str(paths.env_file),
        "LAB_RELOAD": "1" if reload else "0",
        "LAB_UNHEALTHY_FILE": str(paths.unhealthy_file),
        "PROMETHEUS_MULTIPROC_DIR": str(paths.run_dir / "metrics"),
        **knobs,
    }
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in environ.items())
    start = f"{shlex.quote(sys.executable)} {shlex.quote(str(APP / 'start.py'))}"
    for name, workload in (("start-web", "web"), ("start-worker", "worker"), ("manage", "manage")):
        path = paths.script(name)
        path.parent.mkdir(exist_ok=True)
        lines = [
            "#!/bin/sh",
            "# Made by `python -m tests.lab up`.",
            f'exec env -i PATH="$PATH" HOME="${{HOME:-/}}" {settings} {start} {workload} "$@"',
        ]
        aside = path.with_name(path.name + ".new")
        aside.write_text("\n".join(lines) + "\n")
        os.chmod(aside, 0o755)
        aside.replace(path)
