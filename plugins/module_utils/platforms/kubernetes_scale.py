# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop an object's pods and start as many again; what ran is remembered on the object itself.

A HorizontalPodAutoscaler keeps its limits: it rests while the number of pods is zero, and goes on when it is not. KEDA
would scale up from zero, so its ScaledObject is paused, by KEDA's own annotation, until the object is started again.
Argo CD and Flux would write the number of pods back, so they are paused too where the inventory allows it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from ..core.deadline import Deadline, wait_until
from ..core.errors import DeadlinePassed, Refused, RollbackError
from .kubernetes_jobs import Scheduled
from .kubernetes_managers import scaled_objects
from .kubernetes_objects import NOWHERE, SCALE, Object, annotations_of, escaped, set_annotation, unchanged
from .kubernetes_pause import Pausing
from .kubernetes_pods import alive
from .kubernetes_rights import Right, require
from .kubernetes_roll import LOOK, Target, new_roll

#: KEDA's annotation of a ScaledObject: the number of pods to hold while it is there
KEDA_PAUSED = "autoscaling.keda.sh/paused-replicas"

State = dict[str, Any]


def runs(target: Target, thing: Mapping[str, Any]) -> State:
    """Return what an object runs: how many pods, or whether it is suspended (CronJob) or stopped (DaemonSet)."""
    if target.kind.name == "CronJob":
        return {"suspend": bool(thing["spec"].get("suspend"))}
    if target.kind.name == "DaemonSet":
        return {"stopped": NOWHERE in _node_selector(target, thing)}
    number = thing["spec"].get("replicas")
    return {"replicas": 1 if number is None else int(number)}


def rests(state: Mapping[str, Any]) -> bool:
    """Return whether an object that runs this has no pods."""
    return bool(state.get("suspend") or state.get("stopped") or state.get("replicas") == 0)


def together(states: Mapping[str, Mapping[str, Any]]) -> State:
    """Return what several objects run as one state: whether any runs, and what each does."""
    return {"running": not all(map(rests, states.values())), "scale": dict(states)}


def of(state: Mapping[str, Any], target: Target) -> Mapping[str, Any]:
    """Return what an object ran by such a state; where it is not told, one pod, or what the object says of itself."""
    told: Mapping[str, Mapping[str, Any]] = state.get("scale") or {}
    if target.name in told:
        return told[target.name]
    now = runs(target, target.get())
    if not state.get("running") or not rests(now):
        return now
    return {"CronJob": {"suspend": False}, "DaemonSet": {"stopped": False}}.get(target.kind.name) or {"replicas": 1}


def remembered(thing: Mapping[str, Any]) -> State | None:
    """Return what is remembered on an object, None when nothing is, or nothing that makes sense."""
    try:
        state = json.loads(annotations_of(thing).get(SCALE, "null"))
    except ValueError:
        return None
    return state if isinstance(state, dict) else None


def stop(target: Target, deadline: Deadline, pausing: Pausing) -> State:
    """Make an object have no pods, after writing down what it ran, and return what it ran until now.

    A second stop replaces nothing of what the first one has written down. Who would bring the pods back is paused
    first, where that is allowed, and goes on when the object could not be stopped.
    """
    before: State = {}

    def operations(thing: Object) -> list[Object]:
        now = runs(target, thing)
        before.clear()
        before.update(now)
        noted = set_annotation(thing, "", SCALE, json.dumps(now)) if remembered(thing) is None else []
        return noted if rests(now) else [*noted, *_resting(target, thing)]

    thing = target.get(deadline)
    scaled = _of_keda(target)
    needed = [Right(verb, "scaledobjects", "keda.sh", name) for name in scaled for verb in ("get", "patch")]
    require(target.api, target.namespace, needed)
    pausing.plan_scale(target, thing, was=not rests(runs(target, thing)), runs=False)
    try:
        pausing.settle(target.name)
        for name in scaled:
            _pause(target, name, deadline, paused=True)
        target.change(operations, deadline)
    except RollbackError:
        with contextlib.suppress(RollbackError):
            pausing.before_undo(target.name)
        raise
    _await_none(target, deadline)
    return before


