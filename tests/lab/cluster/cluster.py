"""A cluster: Kubernetes's own programs and real pods on one node, in namespaces of its own, thrown away by down()."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from ..waiting import LabError, wait_until
from . import build, groups, images, machine, network, pki, programs

API = "kube-apiserver"
SPACES = ("--net", "--mount", "--pid", "--ipc", "--uts")
# The starting shell enters the cluster's control groups and becomes unshare, so nothing of it is ever outside them.
START = 'for home in "$@"; do echo $$ > "$home/cgroup.procs"; done; exec {command} >"{log}" 2>&1 </dev/null'


def folder() -> Path:
    """Return the folder that holds a folder for each cluster."""
    return machine.cache_dir() / "clusters"


def names() -> list[str]:
    """Return the names of the clusters that are up, or were left half up."""
    return sorted(entry.name for entry in folder().iterdir()) if folder().exists() else []


class Cluster:
    """One cluster, known by its name on the whole machine: any process may use it or take it down."""

    def __init__(self, name: str) -> None:
        """Name a cluster; nothing starts yet. The node has the same name.

        Raises LabError for a name that is no host name.
        """
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", name):
            raise LabError(f"{name!r} is no name for a cluster: use up to 32 of a-z, 0-9 and -")
        self.name = name
        self.folder = folder() / name
        self.logs = self.folder / "logs"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of admin, who may do everything; works outside the cluster's namespaces."""
        return self.kubeconfig_of("admin")

    def kubeconfig_of(self, user: str) -> Path:
        """Return the kubeconfig of a user of pki.USERS: admin, rollback (bind a role to it) or nobody."""
        return self.folder / f"{user}.kubeconfig"

    @property
    def server(self) -> str:
        """The address of the API. Raises LabError when the cluster isn't up."""
        return f"https://{network.addresses(self._index())[1]}:{programs.API_PORT}"

    @property
    def gateway(self) -> str:
        """This machine's address as pods see it. Raises LabError when the cluster isn't up."""
        return network.addresses(self._index())[0]

    @property
    def pods(self) -> str:
        """The subnet of the pods, which this machine sees them come from. Raises LabError when it isn't up."""
        return network.pods(self._index())

    @property
    def running(self) -> bool:
        """Whether its first process lives."""
        return groups.init_of(self.name) is not None

    def up(self) -> Cluster:
        """Start the cluster unless it is up and wait until its node takes pods; return self.

        Programs and images that are not in the cache are built first. Raises LabError when the machine can't have
        clusters, or this one doesn't come up; nothing is left then.
        """
        machine.require()
        build.build()
        archives = images.build()
        with machine.locked(f"cluster-{self.name}"):
            if self.running and (self.folder / "up").exists():
                return self
            self._clear()
            try:
                self._start(archives)
                self._await()
                (self.folder / "up").touch()
            except BaseException:
                self._clear()
                raise
        return self

    def down(self) -> None:
        """End the cluster and remove all that was its own; a cluster that isn't there is fine.

        Raises LabError when something refuses to go.
        """
        reason = machine.obstacle()
        if reason:
            raise LabError(reason)
        with machine.locked(f"cluster-{self.name}"):
            self._clear()

    def pause_api(self, *, refuse: bool = False) -> None:
        """Make the API silent: who asks gets no answer; with refuse, its process ends and nobody can connect.

        Pods go on running. Raises LabError when there is no API server.
        """
        pid = groups.program(self.name, API)
        if pid is None:
            raise LabError(f"cluster {self.name} has no API server: is it up?")
        if not refuse:
            os.kill(pid, signal.SIGSTOP)
            return
        (self.folder / "held" / API).touch()
        os.kill(pid, signal.SIGKILL)
        wait_until(self._api_refuses, "the API server to end", 10)

    def resume_api(self) -> None:
        """Undo pause_api() and wait until the API answers. Raises LabError when it doesn't."""
        (self.folder / "held" / API).unlink(missing_ok=True)
        pid = groups.program(self.name, API)
        if pid is not None:
            os.kill(pid, signal.SIGCONT)
        wait_until(self._api_ready, f"the API of cluster {self.name} to answer", 60)

    def get(self, path: str, user: str = "admin", timeout: float = 2) -> Any:
        """Return what the API answers a user to GET: parsed JSON, or text.

        Raises OSError (HTTPError among them) when it answers an error or not at all.
        """
        with self.open(path, user, timeout) as answer:
            text = answer.read().decode()
        return json.loads(text) if text.startswith("{") else text

    def open(self, path: str, user: str = "admin", timeout: float = 2) -> Any:
        """Return the API's answer to GET as a stream, for what it tells bit by bit; to be closed.

        Raises OSError as get() does, in reading too when nothing comes for so many seconds.
        """
        config = json.loads(self.kubeconfig_of(user).read_text())
        headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
        context = ssl.create_default_context(cafile=str(self.folder / "pki/ca.crt"))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        return opener.open(urllib.request.Request(self.server + path, headers=headers), timeout=timeout)

    def kubectl(self, *words: str) -> str:
        """Run kubectl as admin and return its output. Raises LabError when it fails."""
        return machine.call([str(build.program("kubectl")), "--kubeconfig", str(self.kubeconfig), *words])

    def run(self, argv: list[str], timeout: float = 60) -> str:
        """Run a command of the machine in the cluster's namespaces and return its output; for looking around.

        Raises LabError when the cluster isn't up or the command fails.
        """
        init = groups.init_of(self.name)
        if init is None:
            raise LabError(f"cluster {self.name} is not up: python -m tests.lab.cluster up --name {self.name}")
        entering = ["nsenter", "--target", str(init), *SPACES, "--", "timeout", f"{timeout:g}"]
        return machine.call([*entering, *argv])

    def _index(self) -> int:
        try:
            return int(json.loads((self.folder / "cluster.json").read_text())["index"])
        except OSError as error:
            raise LabError(
                f"cluster {self.name} is not up: python -m tests.lab.cluster up --name {self.name}"
            ) from error

    def _start(self, archives: list[Path]) -> None:
        """Write keys and configuration, start the first process and connect the network."""
        folder().mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700)
        with machine.locked("network"):
            taken = {Cluster(other)._index() for other in names() if (folder() / other / "cluster.json").exists()}
            index = network.free_index(taken)
            (self.folder / "cluster.json").write_text(json.dumps({"index": index}))
        self._write_keys()
        programs.write_plan(self.folder, self.name, index, archives)
        homes = groups.create(self.name)
        inside = [sys.executable, str(Path(__file__).with_name("inside.py")), str(self.folder)]
        command = ["unshare", *SPACES, "--fork", "--kill-child", "--mount-proc", "--propagation=private", *inside]
        start = START.format(command=shlex.join(command), log=self.logs / "first-process.log")
        machine.call(["setsid", "--fork", "sh", "-c", start, "sh", *map(str, homes)])
        self._still("its first process", lambda: groups.init_of(self.name) is not None, 20)
        init = groups.init_of(self.name)
        assert init is not None
        network.connect(index, init)

    def _write_keys(self) -> None:
        address = network.addresses(self._index())[1]
        authority = pki.Authority(self.folder / "pki")
        authority.issue("api", "kube-apiserver", "system:masters", (address, "127.0.0.1", pki.SERVICE_ADDRESS))
        authority.issue("node", f"system:node:{self.name}", "system:nodes", (address,))
        authority.issue("admin", "lab-programs", "system:masters")
        authority.service_account_keys()
        authority.tokens(self.server)
        inside = f"https://127.0.0.1:{programs.API_PORT}"
        for user in ("admin", "node"):
            path = self.folder / "pki" / f"{user}.kubeconfig"
            authority.kubeconfig(path, inside, user, authority.by_certificate(user))

    def _await(self) -> None:
        """Wait until the API answers, the node is ready and pods get a service account."""
        self._still("its API to answer", self._api_ready, 120)
        self._still("its node to be ready", self._node_ready, 120)
        self._still("its default service account", self._has_account, 60)

    def _api_ready(self) -> bool:
        try:
            return bool(self.get("/readyz") == "ok")
        except OSError:
            return False

    def _api_refuses(self) -> bool:
        try:
            socket.create_connection((network.addresses(self._index())[1], programs.API_PORT), timeout=1).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False

    def _node_ready(self) -> bool:
        try:
            node = self.get(f"/api/v1/nodes/{self.name}")
        except OSError:
            return False
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"]["conditions"])
        return ready and not node["spec"].get("taints")

    def _has_account(self) -> bool:
        try:
            return bool(self.get("/api/v1/namespaces/default/serviceaccounts/default").get("secrets"))
        except OSError:
            return False

    def _still(self, what: str, holds: Any, seconds: float) -> None:
        """Wait for holds(), and say what the programs said when the cluster died or it takes too long."""
        begun = time.monotonic()

        def probe() -> bool:
            if holds():
                return True
            if time.monotonic() - begun > 2 and not groups.members(self.name):
                raise LabError(f"cluster {self.name} ended while waiting for {what}")
            return False

        try:
            wait_until(probe, f"waiting on cluster {self.name} for {what}", seconds)
        except LabError as error:
            raise LabError(f"{error}; last lines of its logs: {self._last_lines()}") from None

    def _last_lines(self) -> str:
        said = []
        for log in sorted(self.logs.glob("*.log")):
            lines = log.read_text(errors="replace").strip().splitlines()
            said += [f"{log.stem}: {line[:300]}" for line in lines[-3:]]
        return "\n".join(["", *said])

    def _clear(self) -> None:
        """Remove processes, groups, network and files, whatever of them is there."""
        pid = groups.program(self.name, API)
        if pid is not None:
            os.kill(pid, signal.SIGCONT)
        groups.clear(self.name)
        if not self.folder.exists():
            return
        if (self.folder / "cluster.json").exists():
            network.remove(self._index())
        shutil.rmtree(self.folder)
