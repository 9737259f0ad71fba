"""A node of AWX: ansible-runner, the engine that AWX runs its jobs by, in a folder that is thrown away after each."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gates.tree import project_files
from tests.lab.lab import Lab
from tests.support.play import ROOT, environ

#: what AWX adds to every job's extra variables, under both names (24.6: awx/main/models/jobs.py)
LAUNCHED_BY = {
    f"{prefix}_{name}": value
    for prefix in ("awx", "tower")
    for name, value in {
        "job_id": 4711,
        "job_launch_type": "manual",
        "job_template_name": "Roll back dual-write",
        "user_id": 7,
        "user_name": "ann",
        "user_email": "ann@shop.example",
        "inventory_name": "lab",
    }.items()
}


@dataclass(frozen=True)
class Launched:
    """How a job ended: status and exit code as AWX would show them, its events, all that it left as text."""

    status: str
    rc: int
    events: list[dict[str, Any]]
    text: str
    artifacts: str

    def results(self, module: str) -> list[dict[str, Any]]:
        """Return the results of one module of ours, as the events tell them."""
        return [
            one["event_data"]["res"]
            for one in self.events
            if one["event"] in ("runner_on_ok", "runner_on_failed")
            and one["event_data"].get("resolved_action", "").endswith(f".{module}")
        ]

    def modules(self) -> list[str]:
        """Return the modules of ours that ended well, in order."""
        ended = [one["event_data"] for one in self.events if one["event"] == "runner_on_ok"]
        names = [one.get("resolved_action", "") for one in ended]
        return [name.rpartition(".")[2] for name in names if name.startswith("dualwrite.rollback.")]


class Node:
    """One node: a home of its own, and a new private folder for each job."""

    def __init__(self, folder: Path, name: str, lab: Lab, reports: Path) -> None:
        self.home = folder / name
        self.home.mkdir(parents=True)
        self.environ = {
            **{key: value for key, value in environ(reports).items() if key in ("PATH", "DUALWRITE_REPORTS", "LANG")},
            "HOME": str(self.home),
            "DUALWRITE_LAB": str(lab.dir),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
        }

    @contextmanager
    def private(self) -> Iterator[Path]:
        """Make a job's private folder with a checkout of the project in it, and throw it away."""
        with tempfile.TemporaryDirectory(dir=self.home, prefix="awx_4711_") as folder:
            for name in project_files():
                if name.startswith(("playbooks/", "inventories/")):
                    target = Path(folder) / "project" / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(ROOT / name, target, follow_symlinks=False)
            yield Path(folder)

    def launch(self, playbook: str | list[Any], answers: Mapping[str, Any], *more: str) -> Launched:
        """Run a playbook of the project, or these plays, to the end, with the answers of a survey."""
        import ansible_runner  # the environments of `make compat` have none

        with self.private() as folder:
            run = ansible_runner.run(
                private_data_dir=str(folder),
                playbook=f"playbooks/{playbook}.yml" if isinstance(playbook, str) else playbook,
                inventory=str(folder / "project" / "inventories" / "lab"),
                extravars={**LAUNCHED_BY, **answers},
                envvars=self.environ,
                cmdline=" ".join(more) or None,
                quiet=True,
            )
            left = [path for path in (folder / "artifacts").rglob("*") if path.is_file()]
            artifacts = "\n".join(path.read_text(errors="replace") for path in left)
            return Launched(run.status, run.rc, list(run.events), run.stdout.read(), artifacts)

    def argv(self, folder: Path, playbook: str, answers: Mapping[str, Any]) -> list[str]:
        """Prepare a job in a private folder and return the command that runs it, for a test that kills it."""
        env = folder / "env"
        env.mkdir()
        (env / "extravars").write_text(json.dumps({**LAUNCHED_BY, **answers}))
        (env / "envvars").write_text(json.dumps(self.environ))
        inventory = str(folder / "project" / "inventories" / "lab")
        runner = str(Path(sys.executable).parent / "ansible-runner")
        return [runner, "run", str(folder), "-p", f"playbooks/{playbook}.yml", "--inventory", inventory]
