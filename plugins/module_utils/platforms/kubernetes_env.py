# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a container's flag comes from, as the kubelet makes its environment; pure functions of what the API tells.

Sources: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#environment-variables and the
kubelet's makeEnvironmentVariables: all of envFrom in order, then env in order; who comes later wins; a reference that
is optional and leads nowhere gives nothing and leaves what was there.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ENV, CONFIG_MAP, SECRET, OTHER = "env", "ConfigMap", "Secret", "other"
#: how kustomize ends the name of a generated ConfigMap or Secret: with a hash of its content
_HASHED = re.compile(r"-[2456789bcdfghkmt]{10}$")
_COMPOSED = re.compile(r"\$\([A-Za-z_][A-Za-z0-9_.-]*\)")

#: kind and name to the object, None when there is none
Lookup = Callable[[str, str], "Mapping[str, Any] | None"]


@dataclass(frozen=True)
class Place:
    """One place that names a flag: an entry of a container's env (``index``), or a ``key`` of a ConfigMap or Secret.

    ``value`` is None when it can't be told (a field reference); ``entry`` is the index of the env entry, -1 for
    envFrom.
    """

    source: str
    name: str
    key: str
    value: str | None
    field: str
    container: int
    container_name: str
    entry: int

    def __str__(self) -> str:
        """Return the place as a person is told of it."""
        if self.source in (CONFIG_MAP, SECRET):
            return f"{self.source} {self.name}, key {self.key}"
        return f"container {self.container_name}, env {self.key}"

    @property
    def composed(self) -> bool:
        """Whether the value is made out of other variables."""
        return self.source == ENV and bool(_COMPOSED.search(self.value or ""))


def places(container: Mapping[str, Any], at: tuple[str, int], flag: str, lookup: Lookup) -> list[Place]:
    """Return the places that name a flag in one container, the one that wins last."""
    name = str(container.get("name"))
    found: list[Place] = []
    for source in container.get("envFrom") or []:
        prefix = source.get("prefix") or ""
        for kind, reference in ((CONFIG_MAP, source.get("configMapRef")), (SECRET, source.get("secretRef"))):
            if reference and flag.startswith(prefix):
                key = flag[len(prefix) :]
                value = value_in(kind, lookup(kind, reference["name"]), key)
                if value is not None:
                    found.append(Place(kind, reference["name"], key, value, *at, name, -1))
    for index, entry in enumerate(container.get("env") or []):
        if entry.get("name") != flag:
            continue
        given = entry.get("valueFrom")
        if not given:
            found.append(Place(ENV, "", flag, str(entry.get("value") or ""), *at, name, index))
            continue
        reference = given.get("configMapKeyRef") or given.get("secretKeyRef")
        if not reference:
            found.append(Place(OTHER, "", flag, None, *at, name, index))
            continue
        kind = CONFIG_MAP if given.get("configMapKeyRef") else SECRET
        thing = lookup(kind, reference["name"])
        value = value_in(kind, thing, reference["key"])
        if value is not None or not reference.get("optional") or (thing or {}).get("unreadable"):
            found.append(Place(kind, reference["name"], reference["key"], value, *at, name, index))
    return found


def unreadable(name: str) -> Mapping[str, Any]:
    """Return what stands for a Secret that may not be read: nothing is known of what it holds."""
    return {"metadata": {"name": name}, "unreadable": True}


def hidden_sources(container: Mapping[str, Any], lookup: Lookup) -> list[str]:
    """Return the Secrets that a container takes all its variables from and that may not be read."""
    names = [(source.get("secretRef") or {}).get("name") for source in container.get("envFrom") or []]
    return [str(name) for name in names if name and (lookup(SECRET, name) or {}).get("unreadable")]


def value_in(kind: str, thing: Mapping[str, Any] | None, key: str) -> str | None:
    """Return the text under a key of a ConfigMap or Secret, None when it is not there."""
    value = ((thing or {}).get("data") or {}).get(key)
    if value is None or kind == CONFIG_MAP:
        return None if value is None else str(value)
    try:
        return base64.b64decode(value).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return None


def written(kind: str, value: str) -> str:
    """Return a text as the data of a ConfigMap or Secret holds it."""
    return base64.b64encode(value.encode()).decode() if kind == SECRET else value


def why_not_edited(thing: Mapping[str, Any]) -> str:
    """Return why a ConfigMap or Secret can't or must not be edited in place, empty when it may."""
    if thing.get("unreadable"):
        return "it may not be read with these rights"
    if thing.get("immutable"):
        return "it is immutable"
    if _HASHED.search(str(thing["metadata"]["name"])):
        return "its name ends with a hash of its content, so the tool that made it would lose track of it"
    return ""
