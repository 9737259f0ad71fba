"""python -m tests.lab up|down|status|env: a lab from the command line."""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

from . import traffic
from .lab import Lab
from .waiting import LabError


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; return the exit code (status: 0 all up, 1 not all up)."""
    options = parse(argv)
    lab = Lab(options.name, options.dir, reload=not getattr(options, "no_reload", False))
    try:
        return COMMANDS[options.command](lab, options)
    except LabError as error:
        print(f"lab {lab.name}: {error}", file=sys.stderr)
        return 1


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", default="default", help="which lab (default: %(default)s)")
    common.add_argument("--dir", type=Path, help="its folder (default: .lab/<name> in the repository)")
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", parents=[common], help="start every part that does not run")
    up.add_argument("--traffic", type=float, metavar="RATE", help="requests per second of invented users")
    up.add_argument("--no-reload", action="store_true", help="the application does not read its env file at SIGHUP")
    down = commands.add_parser("down", parents=[common], help="end every process")
    down.add_argument("--wipe", action="store_true", help="remove the folder too")
    commands.add_parser("status", parents=[common], help="say what runs")
    commands.add_parser("env", parents=[common], help="print where things are, as shell assignments")
    users = commands.add_parser("traffic", parents=[common], help="be the traffic process of a running lab")
    users.add_argument("--rate", type=float, default=20.0)
    return parser.parse_args(argv)


def up(lab: Lab, options: argparse.Namespace) -> int:
    """Start the lab and say where it is."""
    began = time.monotonic()
    lab.up(traffic=options.traffic)
    print(f"lab {lab.name} is up in {time.monotonic() - began:.1f} s: {lab.url}  ({lab.dir / 'state.json'})")
    return 0


def down(lab: Lab, options: argparse.Namespace) -> int:
    """End the lab."""
    lab.down(wipe=options.wipe)
    print(f"lab {lab.name} is down")
    return 0


def status(lab: Lab, options: argparse.Namespace) -> int:
    """Print a line per part."""
    known = lab.status()
    for part, found in known.items():
        print(f"{part:<11}{'up' if found['up'] else 'down':<6}{found['pid'] or ''}".rstrip())
    return 0 if all(found["up"] for found in known.values()) else 1


def env(lab: Lab, options: argparse.Namespace) -> int:
    """Print assignments for a shell; secrets stay in files."""
    state = lab.state
    database = state["database"]
    values = {
        "LAB_STATE": lab.dir / "state.json",
        "LAB_URL": state["web"]["url"],
        "LAB_ENV_FILE": state["env_file"],
        "LAB_RUN_DIR": state["run_dir"],
        "LAB_LOG_DIR": state["log_dir"],
        "LAB_TOKEN_FILE": state["token_file"],
        "PGHOST": database["host"],
        "PGPORT": database["port"],
        "PGDATABASE": database["dbname"],
        "PGUSER": database["user"],
        "PGPASSFILE": database["pgpass_file"],
    }
    for name, value in values.items():
        print(f"export {name}={shlex.quote(str(value))}")
    return 0


def be_traffic(lab: Lab, options: argparse.Namespace) -> int:
    """Send requests until told to stop."""
    traffic.run(lab.dir, options.rate)
    print(json.dumps(lab.traffic_summary()))
    return 0


COMMANDS = {"up": up, "down": down, "status": status, "env": env, "traffic": be_traffic}

if __name__ == "__main__":
    sys.exit(main())
