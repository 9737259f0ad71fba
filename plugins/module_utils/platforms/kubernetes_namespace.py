# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What else lives in a namespace: ConfigMaps and Secrets, and everything that makes pods."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from ..core.errors import NotFound, Refused
from .kubernetes_api import Api
from .kubernetes_env import SECRET, unreadable
from .kubernetes_objects import KINDS, Kind, Object

#: seconds for which what many workloads of a call ask alike is remembered
REMEMBERED = 2.0
_LOCK = threading.Lock()
_LOCKS: dict[Any, threading.Lock] = {}
_SEEN: dict[Any, tuple[float, list[Object]]] = {}


def version_of(api: Api, kind: Kind) -> str:
    """Return the newest API version in which the server knows a kind; raises NotFound when it knows none."""
    for version in kind.versions:
        if len(kind.versions) == 1 or any(
            one["metadata"]["name"] == kind.plural for one in _served(api, kind, version)
        ):
            return version
    raise NotFound(f"the server knows no {kind.name}", where=api.where)


def _served(api: Api, kind: Kind, version: str) -> list[Object]:
    """Return a group's resources, shaped as objects with a name; they don't change while we run."""

    def ask() -> list[Object]:
        try:
            told = api.get(f"/apis/{kind.group}/{version}").get("resources") or []
        except NotFound:
            return []
        return [{"metadata": {"name": one["name"]}} for one in told]

    return _once((api, kind.group, version), ask, 3600.0)


def _once(key: Any, ask: Any, lasts: float = REMEMBERED) -> list[Object]:
    """Return what ``ask`` returned for this key a moment ago, or now; threads that want the same wait for one."""
    with _LOCK:
        lock = _LOCKS.setdefault(key, threading.Lock())
    with lock:
        moment, found = _SEEN.get(key, (-lasts, []))
        if time.monotonic() - moment > lasts:
            found = ask()
            _SEEN[key] = (time.monotonic(), found)
        return found


def uid_of(api: Api, name: str) -> str:
    """Return the UID of a namespace, empty when it may not be read or does not exist."""

    def ask() -> list[Object]:
        try:
            return [api.get(f"/api/v1/namespaces/{name}")]
        except (NotFound, Refused):
            return []

    return "".join(str(one["metadata"]["uid"]) for one in _once((api, "uid", name), ask))


class Data:
    """ConfigMaps and Secrets of a namespace, each read once; a new one sees what has changed since."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self._read: dict[tuple[str, str], Mapping[str, Any] | None] = {}

    def path(self, kind: str, name: str) -> str:
        """Return the API's path of one."""
        return f"/api/v1/namespaces/{self.namespace}/{kind.lower()}s/{name}"

    def __call__(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """Return one, None when it does not exist; a Secret that may not be read is told as such."""
        if (kind, name) not in self._read:
            try:
                self._read[kind, name] = self.api.get(self.path(kind, name))
            except NotFound:
                self._read[kind, name] = None
            except Refused:
                if kind != SECRET:
                    raise
                self._read[kind, name] = unreadable(name)
        return self._read[kind, name]


def makers(api: Api, namespace: str) -> list[tuple[Kind, Object]]:
    """Return everything in a namespace that makes pods; a kind that may not be listed is left out."""

    def ask(kind: Kind) -> list[Object]:
        try:
            return api.items(kind.path(version_of(api, kind), namespace))
        except (NotFound, Refused):
            return []

    return [
        (kind, one)
        for kind in KINDS.values()
        for one in _once((api, namespace, kind.name), lambda kind=kind: ask(kind))
    ]


def pods(api: Api, namespace: str) -> list[Object]:
    """Return every pod of a namespace."""
    return api.items(f"/api/v1/namespaces/{namespace}/pods")


def jobs(api: Api, namespace: str) -> list[Object]:
    """Return every Job of a namespace."""
    return api.items(f"/apis/batch/v1/namespaces/{namespace}/jobs")
