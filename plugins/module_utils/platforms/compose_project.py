# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One Compose project: its files, what `docker compose config` makes of them, and `docker compose` itself."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.deadline import Deadline
from ..core.errors import InvalidInput, NotFound, RollbackError
from ..core.files import read_bytes
from ..core.process import Finished
from . import env_file
from .compose_env import Project, Sources
from .docker import Docker
from .edits import read_if_there

#: the names that Compose looks for, and those of the file that is laid over it
FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = tuple(name.replace(".y", ".override.y") for name in FILES)
#: parts of a service that bind it to the very container of another one
_BOUND = ("network_mode", "ipc", "pid")


class ComposeProject:
    """One project on one engine. Paths that are not absolute are below ``folder``."""

    def __init__(
        self,
        docker: Docker,
        folder: str,
        *,
        name: str | None,
        files: Sequence[str],
        env_files: Sequence[str],
        profiles: Sequence[str],
        where: str,
    ) -> None:
        self.docker = docker
        self.folder = os.path.abspath(folder)
        self.given_name = name
        self.given_files = [self._path(path) for path in files]
        self.given_env_files = [self._path(path) for path in env_files]
        self.profiles = list(profiles)
        self.where = where
        self._name = name or ""
        self._config: dict[str, Any] = {}

    def _path(self, path: str) -> str:
        return os.path.normpath(os.path.join(self.folder, path))

    def same_as(self, other: ComposeProject) -> bool:
        """Return whether both are one project."""
        mine, theirs = (
            (os.path.realpath(one.folder), one.given_name, one.given_files, one.docker.argv) for one in (self, other)
        )
        return mine == theirs

    # --- files -----------------------------------------------------------------------------------------------------

    def files(self) -> list[str]:
        """Return the project's files in the order in which they are laid over each other.

        Raises NotFound when there is none.
        """
        if self.given_files:
            return self.given_files
        listed = os.environ.get("COMPOSE_FILE") or self._variable("COMPOSE_FILE")
        if listed:
            return [self._path(path) for path in listed.split(os.environ.get("COMPOSE_PATH_SEPARATOR") or os.pathsep)]
        found = [self._first(FILES), self._first(OVERRIDES)]
        if not found[0]:
            raise NotFound(
                "there is no Compose file in the folder",
                where=f"{self.where}, {self.folder}",
                hint="Check project_src, or give files.",
            )
        return [path for path in found if path]

    def _first(self, names: Sequence[str]) -> str:
        paths = (os.path.join(self.folder, name) for name in names)
        return next((path for path in paths if os.path.exists(path)), "")

    def env_files(self) -> list[str]:
        """Return the env files that the project's files are interpolated from; those that exist."""
        if self.given_env_files:
            return self.given_env_files
        path = os.path.join(self.folder, ".env")
        return [path] if os.path.exists(path) else []

    def _variable(self, name: str) -> str:
        value = ""
        for path in self.env_files():
            item = env_file.read(read_bytes(path), name, env_file.DOTENV, path)
            value = item.value if item else value
        return value

    def described(self, instead: Mapping[str, bytes] | None = None) -> Project:
        """Return what the files say; ``instead`` has the content that some of them would have."""
        instead = instead or {}

        def content(path: str) -> bytes:
            return instead[path] if path in instead else read_bytes(path)

        return Project(
            Sources(
                files=[(path, content(path)) for path in self.files()],
                env_files=[(path, content(path)) for path in [*self.env_files(), *self._new_env_file(instead)]],
                shell=os.environ,
                folder=self.folder,
                read=lambda path: instead[path] if path in instead else read_if_there(path),
            )
        )

    def _new_env_file(self, instead: Mapping[str, bytes]) -> list[str]:
        path = os.path.join(self.folder, ".env")
        return [path] if path in instead and not self.env_files() else []

    # --- docker compose --------------------------------------------------------------------------------------------

    def run(
        self, *words: str, deadline: Deadline | None = None, profiles: Sequence[str] = (), again: bool = True
    ) -> Finished:
        """Run a command of `docker compose` on this project; raises as Docker.run."""
        if not os.path.isdir(self.folder):
            raise NotFound("the folder does not exist", where=f"{self.where}, {self.folder}", hint="Check project_src.")
        argv = [*self._argv(), *(word for one in profiles or self.profiles for word in ("--profile", one))]
        return self.docker.run("compose", *argv, *words, deadline=deadline, folder=self.folder, again=again)

    def _argv(self) -> list[str]:
        argv = ["--project-directory", self.folder]
        argv += [word for path in self.files() for word in ("--file", path)]
        argv += [word for path in self.given_env_files for word in ("--env-file", path)]
        return [*argv, *(["--project-name", self.given_name] if self.given_name else [])]

    def key(self) -> str:
        """Return what tells this project, with the way it is called, from others."""
        return "\0".join([*self.docker.argv, *self._argv()])

    def config(self) -> dict[str, Any]:
        """Return what Compose makes of the files, services of every profile included."""
        config = self.docker.together(["config", *self._argv(), *self.profiles], self._asked)
        self._name = str(config.get("name") or self._name)
        self._config = config
        return config

    def _asked(self) -> dict[str, Any]:
        try:
            told = self.run("config", "--format", "json", profiles=["*"])
        except RollbackError:
            # a profile that is not in use may be broken; what is in use may not
            told = self.run("config", "--format", "json")
        config: dict[str, Any] = json.loads(told.stdout)
        return config

    def image(self, service: str) -> str:
        """Return the image that a new container of the service is made from, as Compose was last asked."""
        config = self._config or self.config()
        return str(config["services"][service].get("image") or f"{self._name}-{service}")

    def name(self) -> str:
        """Return the project's name: the one given, or the one that Compose gives it."""
        if not self._name:
            self.config()
        return self._name


def environment(config: Mapping[str, Any], service: str, where: str) -> dict[str, str | None]:
    """Return the environment that Compose gives a service; raises InvalidInput when there is no such service."""
    services = config.get("services") or {}
    if service not in services:
        raise InvalidInput(
            f"the project has no service '{service}'",
            where=where,
            hint=f"Its services are: {', '.join(sorted(services)) or 'none'}.",
        )
    found = services[service].get("environment") or {}
    return {name: None if value is None else str(value).replace("$$", "$") for name, value in found.items()}


def other_files(made_from: Sequence[str], files: Sequence[str]) -> bool:
    """Return whether containers were made from other files than these; of one that is not here, the name counts."""
    here = [os.path.realpath(path) for path in files]
    there = [os.path.realpath(path) if os.path.exists(path) else path for path in made_from]
    if all(map(os.path.exists, there)):
        return bool(there) and here != there
    return [os.path.basename(path) for path in here] != [os.path.basename(path) for path in there]


def bound_to(config: Mapping[str, Any], service: str) -> list[str]:
    """Return the services that live in the very container of this one and break when it is replaced."""
    found = []
    for name, one in (config.get("services") or {}).items():
        shared = [str(one.get(part) or "") for part in _BOUND] + [str(path) for path in one.get("volumes_from") or []]
        inside = any(text == f"service:{service}" or text.split(":")[0] == service for text in shared)
        if name != service and inside:
            found.append(name)
    return sorted(found)


def others_changed(before: Mapping[str, Any], after: Mapping[str, Any], allowed: set[str]) -> list[str]:
    """Return the services, besides those allowed to, of which Compose makes something else than before."""
    was, now = before.get("services") or {}, after.get("services") or {}
    return sorted(name for name in {*was, *now} - allowed if was.get(name) != now.get(name))
