"""A tiny workload of the kind the platforms deal with: a master and workers that hold flags. Runs until told to end.

`tiny.py --pidfile P --env-file E` holds the flags of its own environment. With --state-dir it says what it holds in a
state file per process, and SIGHUP makes it read the env file anew. The other options are ways to misbehave.
"""

import argparse
import json
import os
import signal
import sys


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pidfile", required=True)
    parser.add_argument("--env-file", required=True)
    parser.add_argument("--state-dir")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ignore-hup", action="store_true", help="SIGHUP changes nothing")
    parser.add_argument("--die-on-hup", action="store_true", help="SIGHUP ends it")
    parser.add_argument("--ballast", type=int, default=0, help="megabytes to hold, which make its end take a while")
    parser.add_argument("--keeper", action="store_true", help="the first worker keeps its values at SIGHUP")
    parser.add_argument("--ignore-term", action="store_true", help="SIGTERM does not end it")
    parser.add_argument("--fail-when", help="NAME=value with which it does not start")
    parser.add_argument("--end-when", help="NAME=value with which it ends soon after its start")
    parser.add_argument("--helper", action="store_true", help="the master starts one short-lived child after the other")
    options = parser.parse_args()
    name, dummy, value = (options.fail_when or options.end_when or "=").partition("=")
    hit = bool(name) and os.environ.get(name) == value
    if hit and options.fail_when:
        sys.exit(f"refusing to start with {name}={value} password=hunter22")
    waits_for = {signal.SIGTERM} if options.die_on_hup else {signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, waits_for)
    flags = dict(os.environ)
    ballast = bytearray(b"\1") * (options.ballast << 20)
    workers = [start_worker(options, flags, number) for number in range(options.workers)]
    announce(options, flags)
    with open(options.pidfile + ".new", "w", encoding="ascii") as stream:
        stream.write(f"{os.getpid()}\n")
    os.replace(options.pidfile + ".new", options.pidfile)
    serve(options, flags, waits_for, workers, hit)
    del ballast
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    for pid in workers:
        os.waitpid(pid, 0)
    os.unlink(options.pidfile)


def serve(options: argparse.Namespace, flags: dict[str, str], waits_for: set, workers: list[int], hit: bool) -> None:
    while True:
        got = signal.sigtimedwait(waits_for, 0.05 if hit or options.helper else 3600)
        if got is None and hit:
            return
        if got is None and options.helper:
            os.spawnve(os.P_WAIT, "/bin/true", ["true"], {"NOTHING": "here"})
        elif got and got.si_signo == signal.SIGTERM and not options.ignore_term:
            return
        elif got and got.si_signo == signal.SIGHUP and not options.ignore_hup:
            flags.update(read(options.env_file))
            announce(options, flags)
            for pid in workers:
                os.kill(pid, signal.SIGHUP)


def start_worker(options: argparse.Namespace, flags: dict[str, str], number: int) -> int:
    master = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})
    announce(options, flags)
    while True:
        got = signal.sigtimedwait({signal.SIGTERM, signal.SIGHUP}, 1)
        if os.getppid() != master or (got and got.si_signo == signal.SIGTERM):
            os._exit(0)
        if got and not (options.keeper and number == 0):
            flags.update(read(options.env_file))
            announce(options, flags)


def announce(options: argparse.Namespace, flags: dict[str, str]) -> None:
    if not options.state_dir:
        return
    with open("/proc/self/stat", encoding="utf-8") as stream:
        started = int(stream.read().rpartition(")")[2].split()[19])
    held = {name: value for name, value in flags.items() if name.startswith("TEAM_")}
    path = os.path.join(options.state_dir, f"{os.getpid()}.json")
    with open(path + ".new", "w", encoding="utf-8") as stream:
        json.dump({"pid": os.getpid(), "start_time": started, "flags": held}, stream)
    os.replace(path + ".new", path)


def read(path: str) -> dict[str, str]:
    with open(path, encoding="utf-8") as stream:
        return dict(line.strip().split("=", 1) for line in stream if "=" in line and not line.startswith("#"))


if __name__ == "__main__":
    main()
