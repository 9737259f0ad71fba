# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replace the containers of one service and see the new ones live; nothing else of the project is touched."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..core.deadline import Deadline, wait_until
from ..core.errors import CommandFailed, DeadlinePassed, RollbackError, Unreachable, VerificationFailed
from ..core.redact import redact_text, secret_values
from .compose_containers import PROJECT, Container, container_of
from .compose_project import ComposeProject
from .compose_turns import Wish, alone, asked, fulfil
from .docker import Docker

#: how Compose names a container until the one that it replaces is gone
_ASIDE = re.compile(r"[0-9a-f]{12}_")
#: what never starts anything else than the services that are named, and never another image
_ONLY = ("--detach", "--no-deps", "--no-build", "--pull", "never")


class Roll:
    """One change of a service's containers; ``containers`` lists them as they are now."""

    def __init__(
        self,
        project: ComposeProject,
        service: str,
        containers: Callable[[], list[Container]],
        stable_for: float,
        wait_timeout: float,
        where: str,
    ) -> None:
        self.project = project
        self.docker: Docker = project.docker
        self.service = service
        self.containers = containers
        self.stable_for = stable_for
        self.wait_timeout = wait_timeout
        self.where = where

    def _own(self) -> list[Container]:
        return [one for one in self.containers() if not one.one_off]

    def recreate(self, deadline: Deadline) -> None:
        """Replace the containers by as many new ones, and wait until those live and the old ones are gone.

        Raises CommandFailed with the last log lines when one does not start or gets unhealthy, DeadlinePassed when
        old ones stay, VerificationFailed when a container of another service was replaced.
        """
        wish = Wish(self.service)
        with asked(self.project.key(), wish):
            before = self._own()
            number = len({one.number for one in before})
            lost: list[str] = []
            fulfil(self.project.key(), wish, number, lambda wishes: lost.extend(self._replace(wishes, deadline)))
        if lost:
            raise VerificationFailed(
                f"containers of other services were replaced: {', '.join(sorted(lost))}",
                where=self.where,
                hint="Look at them: they may hold other values than before.",
            )
        self._wait({one.id for one in before}, number, deadline)

    def _replace(self, wishes: Sequence[Wish], deadline: Deadline) -> list[str]:
        """Replace the containers of several services; return the names of others that are gone since."""
        numbers = {one.service: one.number or 0 for one in wishes}
        before = self._others(numbers)
        self._up(deadline, numbers, "--force-recreate")
        return [name for dummy, name in before - self._others(numbers)]

    def start(self, number: int, deadline: Deadline) -> None:
        """Start containers until ``number`` run, and wait until they live."""
        self._begin(number, deadline)
        self._wait(set(), number, deadline)

    def _begin(self, number: int, deadline: Deadline) -> None:
        with alone(self.project.key()):
            self._up(deadline, {self.service: number}, "--no-recreate")

    def _up(self, deadline: Deadline, numbers: Mapping[str, int], *more: str) -> None:
        # without its number a service that was scaled by hand would fall back to what the files say
        scale = [word for name, number in numbers.items() if number for word in ("--scale", f"{name}={number}")]
        while True:
            self._remove_left_behind(numbers)
            try:
                self.project.run("up", *_ONLY, *more, *scale, *numbers, deadline=deadline, again=False)
                return
            except Unreachable:
                if deadline.passed():
                    raise
                self.docker.run("info", "--format", "{{.ID}}", deadline=deadline)
            except CommandFailed as error:
                raise CommandFailed(f"the workload did not start: {error.what}", where=self.where) from error

    def _remove_left_behind(self, services: Iterable[str]) -> None:
        """Remove what a recreate that was broken off has made and never started: Compose would trip over its name."""
        made = [one for one in self._all() if one.status == "created" and one.service in services]
        left = [one.id for one in made if _ASIDE.match(one.name)]
        if left:
            self.docker.run("rm", "--force", *left, ok=(0, 1))

    def _all(self) -> list[Container]:
        told = map(container_of, self.docker.containers({PROJECT: self.project.name()}))
        return [one for one in told if not one.one_off]

    def _others(self, services: Iterable[str]) -> set[tuple[str, str]]:
        return {(one.id, one.name) for one in self._all() if one.service not in services}

    def _wait(self, old: set[str], number: int, deadline: Deadline) -> None:
        """Wait until ``number`` containers that are not ``old`` live, and no old one runs."""
        patience = deadline.within(self.wait_timeout)
        away = self.docker.times_away
        since: dict[str, float] = {}

        def settled() -> bool:
            nonlocal away
            now = self._own()
            if self.docker.times_away != away:
                # an engine that was restarted starts only what has a restart policy
                away = self.docker.times_away
                self._begin(number, deadline)
                return False
            fresh = [one for one in now if one.id not in old]
            for one in fresh:
                if one.failed():
                    raise self.not_started(one, one.failed())
            left = [one for one in now if one.id in old and one.running]
            moment = time.monotonic()
            for one in fresh:
                since[one.id] = since.get(one.id, moment) if one.live else moment
            stable = [one for one in fresh if one.live and moment - since[one.id] >= self.stable_for]
            return not left and len(stable) == len(fresh) and len(stable) >= max(number, 1)

        try:
            wait_until(settled, patience, what="the start")
        except DeadlinePassed as error:
            raise self._late(old, patience) from error

    def _late(self, old: set[str], patience: Deadline) -> RollbackError:
        """Return the error for what is not so when the time is over."""
        now = self._own()
        left = [one.name for one in now if one.id in old and one.running]
        if left:
            return DeadlinePassed(
                f"{', '.join(left)} still ran after {patience.seconds:.0f} s",
                where=self.where,
                hint="See what it waits for; it holds the old values.",
            )
        for one in now:
            if not one.live:
                state = f"{one.status}, {one.health}" if one.health else one.status
                return self.not_started(one, f"its container {one.name} is {state} after {patience.seconds:.0f} s")
        return CommandFailed(f"the workload did not start within {patience.seconds:.0f} s", where=self.where)

    def not_started(self, container: Container, reason: str) -> CommandFailed:
        """Return the error for a container that does not live, with its last words, redacted."""
        done = self.docker.run("logs", "--tail", "20", container.id, ok=(0, 1))
        known = secret_values(container.environ)
        said = redact_text("\n".join([done.stdout, done.stderr]), known)[-2000:]
        lines = [line.strip() for line in said.splitlines() if line.strip()][-3:]
        told = f"; it said: {' | '.join(lines)}" if lines else ""
        return CommandFailed(f"the workload did not start: {reason}{told}", where=self.where)


def lines_since(docker: Docker, containers: Sequence[Container], since: str) -> list[str]:
    """Return the lines that these containers wrote since an ISO 8601 time, in the order of time."""
    found: list[tuple[str, str]] = []
    for one in containers:
        done = docker.run("logs", "--timestamps", "--since", since, one.id, ok=(0, 1))
        for line in (done.stdout + done.stderr).splitlines():
            moment, dummy, text = line.partition(" ")
            found.append((moment, text))
    return [text for dummy, text in sorted(found, key=lambda pair: pair[0])]
