"""python -m tests.bench: time the ways to switch a flag off and write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab.host import SystemdHost, unavailable
from tests.support.play import ROOT

from .arms import INSIDE, Fleet, rounds
from .page import page, table

PAGE = ROOT / "docs" / "benchmarks.md"


def machine() -> str:
    """Return one sentence about this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}, Python "
        f"{platform.python_version()}; all hosts run on this one machine and share its cores."
    )


def measure(numbers: list[int], times: int) -> dict[str, dict[str, list[float]]]:
    """Boot as many hosts as the largest number asks for, and time all arms for each number of them."""
    hosts = [SystemdHost(f"bench-{os.getpid()}-{index}", aliases=()) for index in range(max(numbers))]
    found = {}
    try:
        hosts[0].up(binds={str(ROOT): INSIDE})  # the first one builds the image
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda host: host.up(binds={str(ROOT): INSIDE}), hosts[1:]))
        with tempfile.TemporaryDirectory(prefix="dualwrite-bench-") as folder:
            for number in numbers:
                fleet = Fleet(hosts[:number], Path(folder))
                fleet.prepare()
                found[f"{number} systemd host{'s' if number > 1 else ''}"] = rounds(fleet, times)
    finally:
        for host in hosts:
            host.down()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 10], metavar="N")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    reason = unavailable()
    if reason:
        print(f"bench: {reason}", file=sys.stderr)
        return 1
    found = measure(options.hosts, options.rounds)
    print(table(found))
    if options.write:
        PAGE.write_text(page(found, machine()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