def _of_keda(target: Target) -> list[str]:
    """Return the ScaledObjects that decide on the number of an object's pods."""
    path = f"/apis/autoscaling/v1/namespaces/{target.namespace}/horizontalpodautoscalers"
    try:
        items = target.api.items(path)
    except Refused:
        return []
    return scaled_objects(items, target.kind.name, target.name)


def _pause(target: Target, name: str, deadline: Deadline, *, paused: bool) -> None:
    """Pause a ScaledObject at zero pods, or let it go on where we have paused it."""
    path = f"/apis/keda.sh/v1alpha1/namespaces/{target.namespace}/scaledobjects/{name}"
    thing = target.api.get(path, deadline)
    noted = annotations_of(thing)
    if paused and KEDA_PAUSED not in noted:
        todo = set_annotation(thing, "", KEDA_PAUSED, "0")
        marked = {**noted, KEDA_PAUSED: "0"}
        todo += set_annotation({"metadata": {"annotations": marked}}, "", SCALE, "paused")
    elif not paused and noted.get(SCALE) == "paused":
        todo = [*set_annotation(thing, "", KEDA_PAUSED, None), *set_annotation(thing, "", SCALE, None)]
    else:
        return
    target.api.patch(path, [unchanged(thing), *todo], deadline)


def start(
    target: Target,
    state: Mapping[str, Any],
    deadline: Deadline,
    pausing: Pausing,
    patience: float,
    stable: float | None,
) -> None:
    """Make an object run what ``state`` says, forget it, let who was paused for it go on, and wait until that runs."""

    def operations(thing: Object) -> list[Object]:
        forgotten = set_annotation(thing, "", SCALE, None)
        as_it_is = rests(state) or runs(target, thing) == dict(state)
        return forgotten if as_it_is else [*forgotten, *_running(target, thing, state)]

    target.change(operations, deadline)
    for name in _of_keda(target):
        _pause(target, name, deadline, paused=False)
    if not rests(state):
        pausing.plan_scale(target, target.get(deadline), was=True, runs=True)
        pausing.settle(target.name)
    if not isinstance(target, Scheduled) and not rests(state):
        target.wait(deadline, patience, stable)


def _resting(target: Target, thing: Object) -> list[Object]:
    if target.kind.name == "CronJob":
        return [{"op": "add", "path": "/spec/suspend", "value": True}]
    if target.kind.name == "DaemonSet":
        at = target.kind.pointer("spec", "nodeSelector")
        one: Object = {"op": "add", "path": f"{at}/{escaped(NOWHERE)}", "value": "true"}
        if not _node_selector(target, thing):
            one = {"op": "add", "path": at, "value": {NOWHERE: "true"}}
        return target.rolling(thing, [one], new_roll())
    return [{"op": "add", "path": "/spec/replicas", "value": 0}]


def _running(target: Target, thing: Object, state: Mapping[str, Any]) -> list[Object]:
    if target.kind.name == "CronJob":
        return [{"op": "add", "path": "/spec/suspend", "value": False}]
    if target.kind.name == "DaemonSet":
        at = target.kind.pointer("spec", "nodeSelector", NOWHERE)
        return target.rolling(thing, [{"op": "remove", "path": at}], new_roll())
    return [{"op": "add", "path": "/spec/replicas", "value": int(state.get("replicas", 1))}]


def _node_selector(target: Target, thing: Mapping[str, Any]) -> Mapping[str, str]:
    return (target.kind.pod_template(thing).get("spec") or {}).get("nodeSelector") or {}


def _await_none(target: Target, deadline: Deadline) -> None:
    left: list[str] = []

    def gone() -> bool:
        left[:] = [one["metadata"]["name"] for one in target.pods(target.get(deadline)) if alive(one)]
        return not left

    try:
        wait_until(gone, deadline, what="the end of its pods", longest_pause=LOOK / 2)
    except DeadlinePassed as error:
        told = f"{len(left)} pods still run after {deadline.seconds:.0f} s: {', '.join(left[:3])}"
        raise DeadlinePassed(told, where=target.where, hint="See what they wait for.") from error
