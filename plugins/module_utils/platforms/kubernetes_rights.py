# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rights a workload's change takes, and which of them the token lacks: asked all at once, before anything."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from ..core.errors import Refused
from ..core.parallel import of_each
from .kubernetes_api import RIGHTS, Api
from .kubernetes_objects import Kind

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_LOCK = threading.Lock()
_GRANTED: set[tuple[Api, str, Right]] = set()


@dataclass(frozen=True)
class Right:
    """One verb on one resource ("pods/exec" is one of its own); ``name`` where a single object is enough."""

    verb: str
    resource: str
    group: str = ""
    name: str = ""

    def __str__(self) -> str:
        """Return the right as a person is told of it."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {resource}" + (f" '{self.name}'" if self.name else "")


def to_read(kind: Kind) -> list[Right]:
    """Return what looking at a workload of this kind takes."""
    rights = [Right("get", kind.plural, kind.group), Right("list", kind.plural, kind.group), Right("list", "pods")]
    if not kind.rolls:
        rights.append(Right("list", "jobs", "batch"))
    # the way into a pod is opened by GET; newer servers ask for create too
    return [*rights, Right("get", "pods/exec"), Right("create", "pods/exec")]


def to_change(kind: Kind, data: Iterable[tuple[str, str]] = ()) -> list[Right]:
    """Return what changing and rolling it takes; ``data`` are (kind, name) of ConfigMaps and Secrets to edit."""
    rights = [Right("patch", kind.plural, kind.group)]
    if kind.rolls:
        rights += [Right("watch", kind.plural, kind.group), Right("watch", "pods"), Right("get", "pods/log")]
    if kind.name == "StatefulSet":
        rights.append(Right("delete", "pods"))
    return [*rights, *(Right("patch", f"{one.lower()}s", "", name) for one, name in data)]


def require(api: Api, namespace: str, rights: Iterable[Right]) -> None:
    """Raise Refused that names every right that is missing; what was granted once is not asked again."""
    with _LOCK:
        todo = [one for one in dict.fromkeys(rights) if (api, namespace, one) not in _GRANTED]
    allowed = of_each(todo, lambda one: _allowed(api, namespace, one))
    with _LOCK:
        _GRANTED.update((api, namespace, one) for one, yes in allowed.items() if yes)
    missing = [str(one) for one, yes in allowed.items() if not yes]
    if missing:
        raise Refused(
            f"rights are missing in the namespace '{namespace}': {', '.join(missing)}; nothing was changed",
            where=api.where,
            hint=RIGHTS,
        )


def _allowed(api: Api, namespace: str, right: Right) -> bool:
    resource, dummy, subresource = right.resource.partition("/")
    asked = {
        "namespace": namespace,
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        **({"subresource": subresource} if subresource else {}),
        **({"name": right.name} if right.name else {}),
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    return bool((api.create(REVIEWS, body).get("status") or {}).get("allowed"))
