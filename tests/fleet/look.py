"""Look at a member as its users and its machine see it: processes and rows, without any code of the collection."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from tests.fleet.member import Member
from tests.lab.traffic import Traffic
from tests.lab.waiting import wait_until

SECONDS, RATE = 1.5, 20.0


def look(member: Member) -> dict[str, Any]:
    """Return what every process holds, and by how much the tables grow while users create teams."""
    held = member.held()
    address, port, token = member.users()
    before = member.counts()
    with tempfile.TemporaryDirectory() as folder:
        users = Traffic(address, port, token, Path(folder) / "traffic.jsonl", RATE).start()
        time.sleep(SECONDS)
        seen = users.stop()
    wait_until(lambda: member.queued() == 0, "the worker to have done all events", 20)
    after = member.counts()
    grown = {table: after[table] - rows for table, rows in before.items()}
    return {"held": held, "processes": member.processes, "requests": seen["sent"], "failed": seen["failed"], **grown}
