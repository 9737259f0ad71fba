# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform kubernetes: Deployments, StatefulSets, DaemonSets and CronJobs, and every process in their pods.

A flag is changed where its value comes from (env, ConfigMap, Secret), and the pods are replaced once. What a pod's
specification says is no evidence: the processes are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from ..core.booleans import BooleanWords
from ..core.deadline import Deadline
from ..core.errors import InvalidInput, NotFound, RollbackError
from ..core.parallel import of_each
from ..core.process import Finished
from ..core.redact import HIDDEN
from . import kubernetes_guard as guard
from . import kubernetes_plan, kubernetes_rights, kubernetes_scale, kubernetes_unlisted
from .base import Carrier, Change, Declared, Instance, Platform, Stopped
from .kubernetes_api import connect
from .kubernetes_change import Changes, joined, shown
from .kubernetes_env import SECRET
from .kubernetes_jobs import Scheduled
from .kubernetes_namespace import Data, uid_of, version_of
from .kubernetes_objects import KINDS, Object, roll_of
from .kubernetes_pause import Pausing
from .kubernetes_plan import DataEdit
from .kubernetes_pods import Process, called, processes, role_of
from .kubernetes_roll import Target
from .settings import Settings

ROLL = "roll"
V = TypeVar("V")


class KubernetesPlatform(Platform):
    """One object, or all objects of a kind that a label selector finds."""

    declares_beside_others = True

    OPTIONS = {
        "kubeconfig": "path of the kubeconfig; kubectl's own when not given, or the pod's service account",
        "context": "context of the kubeconfig",
        "namespace": "namespace of the object",
        "kind": "Deployment, StatefulSet, DaemonSet or CronJob",
        "name": "name of the object",
        "label_selectors": "labels (key=value) of the objects, instead of a name",
        "containers": "names of the containers that carry the flags; all that declare one when not given",
        "shared_with": "names of objects that take their value from the same place and may change with it",
        "pause_managers": "whether Argo CD and Flux are paused while a flag, or the scale, is not as they declare it",
        "argocd_namespace": "namespace of the Argo CD Applications that keep the objects",
        "override": "whether a flag is put into the pod template where its source must not be edited",
        "roll_over": "whether a roll that somebody else has begun is no obstacle",
        "roll": "ways to make new values live: roll is the only one",
        "instance_match": "regular expression of the command lines that count as instances",
        "stable_for": "seconds that new pods must live; none where every container has a readiness probe, else 1",
        "wait_timeout": "seconds until new pods are available and old ones are gone",
        "may_be_stopped": "whether a workload that does not run is no failure",
    }

    def __init__(self, name: str, options: Mapping[str, Any], words: BooleanWords | None = None) -> None:
        super().__init__(name, options, words)
        ask = Settings(name, options, self.OPTIONS)
        self.where = f"workload '{name}'"
        self.api = connect(ask.optional("kubeconfig"), ask.optional("context"))
        self.namespace = ask.text("namespace")
        self.kind = KINDS[ask.text("kind", "Deployment", one_of=sorted(KINDS))]
        self.object_name = ask.optional("name")
        self.labels = ask.texts("label_selectors")
        if bool(self.object_name) == bool(self.labels):
            raise InvalidInput(
                "it needs either the option 'name' or the option 'label_selectors'",
                where=self.where,
                hint="Give the name of the object, or labels that find the objects.",
            )
        self.only = ask.texts("containers")
        self.shared_with = ask.texts("shared_with")
        self.override = ask.boolean("override", False)
        self.roll_over = ask.boolean("roll_over", False)
        ask.listed("roll", [ROLL], (ROLL,))
        allowed, argocd = ask.boolean("pause_managers", False), ask.optional("argocd_namespace") or ""
        self.pausing = Pausing(self.api, self.words, argocd, allowed=allowed)
        self.instance_match = ask.pattern("instance_match")
        self.stable_for = ask.seconds("stable_for", None)
        self.wait_timeout = ask.seconds("wait_timeout", 600.0) or 0.0
        # between its runs a CronJob has no pod, and that is as it should be
        self.may_be_stopped = ask.boolean("may_be_stopped", not self.kind.rolls)
        self._known: list[str] = []
        self._last: dict[str, str | None] = {}
        self._targets: dict[str, Target] = {}
        self._things: dict[str, Object] = {}
        self._held: dict[str, tuple[str, Process]] = {}
        self._hidden: set[str] = set()
        #: objects whose roll was begun by an edit of the template, and those that we have rolled: to what, from what
        self._begun: set[str] = set()
        self._former: dict[str, str] = {}
        self._notes: list[str] = []

    # --- who it is -------------------------------------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """Return server, namespace (and its UID, and the cluster's, where they may be read), kind and name."""
        told: dict[str, Any] = {"server": self.api.server(), "namespace": self.namespace, "kind": self.kind.name}
        told["name"] = self.object_name or ",".join(self.labels)
        for fact, name in (("namespace_uid", self.namespace), ("cluster_uid", "kube-system")):
            uid = uid_of(self.api, name)
            told.update({fact: uid} if uid else {})
        return told

    def touches(self) -> set[str]:
        """Return the object: two changes of it run one after the other."""
        name = self.object_name or ",".join(self.labels)
        return {f"{self.api.server()} {self.namespace} {self.kind.name}/{name}"}

    def meet(self, others: Iterable[Platform]) -> None:
        """Learn of the other workloads of the call; whoever keeps objects of several is paused once."""
        super().meet(others)
        ours = [self, *(one for one in self.beside if isinstance(one, KubernetesPlatform))]
        self.pausing.shared = min(ours, key=attrgetter("name")).pausing.shared

    def targets(self) -> list[Target]:
        """Return the objects, looked for once; raises NotFound when there is none."""
        if not self._targets:
            version = version_of(self.api, self.kind)
            made = Target if self.kind.rolls else Scheduled
            names = [self.object_name] if self.object_name else self._found(version)
            self._targets = {name: made(self.api, self.kind, version, self.namespace, name) for name in names if name}
        return list(self._targets.values())

    def _found(self, version: str) -> list[str]:
        path = self.kind.path(version, self.namespace)
        names = [one["metadata"]["name"] for one in self.api.items(path, labelSelector=",".join(self.labels))]
        if not names:
            raise NotFound(
                f"no {self.kind.name} in the namespace '{self.namespace}' has the labels {', '.join(self.labels)}",
                where=self.where,
                hint="Check namespace and labels: nothing looked at proves nothing.",
            )
        return names

    def _changes(self, target: Target) -> Changes:
        return Changes(target, self.words, self.only, override=self.override)

    def _each(self, work: Callable[[Target], V]) -> dict[str, V]:
        """Do the same for every object at once, and raise the first error there is."""
        return {one.name: done for one, done in of_each(self.targets(), work).items()}

    def _listed(self, kind: str, thing: Mapping[str, Any]) -> bool:
        """Return whether an object is a workload of this call."""
        mine = [self, *(one for one in self.beside if isinstance(one, KubernetesPlatform))]
        return any(
            one.api is self.api
            and (one.namespace, one.kind.name) == (self.namespace, kind)
            and thing["metadata"]["name"] in {target.name for target in one.targets()}
            for one in mine
        )

    # --- what is declared ------------------------------------------------------------------------------------------

    def declared(self, flags: Sequence[str]) -> dict[str, Declared]:
        """Return the values that the next pods will hold, and where they come from."""
        kubernetes_rights.require(self.api, self.namespace, kubernetes_rights.to_read(self.kind))
        self._known = list(flags)
        self._things = self._each(lambda target: target.get())
        told = self._each(lambda target: self._places(target, flags))
        everywhere = ", ".join(one.where for one in self.targets())
        found = {flag: joined([one for name in told for one in told[name][flag]], everywhere) for flag in flags}
        self._last = {flag: one.value for flag, one in found.items()}
        return found

    def _places(self, target: Target, flags: Sequence[str]) -> dict[str, list[tuple[str, str | None, list[str]]]]:
        """Return, per flag, (place that wins, its value as it may be told, the others) of each container."""
        changes = self._changes(target)
        found = changes.places(self._things[target.name], flags, changes.data())
        told: dict[str, list[tuple[str, str | None, list[str]]]] = {}
        for flag, containers in found.items():
            told[flag] = []
            for places in containers:
                last = places[-1]
                if last.source == SECRET:
                    self._hidden.add(flag)
                others = [changes.told(one) for one in places[:-1]]
                told[flag].append((changes.told(last), shown(last.source, last.value, self.words), others))
        return told

    def plan(self, flags: Mapping[str, str]) -> list[Change]:
        """Return the edits, after asking for every right that they take.

        Raises Refused for a missing right, a roll that somebody else has begun, an object that never rolls, and a
        place that others take their value from too; InvalidInput for a place that can't be edited.
        """
        edits = self._each(lambda target: self._edits(target, flags))
        data = {(one.kind, one.name) for listed in edits.values() for one in listed if isinstance(one, DataEdit)}
        drifting = self._drift()
        if flags or drifting:
            kubernetes_rights.require(self.api, self.namespace, kubernetes_rights.to_change(self.kind, data))
        self._notes = []
        for target in self.targets():
            thing, listed = self._things[target.name], edits[target.name]
            if listed or target.name in drifting:
                guard.require_rollable(target, thing, roll_over=self.roll_over)
            paused, told = self.pausing.plan(target, thing, listed)
            if listed:
                guard.require_ours(target, listed, self._listed, self.shared_with)
                self._notes += [*told, *guard.managers_told(target, thing, listed, paused)]
        former = {name: roll_of(self.kind.pod_template(thing)) for name, thing in self._things.items()}
        return [
            change
            for target in self.targets()
            for change in self._changes(target).as_changes(edits[target.name], former.get(target.name, ""))
        ]

    def _drift(self) -> set[str]:
        """Return the objects that have a process which was last seen to hold something else than is declared."""
        known = {flag: raw for flag, raw in self._last.items() if raw is not None and self.words.read(raw) is not None}
        return set(self._lacking(known))

    def _edits(self, target: Target, flags: Mapping[str, str]) -> list[Any]:
        changes = self._changes(target)
        thing = self._things.get(target.name) or target.get()
        return changes.edits(thing, flags, self._known, changes.data()) if flags else []

    def notes(self) -> list[str]:
        """Return who else keeps what was changed, and who is paused by us."""
        things = [(self._changes(one), self._things[one.name]) for one in self._targets.values() if self._things]
        return list(dict.fromkeys([*self._notes, *self.pausing.notes(things, self._known)]))

    def declare(self, flags: Mapping[str, str]) -> list[Change]:
        """Write the raw values where they come from; an edit of a pod template begins its roll."""
        made: list[Change] = []
        for target in self.targets():
            try:
                with self.pausing.during_edits(target.name):
                    done = self._changes(target).declare(flags, self._known)
            except RollbackError:
                self.undeclare(made)
                raise
            made += done
            self._begun |= {target.name for one in done if one.where == target.where}
        return made

    def undeclare(self, changes: Sequence[Change]) -> None:
        """Take edits back; that of a pod template rolls back to the revision of before."""
        for change in reversed(list(changes)):
            target = self._targets[change.undo.name]
            self.pausing.before_undo(target.name)
            self._changes(target).undeclare([change])
            if change.where == target.where:
                self._begun.add(target.name)
                self._former.pop(target.name, None)

    # --- what runs -------------------------------------------------------------------------------------------------

    def instances(self) -> list[Instance]:
        """Return every process of every running container that carries the flags, in pods that are just ending too."""
        self._held, found = self._look()  # at once: probes ask for instances and act on them at the same time
        return found

    def _look(self) -> tuple[dict[str, tuple[str, Process]], list[Instance]]:
        held: dict[str, tuple[str, Process]] = {}
        found: list[Instance] = []
        for name, (pods, several) in self._each(self._read).items():
            for listed in pods.values():
                mine = [one for one in listed if self._counts(one)]
                for one in mine:
                    held[one.id] = (name, one)
                    started = one.held.started_at if one.held else one.pod["metadata"]["creationTimestamp"]
                    role = role_of(one, mine) if one.held else "main"
                    found.append(Instance(one.id, called(one, mine, several), started, role))
        return held, found

    def _counts(self, process: Process) -> bool:
        return process.held is None or not self.instance_match or bool(self.instance_match.search(process.held.command))

    def _read(self, target: Target) -> tuple[dict[str, list[Process]], bool]:
        """Return an object's processes by pod, and whether several of its containers carry the flags."""
        thing = self._things.get(target.name) or target.get()
        data = Data(self.api, self.namespace)
        names = {str(one["name"]) for dummy, index, one in self._changes(target).carriers(thing, self._known, data)}

        def chosen(pod: Object) -> list[str]:
            spec = pod["spec"]
            mine = [str(one["name"]) for one in spec["containers"]]
            also = kubernetes_plan.carriers(spec, self._known, (), data) if self._known and not self.only else []
            wanted = names | {str(one["name"]) for dummy, index, one in also}
            return [name for name in [*mine, *wanted] if name in wanted] if wanted else mine

        return processes(self.api, target.pods(thing), chosen), len(names) > 1

    def effective(self, instance: Instance, flags: Sequence[str]) -> dict[str, str | None]:
        """Return what stands in the environment of the process, as it was read when it was listed."""
        held = self._found_process(instance)[1].held
        environ = (held.environ or {}) if held else {}
        told = {flag: environ.get(flag) for flag in flags}
        return {flag: shown(SECRET, raw, self.words) if flag in self._hidden else raw for flag, raw in told.items()}

    def _found_process(self, instance: Instance) -> tuple[str, Process]:
        if instance.id not in self._held:
            raise NotFound("the process is gone", where=f"{self.where}, {instance.name}")
        return self._held[instance.id]

    def execute(self, instance: Instance, argv: Sequence[str], deadline: Deadline) -> Finished:
        """Run a command in the container of an instance, with its environment, folder and user."""
        process = self._found_process(instance)[1]
        return self.api.execute(self.namespace, process.pod["metadata"]["name"], process.container, argv, deadline)

    def reach(self) -> str:
        """Return the namespace: everything in it is looked through."""
        return f"kubernetes {self.api.server()} {self.namespace}"

    def carriers(self, flags: Sequence[str]) -> list[Carrier]:
        """Return what in the namespace takes the flags and is no workload of this call; a strange word is not told."""
        found = kubernetes_unlisted.others_that_carry(self.api, self.namespace, flags, self._listed)
        return [
            Carrier(
                one.id,
                one.name,
                {flag: raw if self.words.read(raw) is not None else HIDDEN for flag, raw in one.holds.items()},
            )
            for one in found
        ]

    def members(self) -> set[str]:
        """Return nothing: ``carriers`` leaves out what belongs to workloads of this call."""
        return set()

    # --- roll, stop, start, logs -----------------------------------------------------------------------------------

    def _lacking(self, flags: Mapping[str, str]) -> dict[str, list[Object]]:
        """Return, by object, the pods that were last seen to hold another value; any word will do for an empty one."""
        found: dict[str, list[Object]] = {}
        for name, process in self._held.values():
            environ = (process.held.environ or {}) if process.held else {}
            for flag, raw in flags.items():
                if self.words.read(environ.get(flag)) is not self.words.read(raw):
                    found.setdefault(name, []).append(process.pod)
        return found

    def roll(self, deadline: Deadline, flags: Mapping[str, str]) -> str:
        """Replace the pods once, all objects at the same time, and see the new ones available and the old ones gone."""
        lacking = self._lacking(flags)
        self._each(lambda target: self._roll(target, deadline, lacking.get(target.name, []), resumed=bool(flags)))
        return ROLL

    def _roll(self, target: Target, deadline: Deadline, lacking: Sequence[Object], *, resumed: bool) -> None:
        if isinstance(target, Scheduled):
            target.await_end(deadline, {str(pod["metadata"]["uid"]) for pod in lacking})
            return
        now = roll_of(self.kind.pod_template(target.get(deadline)))
        if target.name in self._begun:
            self._begun.discard(target.name)
        elif resumed and not lacking and target.name not in self._former:
            return  # of several objects that labels find, only those are rolled that hold other values
        elif target.name in self._former:
            former = self._former.pop(target.name)
            target.change(lambda thing: target.rolling(thing, [], former), deadline)
        elif not (resumed and lacking and now and all(roll_of(pod) != now for pod in lacking)):
            # otherwise an earlier run has begun this roll and was killed: only its end is missing
            self._former[target.name] = now
            target.bump(deadline)
        target.wait(deadline, self.wait_timeout, self.stable_for)

    def stop(self, deadline: Deadline) -> Stopped:
        """Make the objects have no pods; what ran is remembered on each of them."""
        kubernetes_rights.require(self.api, self.namespace, kubernetes_rights.to_change(self.kind))
        state = self._each(lambda target: kubernetes_scale.stop(target, deadline, self.pausing))
        return Stopped(self.name, kubernetes_scale.together(state))

    def remembered(self) -> Stopped | None:
        """Return what is remembered on the objects."""
        found = self._each(lambda target: kubernetes_scale.remembered(target.get()))
        state = {name: one for name, one in found.items() if one is not None}
        return Stopped(self.name, kubernetes_scale.together(state)) if state else None

    def start(self, stopped: Stopped, deadline: Deadline) -> None:
        """Make the objects run what they ran."""
        kubernetes_rights.require(self.api, self.namespace, kubernetes_rights.to_change(self.kind))

        def begin(target: Target) -> None:
            state = kubernetes_scale.of(stopped.state, target)
            kubernetes_scale.start(target, state, deadline, self.pausing, self.wait_timeout, self.stable_for)

        self._each(begin)

    def logs(self, since: str) -> list[str]:
        """Return what the containers that carry the flags wrote since then, in the order of time."""
        held, dummy = self._look()
        pairs = sorted({(str(one.pod["metadata"]["name"]), one.container) for name, one in held.values()})

        def read(pair: tuple[str, str]) -> list[tuple[str, str]]:
            path = f"/api/v1/namespaces/{self.namespace}/pods/{pair[0]}/log"
            text = self.api.text(path, container=pair[1], sinceTime=since, timestamps="true")
            return [(line.partition(" ")[0], line.partition(" ")[2]) for line in text.splitlines()]

        return [text for dummy, text in sorted(line for lines in of_each(pairs, read).values() for line in lines)]
