# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of Kubernetes objects that make pods: where they are in the API, and where in them things stand.

Pure functions of what the API tells; nothing here asks it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: field manager of what we change
OURS = "dualwrite.rollback"
#: annotation of a pod template: changing it makes new pods, and tells them from the old ones
ROLL = "dualwrite.rollback/roll"
#: annotation of an object: the generation that our last roll has made, nobody having changed it in between
MEANT = "dualwrite.rollback/generation"
#: annotation of an object: what ran when it was stopped
SCALE = "dualwrite.rollback/scale"
#: annotation of who manages an object elsewhere (Argo CD, Flux): how it was before we have paused it
PAUSED = "dualwrite.rollback/paused"
#: node selector that no node has: how a DaemonSet is stopped
NOWHERE = "dualwrite.rollback/stopped"

Object = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One kind: its API group, its name in paths, and the path of the pod template in an object."""

    name: str
    group: str
    plural: str
    template: tuple[str, ...] = ("spec", "template")
    versions: tuple[str, ...] = ("v1",)

    @property
    def rolls(self) -> bool:
        """Whether pods are replaced when the template changes."""
        return self.name != "CronJob"

    def pod_template(self, thing: Mapping[str, Any]) -> Object:
        """Return the pod template of an object."""
        found: Any = thing
        for key in self.template:
            found = found.get(key) or {}
        return dict(found)

    def pointer(self, *more: object) -> str:
        """Return a JSON pointer into the pod template."""
        return "/" + "/".join(escaped(str(one)) for one in (*self.template, *more))

    def path(self, version: str, namespace: str, name: str = "") -> str:
        """Return the API's path of the collection, or of one object in it."""
        return f"/apis/{self.group}/{version}/namespaces/{namespace}/{self.plural}" + (f"/{name}" if name else "")


KINDS = {
    one.name: one
    for one in (
        Kind("Deployment", "apps", "deployments"),
        Kind("StatefulSet", "apps", "statefulsets"),
        Kind("DaemonSet", "apps", "daemonsets"),
        Kind("CronJob", "batch", "cronjobs", ("spec", "jobTemplate", "spec", "template"), ("v1", "v1beta1")),
    )
}


def escaped(key: str) -> str:
    """Return a key as a part of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def selector_text(selector: Mapping[str, Any]) -> str:
    """Return an object's label selector as a query has it."""
    words = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or []:
        key, operator, values = one["key"], one["operator"], ",".join(one.get("values") or [])
        lists = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})"}
        words.append({**lists, "Exists": key, "DoesNotExist": f"!{key}"}[operator])
    return ",".join(words)


def annotations_of(thing: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the annotations of an object or a pod template."""
    return (thing.get("metadata") or {}).get("annotations") or {}


def roll_of(thing: Mapping[str, Any]) -> str:
    """Return which of our rolls a pod or a pod template comes from; empty for none."""
    return annotations_of(thing).get(ROLL, "")


def containers(spec: Mapping[str, Any]) -> list[tuple[str, int, Object]]:
    """Return (field, index, container) of a pod spec's containers and init containers."""
    return [
        (field, index, one)
        for field in ("containers", "initContainers")
        for index, one in enumerate(spec.get(field) or [])
    ]


def fingerprint(template: Mapping[str, Any]) -> str:
    """Return a short text that tells one pod template from another."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:16]


def full_name(kind: str, namespace: str, name: str) -> str:
    """Return how a person is told of an object."""
    return f"{kind} {namespace}/{name}"


def set_annotation(thing: Mapping[str, Any], base: str, key: str, value: str | None) -> list[Object]:
    """Return the operations that set, or remove, an annotation of the object or template found at pointer ``base``."""
    there = annotations_of(thing)
    metadata = thing.get("metadata")
    at = f"{base}/metadata/annotations"
    if value is None:
        return [{"op": "remove", "path": f"{at}/{escaped(key)}"}] if key in there else []
    if there:
        return [{"op": "add", "path": f"{at}/{escaped(key)}", "value": value}]
    whole = [] if metadata is not None else [{"op": "add", "path": f"{base}/metadata", "value": {}}]
    return [*whole, {"op": "add", "path": at, "value": {key: value}}]


def unchanged(thing: Mapping[str, Any]) -> Object:
    """Return the operation that makes a patch fail when the object has changed since it was read."""
    return {"op": "test", "path": "/metadata/resourceVersion", "value": thing["metadata"]["resourceVersion"]}
