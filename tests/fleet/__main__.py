"""Command line: python -m tests.fleet up | down | dual-write HOST... | look HOST..."""

from __future__ import annotations

import argparse
import json
import sys

from tests.fleet.fleet import Fleet, at_once, unavailable
from tests.fleet.look import look
from tests.lab.waiting import LabError


def main(argv: list[str] | None = None) -> int:
    """Do what the arguments say and return the exit code; a LabError becomes one line and 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.fleet", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start one host of each platform and write the inventory")
    commands.add_parser("down", help="end them all")
    back = commands.add_parser("dual-write", help="take back what was done to these hosts: every process dual-writes")
    told = commands.add_parser("look", help="print what the processes hold and which tables grow, as JSON")
    for command in (back, told):
        command.add_argument("hosts", nargs="+")
    arguments = parser.parse_args(argv)
    try:
        print(_do(Fleet(), arguments))
    except LabError as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 1
    return 0


def _do(fleet: Fleet, arguments: argparse.Namespace) -> str:
    if arguments.command == "up":
        for platform, reason in unavailable().items():
            print(f"{platform} is left out: {reason}")
        return f"up: {', '.join(member.host for member in fleet.up())}"
    if arguments.command == "down":
        fleet.down()
        return "down"
    members = [member for member in fleet.members() if member.host in arguments.hosts]
    lost = sorted(set(arguments.hosts) - {member.host for member in members})
    if lost:
        raise LabError(f"not up: {', '.join(lost)}")
    if arguments.command == "dual-write":
        at_once(lambda member: member.dual_writing(), members)
        return f"dual-writing: {', '.join(arguments.hosts)}"
    return json.dumps(at_once(look, members))


if __name__ == "__main__":
    sys.exit(main())
