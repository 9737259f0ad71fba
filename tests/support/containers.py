"""The application in containers: what its processes hold, told from inside."""

from __future__ import annotations

from tests.lab.docker.app import ComposeApp
from tests.support.measure import FLAG

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


def holders(app: ComposeApp, service: str) -> list[str]:
    """Return what every process in a service's containers holds for the flag, told from inside."""
    script = HOLDERS.format(flag=FLAG)
    told = [app.engine.docker("exec", one, "python3", "-c", script) for one in app.containers(service)]
    return "".join(told).split()
