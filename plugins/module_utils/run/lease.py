# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One rollback at a time: a lock that is a Lease in a Kubernetes cluster, where every operator of it sees it.

The API decides who wins: a Lease is created once, and changed or deleted only as it was read. It is no lease in time:
nobody renews it, and it is never taken over because it is old.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ..core.errors import Conflict, InvalidInput, NotFound
from .lock import Lock, LockPlace, decide

GROUP, PLURAL = "coordination.k8s.io", "leases"
#: what stands in annotations of the Lease; the run's id is its holder
NOTED = ("owner", "controller", "environment", "reason", "since")
_PREFIX = "dualwrite.rollback/"
TAKEN_OVER = f"{_PREFIX}taken-over"
#: how often a Lease is looked at again that changed while it was being decided on
TRIES = 8


class Api(Protocol):
    """What of a cluster's API a Lease takes; each raises NotFound, Conflict, Refused and Unreachable."""

    @property
    def where(self) -> str:
        """The cluster's address."""

    def get(self, path: str) -> dict[str, Any]:
        """Return an object."""

    def create(self, path: str, body: Mapping[str, Any]) -> Any:
        """Create an object; raises Conflict when there is one."""

    def replace(self, path: str, body: Mapping[str, Any]) -> Any:
        """Write an object anew; raises Conflict when it has changed since it was read."""

    def remove(self, path: str, thing: Mapping[str, Any]) -> None:
        """Delete an object; raises Conflict when it has changed since it was read."""


class LeaseLock(LockPlace):
    """A Lease of a namespace: ``holderIdentity`` is the run, annotations say who, why and since when."""

    def __init__(self, api: Api, namespace: str, name: str) -> None:
        self.api = api
        self.collection = f"/apis/{GROUP}/v1/namespaces/{namespace}/{PLURAL}"
        self.path = f"{self.collection}/{name}"
        self.where = f"Lease {namespace}/{name}"
        self.name = name

    def read(self) -> Lock | None:
        return self._seen()[1]

    def acquire(self, wanted: Lock, takeover_of: Sequence[str] = ()) -> tuple[bool, Lock | None]:
        def attempt() -> tuple[bool, Lock | None]:
            thing, held = self._seen()
            if not decide(held, wanted, takeover_of, self.where):
                return False, None
            if thing is None:
                self.api.create(self.collection, self._body(wanted, None, {"name": self.name}))
            else:
                self.api.replace(self.path, self._body(wanted, held, thing["metadata"]))
            return True, held

        return self._settled(attempt)

    def release(self, run_id: str) -> tuple[bool, Lock | None]:
        def attempt() -> tuple[bool, Lock | None]:
            thing, held = self._seen()
            if thing is None or held is None or held["run_id"] != run_id:
                return False, held
            self.api.remove(self.path, thing)
            return True, None

        return self._settled(attempt)

    def _settled(self, attempt: Callable[[], tuple[bool, Lock | None]]) -> tuple[bool, Lock | None]:
        """Return what an attempt ends with; who was faster is looked at again, and decides on the next one."""
        last: list[Conflict | NotFound] = []
        while len(last) < TRIES:
            try:
                return attempt()
            except (Conflict, NotFound) as error:
                last.append(error)
        raise last[-1]

    def _seen(self) -> tuple[dict[str, Any] | None, Lock | None]:
        thing = self._get()
        return thing, None if thing is None else self._lock(thing)

    def _get(self) -> dict[str, Any] | None:
        try:
            return self.api.get(self.path)
        except NotFound:
            return None

    def _lock(self, thing: Mapping[str, Any]) -> Lock:
        """Return what a Lease says as a lock file would."""
        noted = thing["metadata"].get("annotations") or {}
        run_id = (thing.get("spec") or {}).get("holderIdentity")
        if not run_id or f"{_PREFIX}since" not in noted:
            raise self._stranger()
        lock = {"run_id": str(run_id), **{name: noted.get(f"{_PREFIX}{name}", "") for name in NOTED}}
        if TAKEN_OVER in noted:
            try:
                lock["taken_over"] = json.loads(noted[TAKEN_OVER])
            except ValueError as error:
                raise self._stranger() from error
        return lock

    def _body(self, wanted: Lock, held: Lock | None, metadata: Mapping[str, Any]) -> dict[str, Any]:
        noted = {f"{_PREFIX}{name}": str(wanted.get(name) or "") for name in NOTED}
        if held:
            noted[TAKEN_OVER] = json.dumps({key: value for key, value in held.items() if key != "taken_over"})
        moment = str(wanted["since"]).replace("Z", "000Z")  # the API wants microseconds
        others = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != TAKEN_OVER}
        return {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Lease",
            "metadata": {**metadata, "annotations": {**others, **noted}},
            "spec": {"holderIdentity": wanted["run_id"], "acquireTime": moment},
        }

    def _stranger(self) -> InvalidInput:
        namespace, name = self.where.split()[1].split("/")
        return InvalidInput(
            "the Lease is there but is no lock that this collection wrote (edited, or of another program)",
            where=f"{self.where}, {self.api.where}",
            hint="Look at it, make sure that no rollback is under way, remove it (kubectl delete lease "
            f"{name} -n {namespace}) and run the same command again.",
        )
