# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a roll done, what does it wait for, and may it be begun; pure functions of what the API tells.

Done means: the controller has seen the change, every pod is of the new template and available, and no pod of an older
template is left in any phase, those too that are just ending (`kubectl rollout status` does not wait for them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .kubernetes_objects import MEANT, Kind, Object, annotations_of, roll_of
from .kubernetes_pods import alive, ending

#: why a container does not run, where waiting longer does not help
HOPELESS = (
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
)


@dataclass(frozen=True)
class State:
    """Where a roll stands: how many pods are wanted and good, those of the new template, and the old ones left."""

    wanted: int
    good: int
    seen: bool
    new: tuple[Object, ...]
    old: tuple[Object, ...]

    @property
    def done(self) -> bool:
        """Whether nothing is left to wait for."""
        return self.seen and not self.old and len(self.new) >= self.wanted and self.good >= self.wanted


def state(kind: Kind, thing: Mapping[str, Any], pods: Sequence[Object]) -> State:
    """Return where the roll to an object's present template stands."""
    status = thing.get("status") or {}
    roll = roll_of(kind.pod_template(thing))
    mine = [pod for pod in pods if alive(pod)]
    new = tuple(pod for pod in mine if roll_of(pod) == roll and not ending(pod))
    old = tuple(pod for pod in mine if roll_of(pod) != roll or ending(pod))
    if kind.name == "DaemonSet":
        wanted = int(status.get("desiredNumberScheduled") or 0)
        good = min(int(status.get("updatedNumberScheduled") or 0), int(status.get("numberAvailable") or 0))
    else:
        wanted = _instances(thing)
        good = _available(kind, thing, status)
    seen = int(status.get("observedGeneration") or 0) >= int(thing["metadata"].get("generation") or 0)
    return State(wanted, good, seen, new, old)


def _instances(thing: Mapping[str, Any]) -> int:
    number = (thing.get("spec") or {}).get("replicas")
    return 1 if number is None else int(number)


def _available(kind: Kind, thing: Mapping[str, Any], status: Mapping[str, Any]) -> int:
    if kind.name == "Deployment":
        counts = [status.get("updatedReplicas"), status.get("availableReplicas")]
        if int(status.get("replicas") or 0) > _instances(thing):
            return -1
    else:
        # a server older than 1.25 tells no availableReplicas of a StatefulSet
        counts = [status.get("readyReplicas"), status.get("availableReplicas", status.get("readyReplicas"))]
    return min(int(one or 0) for one in counts)


def under_way(kind: Kind, thing: Mapping[str, Any]) -> str:
    """Return how far a roll is that somebody has begun and that has not ended, empty when there is none."""
    status = thing.get("status") or {}
    if kind.name == "Deployment":
        total, updated = int(status.get("replicas") or 0), int(status.get("updatedReplicas") or 0)
    elif kind.name == "DaemonSet":
        total, updated = (
            int(status.get("currentNumberScheduled") or 0),
            int(status.get("updatedNumberScheduled") or 0),
        )
    else:
        total, updated = int(status.get("replicas") or 0), int(status.get("updatedReplicas") or 0)
        if status.get("currentRevision") == status.get("updateRevision"):
            return ""
    return f"{updated} of {total} pods are of the newest template" if updated < total else ""


def ours(thing: Mapping[str, Any]) -> bool:
    """Return whether nobody has changed an object's specification since a roll of ours has."""
    return annotations_of(thing).get(MEANT) == str(thing["metadata"].get("generation"))


def never_rolls(kind: Kind, thing: Mapping[str, Any]) -> str:
    """Return why a changed template would not reach every pod, empty when it would."""
    spec = thing.get("spec") or {}
    strategy = spec.get("updateStrategy") or {}
    if spec.get("paused"):
        return "it is paused, so no change reaches its pods (kubectl rollout resume)"
    if strategy.get("type") == "OnDelete":
        return "its update strategy is OnDelete, so new values reach a pod only when somebody deletes it"
    partition = (strategy.get("rollingUpdate") or {}).get("partition")
    if partition:
        return f"its update strategy has partition {partition}, so the pods below keep the old values"
    return ""


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod says that it is ready."""
    told = (pod.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in told)


def restarts(pod: Mapping[str, Any]) -> int:
    """Return how often containers of a pod were started again."""
    told = (pod.get("status") or {}).get("containerStatuses") or []
    return sum(int(one.get("restartCount") or 0) for one in told)


@dataclass(frozen=True)
class Trouble:
    """Why one pod is not ready: in words, the container, whether it once ran, and whether waiting longer can help."""

    pod: str
    text: str
    container: str = ""
    ran: bool = False
    hopeless: bool = False


def trouble(pod: Mapping[str, Any]) -> Trouble | None:
    """Return why a pod is not ready, None when it is."""
    if is_ready(pod):
        return None
    metadata, status = pod["metadata"], pod.get("status") or {}
    node = (pod.get("spec") or {}).get("nodeName")
    name = f"{metadata['name']}" + (f" on {node}" if node else "")
    for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (one.get("state") or {}).get("waiting") or {}
        ended = (one.get("state") or {}).get("terminated") or (one.get("lastState") or {}).get("terminated") or {}
        reason = str(waiting.get("reason") or "")
        if reason in HOPELESS or (ended and ended.get("exitCode")) or reason.startswith("Err"):
            how = f"{reason}: {waiting.get('message', '')}" if reason and not ended else ""
            if ended:
                how = f"ended with {ended.get('exitCode')}" + (f" ({reason})" if reason else "")
            return Trouble(name, f"container {one['name']} {how}".strip(), one["name"], bool(ended), reason in HOPELESS)
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Trouble(name, f"is not scheduled: {condition.get('message', '')}")
    return Trouble(name, "is not ready")


def failed_to_create(thing: Mapping[str, Any]) -> str:
    """Return why the controller can't make pods (a quota, an admission webhook), empty when it can."""
    for condition in (thing.get("status") or {}).get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return str(condition.get("message", ""))
    return ""


def own_events(events: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """Return what the last warnings about an object, its pods and what stands between them say, the newest last."""
    mine = [
        one
        for one in events
        if one.get("type") == "Warning"
        and (one["involvedObject"].get("name") == name or one["involvedObject"].get("name", "").startswith(f"{name}-"))
    ]
    mine.sort(key=lambda one: one.get("lastTimestamp") or one.get("eventTime") or "")
    told: list[str] = []
    for one in mine:
        text = f"{one.get('reason')}: {' '.join(str(one.get('message', '')).split())[:300]}"
        if text in told:
            told.remove(text)
        told.append(text)
    return told[-3:]
