"""Command line: python -m tests.lab.cluster build | up | down | status."""

from __future__ import annotations

import argparse
import sys
import time

from ..waiting import LabError
from . import build, cluster, images


def main(argv: list[str] | None = None) -> int:
    """Do what the arguments say and return the exit code; a LabError becomes one line and 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build programs and images unless the cache has them (ten minutes when not)")
    up = commands.add_parser("up", help="start a cluster and wait until its node takes pods")
    down = commands.add_parser("down", help="take a cluster down and remove all that was its own")
    for command in (up, down):
        command.add_argument("--name", default="lab")
    commands.add_parser("status", help="list the clusters")
    arguments = parser.parse_args(argv)
    begun = time.monotonic()
    try:
        print(f"{_do(arguments)} ({time.monotonic() - begun:.1f} s)")
    except LabError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    return 0


def _do(arguments: argparse.Namespace) -> str:
    if arguments.command == "build":
        return f"programs: {build.build()}, images: {', '.join(path.name for path in images.build())}"
    if arguments.command == "status":
        for name in cluster.names():
            one = cluster.Cluster(name)
            print(f"{name}: {f'up at {one.server}' if one.running else 'left half up'}; KUBECONFIG={one.kubeconfig}")
        return f"{len(cluster.names())} clusters"
    one = cluster.Cluster(arguments.name)
    if arguments.command == "down":
        one.down()
        return f"{one.name} is down"
    one.up()
    return f"{one.name} is up at {one.server}; KUBECONFIG={one.kubeconfig}"


if __name__ == "__main__":
    sys.exit(main())
