"""A cluster with the application in a namespace of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.fleet.member import ServedMember
from tests.lab.cluster import Cluster, build, unavailable
from tests.lab.cluster.app import MANIFESTS, NAMESPACE, WEB, WORKER, ClusterApp, up
from tests.lab.cluster.balancer import Balancer
from tests.lab.postgres import Postgres
from tests.lab.processes import Process, start_time
from tests.lab.waiting import LabError, wait_until
from tests.support.clusters import bind, holders, set_flags, variables_of
from tests.support.measure import FLAG
from tests.support.play import ROOT


class Kubernetes(ServedMember):
    """Two Deployments; their database and what is in front of them lie on this machine."""

    platform = "kubernetes"
    host = "staging-cluster"
    processes = 7

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder, name)
        self.cluster = Cluster(name)
        self._remembered = folder / "balancer.json"

    def unavailable(self) -> str | None:
        return unavailable()

    def up(self) -> None:
        self.folder.mkdir(parents=True)
        app = up(self.cluster.up(), self.folder)
        bind(app)
        # the one of the lab ends with this process; users come later
        app.balancer.stop()
        argv = [sys.executable, "-m", "tests.fleet.kubernetes", self.name, str(app.port)]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(argv, cwd=ROOT, start_new_session=True, **streams)  # type: ignore[call-overload]
        told = {"port": app.port, "pid": process.pid, "start_time": start_time(process.pid)}
        self._remembered.write_text(json.dumps(told))
        wait_until(app.healthy, "the application to answer healthy")

    def app(self) -> ClusterApp:
        """Return the application that is up."""
        port = json.loads(self._remembered.read_text())["port"]
        balancer = Balancer(self.cluster, NAMESPACE, WEB, port)
        return ClusterApp(self.cluster, self.folder, Postgres(self.folder / "database"), balancer)

    def down(self) -> None:
        if self._remembered.exists():
            told = json.loads(self._remembered.read_text())
            Process(told["pid"], told["start_time"] or 0, "").send(signal.SIGTERM)
        Postgres(self.folder / "database").stop()
        self.cluster.down()
        shutil.rmtree(self.folder, ignore_errors=True)

    def group_variables(self) -> Path:
        return ROOT / "inventories" / "staging-kubernetes" / "group_vars" / "kubernetes"

    def host_variables(self) -> dict[str, Any]:
        return {
            **variables_of(self.app()),
            "fleet_kubectl": [
                str(build.program("kubectl")),
                f"--kubeconfig={self.cluster.kubeconfig}",
                f"--namespace={NAMESPACE}",
            ],
        }

    def dual_writing(self) -> None:
        app = self.app()
        app.kubectl("apply", "--filename", str(MANIFESTS))
        for name in (WEB, WORKER):
            app.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
        if set(self.held()) != {"true"}:
            set_flags(app, **{FLAG: "true"})
        wait_until(app.healthy, "the application to answer healthy")
        wait_until(lambda: set(self.held()) == {"true"}, "every process to hold dual-write on", 30)

    def held(self) -> list[str]:
        app = self.app()
        found = []
        for name in (WEB, WORKER):
            with contextlib.suppress(LabError):  # a pod went away between the question and the look
                found += holders(app, name)
        return found


def main(name: str, port: str) -> None:
    """Stand in front of the application of a cluster until told to end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    Balancer(Cluster(name), NAMESPACE, WEB, int(port)).start()
    signal.sigwait({signal.SIGTERM})
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
