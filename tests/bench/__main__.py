"""python -m tests.bench: time the ways to switch a flag off, and to restore, and write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import platform
import socket
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab import cluster, docker, host
from tests.lab.docker import images
from tests.support.play import ROOT

from . import cleanup, restore
from .arms import rounds
from .compose import Services
from .kubernetes import Deployments
from .page import page, table
from .systemd import INSIDE, Fleet

PAGE = ROOT / "docs" / "benchmarks.md"
CLEANUP_PAGE = ROOT / "docs" / "benchmarks_cleanup.md"
RESTORE_PAGE = ROOT / "docs" / "benchmarks_restore.md"


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def machine() -> str:
    """Return one sentence about this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}, Python "
        f"{platform.python_version()}; all hosts run on this one machine and share its cores."
    )


def on_hosts(numbers: list[int], times: int) -> dict[str, dict[str, list[float]]]:
    """Boot as many hosts as the largest number asks for, and time all arms for each number of them."""
    hosts = [host.SystemdHost(f"bench-{os.getpid()}-{index}", aliases=()) for index in range(max(numbers))]
    found = {}
    try:
        hosts[0].up(binds={str(ROOT): INSIDE})  # the first one builds the image
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda one: one.up(binds={str(ROOT): INSIDE}), hosts[1:]))
        with tempfile.TemporaryDirectory(prefix="dualwrite-bench-") as folder:
            for number in numbers:
                fleet = Fleet(hosts[:number], Path(folder))
                fleet.prepare()
                found[fleet.what] = rounds(fleet, times)
    finally:
        for one in hosts:
            one.down()
    return found


def on_an_engine(numbers: list[int], times: int) -> dict[str, dict[str, list[float]]]:
    """Time all arms for each number of Compose services."""
    engine = docker.Engine(f"bench-{os.getpid()}")
    found = {}
    try:
        image = images.build(engine.up())
        with tempfile.TemporaryDirectory(prefix="dualwrite-bench-") as folder:
            for number in numbers:
                services = Services(engine, image, number, Path(folder))
                services.prepare()
                try:
                    found[services.what] = rounds(services, times)
                finally:
                    services.down()
    finally:
        engine.down()
    return found


def on_a_cluster(numbers: list[int], times: int) -> dict[str, dict[str, list[float]]]:
    """Time all arms for each number of Deployments."""
    one = cluster.Cluster(f"bench-{os.getpid()}")
    found = {}
    try:
        one.up()
        with tempfile.TemporaryDirectory(prefix="dualwrite-bench-") as folder:
            for number in sorted(numbers):
                deployments = Deployments(one, number, Path(folder))
                deployments.prepare()
                found[deployments.what] = rounds(deployments, times)
    finally:
        one.down()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    for name, default in (
        ("--hosts", [1, 10]),
        ("--compose", [1, 10]),
        ("--deployments", [1, 10, 50]),
        ("--cleanup", [10_000, 1_000_000]),
    ):
        parser.add_argument(
            name, type=int, nargs="*", default=default, metavar="N", help="how many; none leaves it out"
        )
    parser.add_argument("--restore", type=int, nargs="*", default=[100, 1000], metavar="MB", help="sizes of databases")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    components = ((options.hosts, host), (options.compose, docker), (options.deployments, cluster))
    reasons = [module.unavailable() for numbers, module in components if numbers]
    if any(reasons):
        print(f"bench: {next(filter(None, reasons))}", file=sys.stderr)
        return 1
    found = on_hosts(options.hosts, options.rounds) if options.hosts else {}
    found |= on_an_engine(options.compose, options.rounds) if options.compose else {}
    found |= on_a_cluster(options.deployments, options.rounds) if options.deployments else {}
    if found:
        print(table(found))
    if found and options.write:
        PAGE.write_text(page(found, machine()), encoding="utf-8")
    if options.cleanup:
        removed = cleanup.measured(options.cleanup, options.rounds, free_port())
        print(cleanup.table(removed))
        said = f"{cleanup.HEAD}\n{cleanup.table(removed)}\n\n{options.rounds} rounds. {machine()}\n"
        if options.write:
            CLEANUP_PAGE.write_text(said, encoding="utf-8")
    if options.restore:
        restored = {size: restore.measured(size, min(options.rounds, 3)) for size in options.restore}
        print(restore.table(restored))
        said = f"{restore.HEAD}\n{restore.table(restored)}\n\n{min(options.rounds, 3)} rounds. {machine()}\n"
        if options.write:
            RESTORE_PAGE.write_text(said, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
