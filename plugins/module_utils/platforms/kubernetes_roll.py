# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make an object's controller replace its pods, or change their number, and watch it to the end."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.deadline import Deadline, wait_until
from ..core.errors import CommandFailed, Conflict, DeadlinePassed, NotFound, RollbackError, Unreachable
from ..core.evidence import utc_now
from ..core.redact import redact_text, secret_values
from . import kubernetes_ready as ready
from .kubernetes_api import Api
from .kubernetes_objects import (
    MEANT,
    OURS,
    ROLL,
    Kind,
    Object,
    containers,
    fingerprint,
    full_name,
    selector_text,
    set_annotation,
    unchanged,
)
from .kubernetes_pods import ending
from .kubernetes_view import View

#: how often a change is tried again when somebody else changes the same object at the same time
TRIES = 8
#: seconds between looks when nothing is told, and to find out whether the API is there
LOOK, ASK = 1.0, 2.0


def new_roll() -> str:
    """Return a name for a roll that no other has."""
    return f"{utc_now()}-{os.urandom(2).hex()}"


class Target:
    """One object, where it is in the API, and its pods."""

    def __init__(self, api: Api, kind: Kind, version: str, namespace: str, name: str) -> None:
        self.api = api
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.collection = kind.path(version, namespace)
        self.path = kind.path(version, namespace, name)
        self.where = full_name(kind.name, namespace, name)

    def get(self, deadline: Deadline | None = None) -> Object:
        """Return the object as it is now."""
        try:
            return self.api.get(self.path, deadline)
        except NotFound as error:
            raise NotFound("it does not exist", where=self.where) from error

    def change(self, operations: Callable[[Object], list[Object]], deadline: Deadline | None = None) -> Object:
        """Patch the object by what ``operations`` makes of it as it is, and return it; raises Conflict at last."""
        for number in range(TRIES):
            thing = self.get(deadline)
            todo = operations(thing)
            if not todo:
                return thing
            try:
                return dict(self.api.patch(self.path, [unchanged(thing), *todo], deadline))
            except Conflict as error:
                last = error
                if self.get(deadline)["metadata"]["resourceVersion"] == thing["metadata"]["resourceVersion"]:
                    raise  # nobody was faster: the object itself is not accepted so
                time.sleep(0.05 * number)
        raise Conflict(f"others change it all the time: {last.what}", where=self.where, hint="Run it again.")

    def rolling(self, thing: Object, operations: list[Object], roll: str) -> list[Object]:
        """Return ``operations`` of a template with what begins a roll of that name; empty ends it with the old one."""
        template = self.kind.pod_template(thing)
        done = [*operations, *set_annotation(template, self.kind.pointer(), ROLL, roll or None)]
        # the change of a specification makes the next generation, and `unchanged` sees to it that ours does
        next_one = int(thing["metadata"].get("generation") or 0) + 1
        return [*done, *set_annotation(thing, "", MEANT, str(next_one))]

    def bump(self, deadline: Deadline) -> None:
        """Begin a roll to the template as it is: what the pods take from elsewhere is read anew."""
        roll = new_roll()
        self.change(lambda thing: self.rolling(thing, [], roll), deadline)

    def pods(self, thing: Mapping[str, Any]) -> list[Object]:
        """Return the pods that the object's selector finds."""
        selector = selector_text(thing["spec"].get("selector") or {})
        return self.api.items(f"/api/v1/namespaces/{self.namespace}/pods", labelSelector=selector)

    # --- waiting ---------------------------------------------------------------------------------------------------

    def wait(self, deadline: Deadline, patience: float, stable_for: float | None) -> None:
        """Wait until every pod is of the present template and available, and no other is left.

        Raises CommandFailed with the platform's reason when new pods don't get ready, DeadlinePassed when only old
        ones stay, Conflict when the template is changed in mid-roll, Unreachable when the API stays away.
        """
        thing = self.get(deadline)
        meant = fingerprint(self.kind.pod_template(thing))
        limit = deadline.within(patience)
        changed = threading.Event()
        selector = selector_text(thing["spec"].get("selector") or {})
        pods = View(self.api, f"/api/v1/namespaces/{self.namespace}/pods", changed, labelSelector=selector)
        objects = View(self.api, self.collection, changed, fieldSelector=f"metadata.name={self.name}")
        since: dict[tuple[str, int], float] = {}

        def settled() -> bool:
            changed.clear()
            for view in (pods, objects):
                if not view.listed or view.error:
                    return False
            found = objects.objects()
            if not found:
                raise CommandFailed("the workload did not start: its object was deleted in mid-roll", where=self.where)
            now = found[0]
            if fingerprint(self.kind.pod_template(now)) != meant:
                raise self._changed_by_others(now)
            state = ready.state(self.kind, now, pods.objects())
            self._give_up_where_hopeless(state)
            self._unblock(state)
            moment = time.monotonic()
            keys = [(one["metadata"]["uid"], ready.restarts(one)) for one in state.new]
            for key in keys:
                since.setdefault(key, moment)
            return state.done and all(moment - since[key] >= self._stable(now, stable_for) for key in keys)

        def pause(seconds: float) -> None:
            changed.wait(seconds)

        with pods, objects:
            try:
                wait_until(settled, limit, what="the roll", first_pause=0.1, longest_pause=LOOK, watch=pause)
            except DeadlinePassed as error:
                raise self._late(limit, [pods, objects]) from error

    def _stable(self, thing: Object, given: float | None) -> float:
        """Return the seconds that pods must live: none where a readiness probe speaks for every container."""
        if given is not None:
            return given
        every = self.kind.pod_template(thing).get("spec", {}).get("containers") or []
        return 0.0 if all(one.get("readinessProbe") for one in every) else 1.0

    def _changed_by_others(self, thing: Object) -> Conflict:
        entries = thing["metadata"].get("managedFields") or []
        entries = sorted(entries, key=lambda one: one.get("time") or "")
        who = [str(one.get("manager")) for one in entries if "f:spec" in (one.get("fieldsV1") or {})]
        who = [one for one in who if one != OURS]
        by = f" (the last field manager is '{who[-1]}')" if who else ""
        return Conflict(
            f"its pod template was changed by somebody else in mid-roll{by}",
            where=self.where,
            hint="Stop what brings the old values back (a deployment, GitOps), then run the same command again.",
        )

    def _give_up_where_hopeless(self, state: ready.State) -> None:
        for pod in state.new:
            one = ready.trouble(pod)
            if one and one.hopeless:
                raise self._not_started(one, pod, "")

    def _unblock(self, state: ready.State) -> None:
        """Delete broken pods of a former template: a StatefulSet's controller waits for them for ever."""
        if self.kind.name != "StatefulSet":
            return
        for pod in state.old:
            one = ready.trouble(pod)
            if one and one.hopeless and not ending(pod):
                with contextlib.suppress(NotFound):
                    self.api.delete(f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}")

    def _late(self, limit: Deadline, views: Sequence[View]) -> RollbackError:
        """Return the error for what is not so when the time is over."""
        away = next((view.error for view in views if view.error), None)
        try:
            self.get(Deadline(ASK))
        except Unreachable as error:
            away = error  # what the views hold is old
        except RollbackError:
            pass
        if away is not None:
            hint = "The change is declared; run the same command again when the API answers."
            return Unreachable(f"{away.what}; how the roll goes on is not known", where=self.where, hint=hint)
        things = views[1].objects()
        if not things:
            return Unreachable("the API told nothing of it in time", where=self.where)
        now = ready.state(self.kind, things[0], views[0].objects())
        after = f"after {limit.seconds:.0f} s"
        troubles = [(one, pod) for pod in now.new if (one := ready.trouble(pod))]
        good = len(now.new) - len(troubles)
        if troubles:
            count = f"{good} of {now.wanted} new pods are ready {after}"
            return self._not_started(troubles[0][0], troubles[0][1], count, [one for one, dummy in troubles])
        if good < now.wanted:
            why = ready.failed_to_create(things[0])
            told = f"{good} of {now.wanted} new pods are there {after}" + (f": {why}" if why else "")
            return CommandFailed(f"the workload did not start: {told}{self._events()}", where=self.where)
        if now.old:
            names = [f"{one['metadata']['name']} on {one['spec'].get('nodeName', 'no node')}" for one in now.old]
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            return DeadlinePassed(
                f"{len(names)} of the old pods still run {after}: {', '.join(names[:3])}{more}",
                where=self.where,
                hint="They hold the old values until they end: see what they wait for, or whether their node is lost.",
            )
        return CommandFailed(f"the workload did not start: it is not available {after}", where=self.where)

    def _not_started(
        self, first: ready.Trouble, pod: Object, count: str, every: Sequence[ready.Trouble] = ()
    ) -> CommandFailed:
        more = [one.pod for one in every if one is not first]
        told = f"{first.pod}: {first.text}"
        if more:
            told += f"; not ready either: {', '.join(more[:4])}" + (f" and {len(more) - 4} more" if more[4:] else "")
        said = self._last_words(pod, first)
        count = f"{count}: " if count else ""
        return CommandFailed(f"the workload did not start: {count}{told}{said}{self._events()}", where=self.where)

    def _last_words(self, pod: Object, trouble: ready.Trouble) -> str:
        """Return the last lines of a container that ended, redacted; empty when there are none."""
        if not trouble.ran:
            return ""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}/log"
        text = ""
        for previous in (None, "true"):
            with contextlib.suppress(RollbackError):
                text = text or self.api.text(path, container=trouble.container, tailLines=20, previous=previous)
        environ = {
            entry["name"]: str(entry.get("value") or "")
            for dummy, index, one in containers(pod["spec"])
            for entry in one.get("env") or []
        }
        lines = redact_text(text[-2000:], secret_values(environ)).splitlines()
        lines = [line.strip() for line in lines if line.strip()][-3:]
        return f"; it said: {' | '.join(lines)}" if lines else ""

    def _events(self) -> str:
        path = f"/api/v1/namespaces/{self.namespace}/events"
        told: list[str] = []
        with contextlib.suppress(RollbackError):
            told = ready.own_events(self.api.items(path, fieldSelector="type=Warning"), self.name)
        return f"; events: {redact_text('; '.join(told))}" if told else ""
