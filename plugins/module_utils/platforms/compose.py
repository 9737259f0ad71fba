# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform compose: one service of a Docker Compose project, and every process in its containers.

A container's environment is fixed when it is made, so new values take a new container: `docker compose restart` and a
signal change nothing. Only the containers of this service are replaced.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..core.booleans import BooleanWords
from ..core.deadline import Deadline
from ..core.errors import InvalidInput, NotFound, Refused, RollbackError
from ..core.process import Finished
from . import compose_env, compose_reach, edits
from .base import Carrier, Change, Declared, Instance, Platform, Stopped
from .compose_checks import require_agreement, require_meant, require_same_files, require_same_image
from .compose_containers import PROJECT, Container, container_of, processes
from .compose_declare import Wish, declare
from .compose_env import Place, Project
from .compose_project import ComposeProject, bound_to, environment
from .compose_roll import Roll, lines_since
from .docker import Docker
from .inside import Held
from .memory import Memory, runtime_folder
from .settings import Settings

RECREATE = "recreate"


class ComposePlatform(Platform):
    """One service. The first process of each container leads; the others in it are workers."""

    declares_beside_others = True
    OPTIONS = {
        "project_src": "folder of the project",
        "project_name": "name of the project; Compose's own when not given",
        "files": "Compose files, relative to the folder, in the order in which they are laid over each other",
        "env_files": "files that the Compose files are interpolated from, instead of .env",
        "profiles": "profiles to use",
        "service": "the service",
        "shared_with": "services that take their value from the same place and may change with it",
        "env_file": "which of the service's env_file gets a flag that is declared nowhere yet",
        "docker_cli": "the docker client",
        "docker_host": "address of the engine",
        "roll": "ways to make new values live: recreate is the only one",
        "instance_match": "regular expression of the command lines that count as instances",
        "stable_for": "seconds that a started container must live",
        "wait_timeout": "seconds until started containers run and are healthy",
        "may_be_stopped": "whether a workload that does not run is no failure",
    }

    def __init__(self, name: str, options: Mapping[str, Any], words: BooleanWords | None = None) -> None:
        super().__init__(name, options, words)
        ask = Settings(name, options, self.OPTIONS)
        self.service = ask.text("service")
        self.where = f"workload '{name}', service {self.service}"
        self.docker = Docker(ask.text("docker_cli", "docker"), ask.optional("docker_host"), self.where)
        self.project = ComposeProject(
            self.docker,
            ask.text("project_src"),
            name=ask.optional("project_name"),
            files=ask.texts("files"),
            env_files=ask.texts("env_files"),
            profiles=ask.texts("profiles"),
            where=self.where,
        )
        ask.listed("roll", [RECREATE], (RECREATE,))
        self.shared_with = ask.texts("shared_with")
        self.env_file = ask.optional("env_file")
        self.instance_match = ask.pattern("instance_match")
        self.stable_for = ask.seconds("stable_for", 1.0) or 0.0
        self.wait_timeout = ask.seconds("wait_timeout", 60.0) or 0.0
        self.may_be_stopped = ask.boolean("may_be_stopped", False)
        self._engine = ""
        self._held: dict[str, tuple[Container, Held]] = {}

    def meet(self, others: Iterable[Platform]) -> None:
        """Learn of the others, and have the engine asked once for all services."""
        super().meet(others)
        self.docker.among_others = any(isinstance(one, ComposePlatform) for one in self.beside)

    def identity(self) -> dict[str, Any]:
        """Return host name, machine id, the engine's id, project and service."""
        machine = ""
        with contextlib.suppress(OSError), open("/etc/machine-id", encoding="ascii") as stream:
            machine = stream.read().strip()
        self._engine = self._engine or self.docker.engine()
        return {
            "hostname": socket.gethostname(),
            "machine_id": machine,
            "docker_engine": self._engine,
            "project": self.project.name(),
            "service": self.service,
        }

    def touches(self) -> set[str]:
        """Return the project and its files: two changes of one project run one after the other."""
        project = self._project()
        described = self.project.described()
        named = [*described.other_files(), *described.env_files(self.service)]
        files = {os.path.realpath(path) for path in [*self.project.files(), *self.project.env_files(), *named]}
        return {project} | {f"file {one}" for one in files}

    def _project(self) -> str:
        facts = self.identity()
        return f"project {facts['project']} of engine {facts['docker_engine']}"

    @property
    def may_change(self) -> set[str]:
        """The services of the project that the inventory lists, or allows to change with this one."""
        listed = (one for one in self.beside if isinstance(one, ComposePlatform))
        return {self.service, *self.shared_with, *(one.service for one in listed if self.project.same_as(one.project))}

    # --- what is declared ------------------------------------------------------------------------------------------

    def declared(self, flags: Sequence[str]) -> dict[str, Declared]:
        """Return the values that Compose would give a new container, and where the files say so."""
        held = environment(self.project.config(), self.service, self.where)
        project = self.project.described()
        return {flag: self._declared(flag, held.get(flag), project.places(self.service, flag)) for flag in flags}

    def _declared(self, flag: str, value: str | None, places: Sequence[Place]) -> Declared:
        if not places:
            return Declared(value, self.project.files()[-1])
        return Declared(value, str(places[-1]), tuple(str(one) for one in places[:-1]))

    def plan(self, flags: Mapping[str, str]) -> list[Change]:
        """Return the edits of the files that give these flags.

        Raises Refused when a service that is not listed would change too, and InvalidInput when a value can't be
        edited, or when Compose reads the files otherwise than we do.
        """
        changes = self._planned(flags, self.project.config(), {})
        if changes:
            self._require_nothing_deployed()
        return changes

    def _require_nothing_deployed(self) -> None:
        """Raise Refused when new containers would differ from those that run in more than the flags."""
        containers = self.containers()
        require_same_files(containers, self.project.files(), self.where)
        if any(one.running for one in containers):
            reference = self.project.image(self.service)
            require_same_image(containers, reference, self.docker.image(reference), self.where)

    def _planned(self, flags: Mapping[str, str], config: Mapping[str, Any], after: dict[str, bytes]) -> list[Change]:
        """Return the edits; ``after`` is what the files hold by those of other workloads, and gets these too."""
        bound = [name for name in bound_to(config, self.service) if name not in self.may_change]
        if flags and bound:
            raise Refused(
                f"{', '.join(bound)} lives in the network or volumes of this service's container and would break when "
                "it is replaced; nothing was changed",
                where=self.where,
                hint=f"List {', '.join(bound)} as a workload too.",
            )
        project = self.project.described()
        held = environment(config, self.service, self.where)
        before: dict[str, bytes | None] = {}
        touched: dict[str, list[str]] = {}
        for flag, value in flags.items():
            places = project.places(self.service, flag)
            require_agreement(flag, held.get(flag), places, self.project.files(), self.where)
            path, content = self._edited(self.project.described(after), flag, value, after)
            now = after[path] if path in after else edits.read_if_there(path)
            before.setdefault(path, now)
            if content != now:
                touched.setdefault(path, []).append(flag)
                after[path] = content
        self._require_read_back(flags, after)
        return [
            edits.change_of(
                edits.FileEdit(path, before[path], after[path]),
                {flag: held.get(flag) for flag in names},
                {flag: flags[flag] for flag in names},
            )
            for path, names in touched.items()
        ]

    def _edited(self, project: Project, flag: str, value: str, after: Mapping[str, bytes]) -> tuple[str, bytes]:
        """Return the file that gives a flag its value, and its content with the new one."""
        places = project.places(self.service, flag)
        if places:
            place = places[-1]
            self._require_ours(flag, place, project.sharing(place))
            return place.path, compose_env.replaced(self._content(place.path, after), place, value)
        own = project.env_files(self.service)
        named = os.path.normpath(os.path.join(self.project.folder, self.env_file)) if self.env_file else ""
        if named and named not in own:
            raise InvalidInput(
                f"the option 'env_file' is no env_file of the service: '{self.env_file}'",
                where=self.where,
                hint=f"Its files are: {', '.join(own) or 'none'}.",
            )
        insertions = project.insertions(self.service)
        if insertions and not named:
            into = insertions[0]
            changed = compose_env.inserted(self._content(into.path, after), into, flag, value)
            told = self.project.described({**after, into.path: changed})
            added = told.places(self.service, flag)
            if added:
                self._require_ours(flag, added[-1], told.sharing(added[-1]))
            return into.path, changed
        path = named or (own[-1] if own else "")
        if not path:
            raise InvalidInput(
                f"{flag} is declared nowhere, and the service has neither an environment nor an env_file to add it to",
                where=f"{self.where}, {self.project.files()[-1]}",
                hint=f'Give it: environment: {{{flag}: "{value}"}}.',
            )
        place = Place(compose_env.ENV_FILE, path, 0, None, flag)
        sharing = [(one, flag) for one in project.services if path in project.env_files(one)]
        self._require_ours(flag, place, [pair for pair in sharing if not project.places(pair[0], flag)])
        return path, compose_env.replaced(self._content(path, after), place, value)

    def _content(self, path: str, after: Mapping[str, bytes]) -> bytes:
        return after[path] if path in after else edits.read_if_there(path) or b""

    def _require_ours(self, flag: str, place: Place, sharing: Sequence[tuple[str, str]]) -> None:
        """Raise Refused when somebody else than the listed services gets the value of this place."""
        others = [(name, key) for name, key in sharing if key != flag or name not in self.may_change]
        if others:
            told = [name if key == flag else f"{name} (as {key})" for name, key in others]
            names = sorted({name for name, dummy in others})
            raise Refused(
                f"{flag} comes from a place that {', '.join(sorted(told))} shares, which would change too; "
                "nothing was changed",
                where=f"{self.where}, {place}",
                hint=f"List {', '.join(names)} as a workload too, allow it by shared_with, or give '{self.service}' a "
                "value of its own under environment.",
            )

    def _require_read_back(self, flags: Mapping[str, str], after: Mapping[str, bytes]) -> None:
        project = self.project.described(after)
        for flag, value in flags.items():
            places = project.places(self.service, flag)
            if not places or places[-1].value != value:
                where = f"{self.where}, {places[-1] if places else flag}"
                raise InvalidInput(
                    f"{flag} can't be set without touching its neighbours", where=where, hint="Edit it by hand."
                )

    def declare(self, flags: Mapping[str, str]) -> list[Change]:
        """Write the files, and take them back when Compose then makes something else of them than was meant."""

        def meant(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
            require_meant(flags, self.service, before, after, self.may_change, self.where)

        return declare(Wish(self.project, lambda config, after: self._planned(flags, config, after), meant))

    def undeclare(self, changes: Sequence[Change]) -> None:
        """Put the files' former bytes back."""
        edits.take_back(changes)

    # --- what runs -------------------------------------------------------------------------------------------------

    def containers(self) -> list[Container]:
        """Return the service's containers, one-off ones and those that do not run included."""
        # those of all services, so that workloads of one project can share the answer
        found = map(container_of, self.docker.containers({PROJECT: self.project.name()}))
        return sorted((one for one in found if one.service == self.service), key=lambda one: (one.one_off, one.name))

    def instances(self) -> list[Instance]:
        """Return every process of every running container, those only whose command line ``instance_match`` finds."""
        running = [one for one in self.containers() if one.running]
        held = processes(running, self.docker)
        now: dict[str, tuple[Container, Held]] = {}
        found: list[Instance] = []
        for container in running:
            mine = held[container.id]
            if self.instance_match:
                mine = [one for one in mine if self.instance_match.search(one.command)]
            for one in mine:
                role = "main" if len(mine) == 1 else "master" if one is mine[0] else "worker"
                key = f"{container.id[:12]}:{one.pid}:{one.started}"
                now[key] = (container, one)
                found.append(Instance(key, f"{container.name} {role} {one.pid}", one.started_at, role))
        self._held = now  # at once: probes ask for instances and act on them at the same time
        return found

    def interrupted(self) -> bool:
        """Return whether a container was made and never started: what is left when a roll is killed halfway."""
        return any(one.status == "created" for one in self.containers() if not one.one_off)

    def effective(self, instance: Instance, flags: Sequence[str]) -> dict[str, str | None]:
        """Return what stands in the environment of the process, as it was read when it was listed."""
        environ = self._found(instance)[1].environ or {}
        return {flag: environ.get(flag) for flag in flags}

    def _found(self, instance: Instance) -> tuple[Container, Held]:
        if instance.id not in self._held:
            raise NotFound("the process is gone", where=f"{self.where}, {instance.name}")
        return self._held[instance.id]

    def reach(self) -> str:
        """Return the project and its engine: all containers of it are looked through."""
        with contextlib.suppress(RollbackError):
            return self._project()
        return ""

    def carriers(self, flags: Sequence[str]) -> list[Carrier]:
        """Return the containers of the project that hold one of the flags, whichever service they are of."""
        return compose_reach.carriers(self.docker, self.project.name(), flags)

    def members(self) -> set[str]:
        """Return the ids of the service's containers, one-off ones included."""
        return {one.id for one in self.containers()}

    def execute(self, instance: Instance, argv: Sequence[str], deadline: Deadline) -> Finished:
        """Run a command in the container of an instance, with its environment, folder and user."""
        container = self._found(instance)[0]
        return self.docker.run("exec", container.id, *argv, deadline=deadline, ok=range(256), again=False)

    # --- roll, stop, start, logs -----------------------------------------------------------------------------------

    def _roller(self) -> Roll:
        return Roll(self.project, self.service, self.containers, self.stable_for, self.wait_timeout, self.where)

    def roll(self, deadline: Deadline, flags: Mapping[str, str]) -> str:
        """Replace the service's containers, as many as there are, and see the new ones run and get healthy."""
        self.docker.until = deadline
        try:
            self._require_nothing_deployed()
            self._roller().recreate(deadline)
        finally:
            self.docker.until = None
        return RECREATE

    def stop(self, deadline: Deadline) -> Stopped:
        """Stop the service's containers; they stay, and their number is written down first."""
        running = [one for one in self.containers() if one.running and not one.one_off]
        state = {"running": bool(running), "containers": len(running)}
        self._memory().keep(state)
        if running:
            self.project.run("stop", self.service, deadline=deadline)
        return Stopped(self.name, state)

    def remembered(self) -> Stopped | None:
        """Return what was written down."""
        state = self._memory().recall()
        return None if state is None else Stopped(self.name, state)

    def start(self, stopped: Stopped, deadline: Deadline) -> None:
        """Start as many containers as ran."""
        if stopped.state.get("running"):
            self._roller().start(int(stopped.state.get("containers") or 1), deadline)
        self._memory().forget()

    def _memory(self) -> Memory:
        name = f"{self.project.name()}.{self.service}"
        return Memory(os.path.join(runtime_folder(), f"dualwrite.{name}.stopped"))

    def logs(self, since: str) -> list[str]:
        """Return what the service's containers wrote since then, in the order of time."""
        return lines_since(self.docker, self.containers(), since)
