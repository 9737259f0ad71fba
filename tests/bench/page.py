"""Pure: seconds of the arms to the table of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

HEAD = """# Benchmarks

Made by `make bench`. Every round runs the three ways in turn on the same hosts, so that the ratios hold also where the
seconds don't; seconds are median (lowest to highest). Each way starts a program of its own, `ansible` too; **step** is
what the module tells of its own time, without the start of Ansible and of Python.

Hosts: the unit takes two seconds to start, as a web application does.

- **runbook**: what the page has one paste (`sed`, `systemctl restart`), over ssh, one host after the other. It looks at
  nothing afterwards.
- **limit**: the same commands on all hosts at once: what the platform itself needs.
- **module**: `dualwrite.rollback.flag` by `ansible` on all hosts, with reading every process before and after and one
  second in which the restarted unit must stay up (`stable_for`).

Compose services: one container each on one engine, whose health is asked for once a second. The page's `restart` would
not do: it applies no changed environment.

- **runbook**: `sed` in the project's file, then `docker compose up --detach --no-deps --wait` for one service after the
  other.
- **limit**: `sed` and `docker compose up --detach --no-deps --wait` once, for all services.
- **module**: `dualwrite.rollback.flag` by `ansible`, with all services as workloads of one call, with reading every
  process before and after, asking Compose what it makes of the files before and after the edit, and one second in which
  the new containers must live (`stable_for`).

Deployments: one pod each, all on the one node of the lab's cluster, with a readiness probe once a second.

- **runbook**: `kubectl set env`, `rollout restart` and `rollout status` for one Deployment after the other.
- **limit**: `kubectl set env` and `rollout status` alone, for all Deployments at once.
- **module**: `dualwrite.rollback.flag` by `ansible`, with all Deployments as workloads of one call, with reading every
  process before and after, and with waiting until nothing runs any more in a pod of before.
"""


def ratio(arm: Sequence[float], other: Sequence[float]) -> float:
    """Return the median of the ratios round by round."""
    return median(one / two for one, two in zip(arm, other, strict=True))


def told(seconds: Sequence[float]) -> str:
    """Return seconds as median (lowest to highest)."""
    return f"{median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def table(found: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return the table; ``found`` is what was switched off, by the arm's name the seconds of each round."""
    lines = [
        "| switched off | runbook | limit | module | step | module / runbook | module / limit | step / limit |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for what, arms in found.items():
        times = " | ".join(told(arms[name]) for name in ("runbook", "limit", "module", "step"))
        pairs = (("module", "runbook"), ("module", "limit"), ("step", "limit"))
        ratios = " | ".join(f"{ratio(arms[one], arms[other]):.2f}" for one, other in pairs)
        lines.append(f"| {what} | {times} | {ratios} |")
    return "\n".join(lines)


def page(found: Mapping[str, Mapping[str, Sequence[float]]], machine: str) -> str:
    """Return the whole page."""
    number = len(next(iter(next(iter(found.values())).values())))
    return f"{HEAD}\n{table(found)}\n\n{number} rounds. {machine}\n"
