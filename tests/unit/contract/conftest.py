"""A host booted by systemd for the contract; where there can be none, the reason is printed (in CI: a failure)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.tests.unit.contract.benches import (
    INSIDE,
    ROOT,
    Bench,
    PidfileBench,
    SystemdBench,
)
from ansible_collections.dualwrite.rollback.tests.unit.contract.compose_bench import ComposeBench
from ansible_collections.dualwrite.rollback.tests.unit.contract.kubernetes_bench import KubernetesBench, admin
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import ENV

_NUMBERS = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try the contract once: not again in the copy of the tree (without git) that ansible-test works in.

    What runs inside a component is marked: the Python that runs pytest makes no difference there.
    """
    for item in items:
        if not str(item.path).startswith(str(Path(__file__).parent)):
            continue
        if not (ROOT / ".git").exists():
            item.add_marker(pytest.mark.skip(reason="the contract is tried by pytest in the tree itself"))
        elif _component(item):
            item.add_marker(pytest.mark.component)
            if "kubernetes_bench" in _benches(item):
                item.add_marker(pytest.mark.cluster)


def _component(item: pytest.Item) -> bool:
    return bool(_benches(item) & set(COMPONENTS.values()))


def _benches(item: pytest.Item) -> set[str]:
    """Return the names of the benches' fixtures that a test has, by parameter or by name."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    tried = {params.get(name) for name in ("bench", "reloading_bench", "lock_place")}
    return {BENCHES[one] for one in tried if one in BENCHES} | set(getattr(item, "fixturenames", ()))


def _need(reason: str | None) -> None:
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def _lab(name: str) -> Any:
    return pytest.importorskip(f"ansible_collections.dualwrite.rollback.tests.lab.{name}")


def _up(part: str, kind: str, **how: Any) -> Iterator[Any]:
    """Bring one component of the lab up, with a name that nobody else has, and take it down afterwards."""
    lab = _lab(part)
    _need(lab.unavailable())
    one = getattr(lab, kind)(f"contract-{os.getpid()}")
    try:
        yield one.up(**how)
    finally:
        one.down()


@pytest.fixture(scope="session")
def host() -> Iterator[Any]:
    """A booted host that sees this tree."""
    yield from _up("host", "SystemdHost", binds={str(ROOT): INSIDE})


@pytest.fixture
def systemd_bench(host: Any) -> Iterator[SystemdBench]:
    """Units of their own in the host, with an env file that declares the flags."""
    bench = SystemdBench(host, next(_NUMBERS))
    bench.env(ENV)
    yield bench
    bench.close()


@pytest.fixture
def pidfile_bench(tmp_path: Path) -> Iterator[PidfileBench]:
    """Processes of their own on this machine."""
    bench = PidfileBench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """A Docker engine for the whole session."""
    yield from _up("docker", "Engine")


@pytest.fixture(scope="session")
def image(engine: Any) -> str:
    """The lab's image in that engine."""
    return str(_lab("docker.images").build(engine))


@pytest.fixture
def compose_bench(engine: Any, image: str, tmp_path: Path) -> Iterator[ComposeBench]:
    """A project of its own, with an env file that declares the flags."""
    bench = ComposeBench(engine, image, tmp_path, next(_NUMBERS))
    yield bench
    bench.close()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A Kubernetes cluster for the whole session."""
    yield from _up("cluster", "Cluster")


@pytest.fixture
def kubernetes_bench(cluster: Any) -> Iterator[KubernetesBench]:
    """A namespace of its own, with a ConfigMap that declares the flags."""
    bench = KubernetesBench(cluster, admin(cluster.kubeconfig), next(_NUMBERS), _lab("cluster.images"))
    yield bench
    bench.close()


BENCHES = {
    "compose": "compose_bench",
    "kubernetes": "kubernetes_bench",
    "pidfile": "pidfile_bench",
    "systemd": "systemd_bench",
}
#: those whose workloads can take new values without a new process
RELOADING = {"pidfile": "pidfile_bench", "systemd": "systemd_bench"}
#: those that need a host or an engine of the lab
COMPONENTS = {"compose": "compose_bench", "kubernetes": "kubernetes_bench", "systemd": "systemd_bench"}


@pytest.fixture(params=sorted(BENCHES))
def bench(request: pytest.FixtureRequest) -> Bench:
    """One platform's bench after the other."""
    made: Callable[[str], Bench] = request.getfixturevalue
    return made(BENCHES[request.param])


@pytest.fixture(params=sorted(RELOADING))
def reloading_bench(request: pytest.FixtureRequest) -> Bench:
    """One bench after the other of the platforms that know a reload."""
    made: Callable[[str], Bench] = request.getfixturevalue
    return made(RELOADING[request.param])
