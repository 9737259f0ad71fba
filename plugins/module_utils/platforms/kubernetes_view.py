# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects of a cluster as they are now, kept up to date by a watch, so that waiting for a roll costs the API little."""

from __future__ import annotations

import threading
import time
from typing import Any

from ..core.errors import RollbackError
from .kubernetes_api import Api
from .kubernetes_objects import Object

#: seconds that one watch lasts (an API that has gone silent is noticed by then), and before a cut one is begun again
LASTS, PAUSE = 10.0, 0.3


class View:
    """The objects of one collection that a query finds. ``changed`` is set at every change.

    A watch that is cut, refused or too old is replaced by a new list, for as long as the view is open; ``error`` says
    why nothing is known now, None while all is well.
    """

    def __init__(self, api: Api, path: str, changed: threading.Event, **query: Any) -> None:
        self.api = api
        self.path = path
        self.query = query
        self.changed = changed
        self.error: RollbackError | None = None
        self.listed = False
        self._objects: dict[str, Object] = {}
        self._lock = threading.Lock()
        self._open = True
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> View:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False

    def objects(self) -> list[Object]:
        """Return the objects as they were last told of."""
        with self._lock:
            return list(self._objects.values())

    def _follow(self) -> None:
        while self._open:
            try:
                version = self._list()
                self._watch(version)
            except RollbackError as error:
                self.error = error
                self.changed.set()
            if self._open:
                time.sleep(PAUSE)

    def _list(self) -> str:
        answer = self.api.get(self.path, **self.query)
        with self._lock:
            self._objects = {one["metadata"]["uid"]: one for one in answer.get("items") or []}
        self.error = None
        self.listed = True
        self.changed.set()
        return str(answer["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> None:
        for event in self.api.watch(self.path, LASTS, resourceVersion=version, **self.query):
            if not self._open:
                return
            thing = event["object"]
            if event["type"] == "ERROR":
                return
            with self._lock:
                if event["type"] == "DELETED":
                    self._objects.pop(thing["metadata"]["uid"], None)
                else:
                    self._objects[thing["metadata"]["uid"]] = thing
            self.changed.set()
