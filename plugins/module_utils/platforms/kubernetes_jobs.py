# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CronJob: its next run takes new values; a Job that runs now keeps the old ones until it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.deadline import Deadline, wait_until
from ..core.errors import DeadlinePassed
from . import kubernetes_namespace
from .kubernetes_objects import Object
from .kubernetes_pods import alive
from .kubernetes_roll import LOOK, Target


class Scheduled(Target):
    """A CronJob and the pods of its running Jobs."""

    def pods(self, thing: Mapping[str, Any]) -> list[Object]:
        """Return the pods of the Jobs that it has started."""
        uid = thing["metadata"]["uid"]
        mine = [
            one["metadata"]["name"]
            for one in kubernetes_namespace.jobs(self.api, self.namespace)
            if any(owner["uid"] == uid for owner in one["metadata"].get("ownerReferences") or [])
        ]
        if not mine:
            return []
        selector = f"job-name in ({','.join(mine)})"
        return self.api.items(f"/api/v1/namespaces/{self.namespace}/pods", labelSelector=selector)

    def await_end(self, deadline: Deadline, before: set[str]) -> None:
        """Wait until the pods with these UIDs have ended; raises DeadlinePassed that names the ones that have not."""
        left: list[str] = []

        def ended() -> bool:
            pods = self.pods(self.get(deadline))
            left[:] = [one["metadata"]["name"] for one in pods if alive(one) and one["metadata"]["uid"] in before]
            return not left

        try:
            wait_until(ended, deadline, what="the end of the running Jobs", longest_pause=LOOK)
        except DeadlinePassed as error:
            raise DeadlinePassed(
                f"its Job still runs with the old values: {', '.join(left[:3])}",
                where=self.where,
                hint="Let it end or delete it, then run the same command again; its next run holds the new values.",
            ) from error
