"""The bench of the platform compose: services of a project of its own on a real engine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible_collections.dualwrite.rollback.tests.unit.contract.benches import LocalBench
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import ENV, FLAG, TINY

INSIDE = "/opt/tiny.py"


class ComposeBench(LocalBench):
    """Services that run tiny.py, with one env_file for all of them."""

    platform = "compose"
    way = "recreate"

    def __init__(self, engine: Any, image: str, folder: Path, number: int) -> None:
        self.engine = engine
        self.environ = engine.environ
        self.image = image
        self.folder = folder
        self.name = f"shop{os.getpid()}-{number}"
        self.file = folder / "compose.yaml"
        self.services: dict[str, Any] = {}
        self.env(ENV)

    def service(self, name: str, *habits: str, **more: Any) -> dict[str, Any]:
        """Add a service that runs tiny.py with these habits to the project's file and return it."""
        paths = ["--pidfile", f"/tmp/{name}.pid", "--env-file", "/tmp/app.env"]
        self.services[name] = {
            "image": self.image,
            "command": ["python3", INSIDE, *paths, *habits],
            "volumes": [f"{TINY}:{INSIDE}:ro"],
            "stop_grace_period": "3s",
            **more,
        }
        self.write({"name": self.name, "services": self.services})
        return self.services[name]

    def write(self, content: Any) -> None:
        """Write the project's file: a text as it is, anything else as JSON (which is YAML too)."""
        self.file.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))

    def options(self, name: str, **options: Any) -> dict[str, Any]:
        """Return the inventory's entry of a service, whatever the project's file says of it."""
        given = {"project_src": str(self.folder), "service": name, "stable_for": 0.3, **options}
        return {"name": name, "platform": "compose", "options": given}

    def entry(self, name: str, *habits: str, **options: Any) -> dict[str, Any]:
        self.service(name, *habits, env_file=["app.env"])
        return self.options(name, **options)

    def start(self, *names: str) -> None:
        self.compose("up", "--detach", "--no-deps", "--pull", "never", *names)

    def compose(self, *words: str) -> str:
        """Run `docker compose` on the project and return what it said."""
        return str(self.engine.docker("compose", "--project-directory", str(self.folder), *words))

    def containers(self, *names: str) -> list[str]:
        """Return the ids of the containers of these services, of all when none is named."""
        return sorted(self.compose("ps", "--quiet", "--no-trunc", *names).split())

    def env(self, text: str | None = None) -> str:
        if text is not None:
            (self.folder / "app.env").write_bytes(text.encode())
        return (self.folder / "app.env").read_text()

    def env_path(self) -> str:
        return str(self.folder / "app.env")

    def close(self) -> None:
        if self.services or self.file.exists():
            ids = self.engine.docker(
                "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.name}"
            )
            if ids.split():
                self.engine.docker("rm", "--force", "--volumes", *ids.split())
            self.engine.docker("network", "rm", f"{self.name}_default", check=False)


def held(told: dict[str, Any], name: str = "web") -> set[str]:
    """Return what the instances of a workload hold after a call."""
    assert "result" in told, told
    return set(told["result"]["after"][name][FLAG]["effective"].values())


def read(bench: ComposeBench, *entries: dict[str, Any]) -> dict[str, Any]:
    """Return what flag_info tells of these workloads."""
    told = bench.call("read_flags", {"flags": [FLAG], "workloads": list(entries)})
    assert "result" in told, told
    return dict(told["result"])
