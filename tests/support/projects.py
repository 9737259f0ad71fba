"""The application as a Compose project: what its processes hold, how to have it dual-write."""

from __future__ import annotations

import os

import pytest

from tests.lab.docker import unavailable
from tests.lab.docker.app import ComposeApp
from tests.lab.waiting import wait_until
from tests.support.measure import FLAG

SERVICES = ("web", "worker")
#: prints what every other process in a container holds for the flag
HOLDERS = """
import os, pathlib
for one in pathlib.Path("/proc").glob("[0-9]*/environ"):
    try:
        text = one.read_text()
    except OSError:
        continue  # it has ended, or is the engine's own and only becomes the health command
    if one.parent.name != str(os.getpid()):
        held = dict(pair.split("=", 1) for pair in text.split("\\0") if "=" in pair)
        print(held.get("{flag}"))
"""


def need_engines() -> None:
    """Skip where no engine can be had, and say why; in CI that is a failure."""
    reason = unavailable()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def holders(app: ComposeApp, service: str, flag: str = FLAG) -> list[str]:
    """Return what every process in a service's containers holds for the flag, told from inside."""
    script = HOLDERS.format(flag=flag)
    told = [app.engine.docker("exec", one, "python3", "-c", script) for one in app.containers(service)]
    return "".join(told).split()


def set_flags(app: ComposeApp, **flags: str) -> None:
    """Have every process of the application hold these flags, as an operator would: edit the file, `up`."""
    path = app.folder / "compose.yaml"
    text = path.read_text()
    for flag, value in flags.items():
        head, dummy, rest = text.partition(f"{flag}: ")
        text = f'{head}{flag}: "{value}"{rest[rest.index(rest[0], 1) + 1 :]}'
    path.write_text(text)
    app.compose("up", "--detach", "--wait", "--timeout", "1", *SERVICES)
    wait_until(app.healthy, "the application to answer healthy", 30)


def dual_writing(app: ComposeApp) -> None:
    """Have every process of the application dual-write."""
    set_flags(app, **{FLAG: "true"})
