"""Do one thing with the collection's plain Python and tell how it ended: JSON in, JSON out. Runs on any host.

In: {"do": ..., "params": ..., "check": ...}. Out: {"result": ...}, or {"error": class, "text": ..., "evidence": ...}.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[6]))

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import RollbackError
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms import env_file
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.registry import make
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps import flag
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.flag_info import read_flags
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.workload import set_workloads


def execute(params: dict[str, Any]) -> dict[str, Any]:
    platform = make(params["workload"])
    done = platform.execute(platform.instances()[0], params["argv"], Deadline(20))
    return {"rc": done.rc, "stdout": done.stdout}


def bounce(params: dict[str, Any]) -> dict[str, Any]:
    """Stop and start again, twice; the second time with nothing running at first."""
    platform = make(params["workload"])
    stopped = platform.stop(Deadline(20))
    between = len(platform.instances())
    nothing = platform.stop(Deadline(20))
    platform.start(nothing, Deadline(20))
    after_nothing = len(platform.instances())
    platform.start(stopped, Deadline(20))
    return {"between": between, "after_nothing": after_nothing, "after": len(platform.instances())}


def killed_before_roll(params: dict[str, Any]) -> dict[str, Any]:
    """End by SIGKILL where the roll would begin: a place that can't be hit from outside."""
    flag.FlagChange._roll = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    return flag.set_flags(params)


def logs(params: dict[str, Any]) -> list[str]:
    return make(params["workload"]).logs(params["since"])


def values(params: dict[str, Any]) -> dict[str, str]:
    found = env_file.assignments(params["text"].encode("utf-8"), params["dialect"])
    return {item.key: item.value for item in found}


def main() -> None:
    asked = json.load(sys.stdin)
    acts = {
        "set_flags": lambda params: flag.set_flags(params, check=asked.get("check", False)),
        "read_flags": read_flags,
        "set_workloads": lambda params: set_workloads(params, check=asked.get("check", False)),
        "execute": execute,
        "bounce": bounce,
        "logs": logs,
        "killed_before_roll": killed_before_roll,
        "values": values,
    }
    try:
        told = {"result": acts[asked["do"]](asked["params"])}
    except RollbackError as error:
        told = {"error": type(error).__name__, "text": str(error), "evidence": error.evidence}
    json.dump(told, sys.stdout, default=str)


if __name__ == "__main__":
    main()
