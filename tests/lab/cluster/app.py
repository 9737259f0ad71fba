"""The reference application in a cluster: web and worker as Deployments; its database is on this machine."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import parts
from ..postgres import DATABASE, USER, Postgres, write_secret
from ..served import Served
from ..waiting import LabError, wait_until
from .balancer import Balancer
from .cluster import Cluster

NAMESPACE = "deltacrown"
WEB, WORKER = "deltacrown-web", "deltacrown-worker"
FLAGS = "deltacrown-web-flags"
MIGRATE = "job/deltacrown-migrate"
MANIFESTS = Path(__file__).parent / "manifests"
READY_S = 60


@dataclass(frozen=True)
class ClusterApp(Served):
    """The application in a namespace of a cluster; ``up`` makes it."""

    cluster: Cluster
    folder: Path
    postgres: Postgres
    balancer: Balancer

    @property
    def port(self) -> int:
        """The port of loopback that leads to the ready web pods."""
        return self.balancer.port

    @property
    def url(self) -> str:
        """Where the application answers, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def secrets_file(self) -> Path:
        """What the Secret holds, as an env file."""
        return self.folder / "secrets.env"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of who may do everything."""
        return self.cluster.kubeconfig

    def kubectl(self, *words: str) -> str:
        """Run kubectl in the application's namespace and return its output. Raises LabError when it fails."""
        return self.cluster.kubectl("--namespace", NAMESPACE, *words)

    def pods(self, app: str) -> list[str]:
        """Return the names of a Deployment's pods that are not about to go."""
        return sorted(one["metadata"]["name"] for one in self._pods(app) if "deletionTimestamp" not in one["metadata"])

    def running(self, app: str) -> set[str]:
        """Return the names of a Deployment's pods that have a process left; kubelet lists ended ones for a while."""
        return {
            one["metadata"]["name"]
            for one in self._pods(app)
            if any("running" in container["state"] for container in one["status"].get("containerStatuses", []))
        }

    def _pods(self, app: str) -> list[dict[str, Any]]:
        found: dict[str, Any] = json.loads(self.kubectl("get", "pods", "--selector", f"app={app}", "--output", "json"))
        return list(found["items"])

    def down(self) -> None:
        """Remove the namespace with all that is in it, and stop the database."""
        self.balancer.stop()
        try:
            self.cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        finally:
            self.postgres.stop()


def up(cluster: Cluster, folder: Path) -> ClusterApp:
    """Start database and application in a new folder and wait until it answers healthy. Raises LabError."""
    lab = folder / "database"
    lab.mkdir()
    app = ClusterApp(cluster, folder, Postgres(lab), Balancer(cluster, NAMESPACE, WEB))
    app.postgres.start(parts.free_port(), address=cluster.gateway, clients=cluster.pods)
    cluster.kubectl("create", "namespace", NAMESPACE)
    _settings(app)
    app.kubectl("apply", "--filename", str(Path(__file__).with_name("migrate.yaml")))
    _await(app, "wait", "--for=condition=complete", MIGRATE)
    app.kubectl("apply", "--filename", str(MANIFESTS))
    app.balancer.start()
    for name in (WEB, WORKER):
        _await(app, "rollout", "status", f"deployment/{name}")
    wait_until(app.healthy, "the application to answer healthy", 30)
    return app


def _settings(app: ClusterApp) -> None:
    """Make what the pods are told of the database, and what nobody else may know; keep the latter for the tests."""
    token, password = secrets.token_urlsafe(24), app.postgres.password_file.read_text().strip()
    database = {
        "DATABASE_HOST": app.cluster.gateway,
        "DATABASE_PORT": app.postgres.port,
        "DATABASE_NAME": DATABASE,
        "DATABASE_USER": USER,
    }
    known = [f"--from-literal={name}={value}" for name, value in database.items()]
    app.kubectl("create", "configmap", "deltacrown-database", *known)
    hidden = {"DATABASE_PASSWORD": password, "SECRET_KEY": secrets.token_urlsafe(40), "API_TOKEN": token}
    write_secret(app.secrets_file, "".join(f"{name}={value}\n" for name, value in hidden.items()))
    write_secret(app.token_file, f"{token}\n")
    write_secret(app.password_file, f"*:{app.postgres.port}:{DATABASE}:{USER}:{password}\n")
    app.kubectl("create", "secret", "generic", "deltacrown-secrets", f"--from-env-file={app.secrets_file}")


def _await(app: ClusterApp, *words: str) -> None:
    """Run a waiting command of kubectl, and say how the pods are when it waits in vain."""
    try:
        app.kubectl(*words, f"--timeout={READY_S}s")
    except LabError as error:
        pods = app.kubectl("get", "pods", "--output", "wide")
        said = app.kubectl("logs", "--selector", "app.kubernetes.io/part-of=deltacrown", "--tail", "5", "--prefix")
        raise LabError(f"{error}; pods:\n{pods}{said}") from None
