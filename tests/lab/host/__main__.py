"""Command line: python -m tests.lab.host install | build | up | down | status."""

from __future__ import annotations

import argparse
import sys
import time

from ..waiting import LabError
from . import app, host, image, machine


def main(argv: list[str] | None = None) -> int:
    """Do what the arguments say and return the exit code; a LabError becomes one line and 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.host", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="install the Debian packages that are missing on this machine")
    commands.add_parser("build", help="build the image unless the cache has it")
    up = commands.add_parser("up", help="boot a host and wait until ssh answers")
    up.add_argument("--app", action="store_true", help="with the reference application in it, as units")
    down = commands.add_parser("down", help="take a host down and remove all that was its own")
    for command in (up, down):
        command.add_argument("--name", default="staging-web-1")
    commands.add_parser("status", help="list the hosts")
    arguments = parser.parse_args(argv)
    begun = time.monotonic()
    try:
        print(f"{_do(arguments)} ({time.monotonic() - begun:.1f} s)")
    except LabError as error:
        print(f"host: {error}", file=sys.stderr)
        return 1
    return 0


def _do(arguments: argparse.Namespace) -> str:
    if arguments.command == "install":
        return f"installed: {', '.join(machine.install()) or 'nothing was missing'}"
    if arguments.command == "build":
        return f"image: {image.build()}"
    if arguments.command == "status":
        for name in host.names():
            one = host.SystemdHost(name)
            print(
                f"{name}: {'up at ' + one.address if one.running else 'left half up'}; ssh -F {one.ssh_config} {name}"
            )
        return f"{len(host.names())} hosts"
    one = host.SystemdHost(arguments.name)
    if arguments.command == "down":
        one.down()
        return f"{one.name} is down"
    application = ""
    if arguments.app:
        application = f", application at {app.up_with_app(one).url}"
    one.up()
    return f"{one.name} is up at {one.address}{application}; ssh -F {one.ssh_config} {one.name}"


if __name__ == "__main__":
    sys.exit(main())
