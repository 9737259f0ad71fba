"""Command line: python -m tests.lab.docker up | down | status."""

from __future__ import annotations

import argparse
import sys
import time

from ..waiting import LabError
from . import engine


def main(argv: list[str] | None = None) -> int:
    """Do what the arguments say and return the exit code; a LabError becomes one line and 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.docker", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (("up", "start an engine and wait until it answers"), ("down", "end an engine and all in it")):
        commands.add_parser(name, help=words).add_argument("--name", default="lab")
    commands.add_parser("status", help="list the engines")
    arguments = parser.parse_args(argv)
    begun = time.monotonic()
    try:
        print(f"{_do(arguments)} ({time.monotonic() - begun:.1f} s)")
    except LabError as error:
        print(f"docker: {error}", file=sys.stderr)
        return 1
    return 0


def _do(arguments: argparse.Namespace) -> str:
    if arguments.command == "status":
        for name in engine.names():
            print(f"{name}: {_told(engine.Engine(name))}")
        return f"{len(engine.names())} engines"
    one = engine.Engine(arguments.name)
    if arguments.command == "down":
        one.down()
        return f"{one.name} is down"
    return f"{one.name} is up: {_told(one.up())}"


def _told(one: engine.Engine) -> str:
    names = ("DOCKER_HOST", "DOCKER_CONFIG")
    return " ".join(f"{name}={one.environ[name]}" for name in names if name in one.environ)


if __name__ == "__main__":
    sys.exit(main())
