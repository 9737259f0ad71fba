"""A lab with traffic for the tests of one module, a Compose project for all: what real playbooks are driven against."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gates.tree import copied_tree
from tests.lab.cluster.app import ClusterApp
from tests.lab.docker import Engine
from tests.lab.docker import app as docker_app
from tests.lab.docker.app import ComposeApp
from tests.lab.host import SystemdHost, up_with_app
from tests.lab.lab import Lab
from tests.support import clusters, projects, units
from tests.support.measure import FIGURES, FLAG, STRICT, await_dual_writes, restart


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, Any]:
    """Hand what a test measured to its report, which reaches the process that tells the end."""
    report = yield
    report.user_properties += [("figure", line) for line in FIGURES]
    FIGURES.clear()
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was measured."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    told = [line for report in reports for key, line in getattr(report, "user_properties", []) if key == "figure"]
    if told:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(told))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab that dual-writes under 20 requests per second."""
    made = Lab("it", tmp_path_factory.mktemp("lab"))
    try:
        made.up(traffic=20)
        await_dual_writes(made)
        yield made
    finally:
        made.down()


@pytest.fixture
def strict(lab: Lab) -> Iterator[None]:
    """Dual-write is on in strict mode, and goes well."""
    lab.mend_legacy()
    lab.set_env(**{STRICT: "true"})
    restart(lab, "true")
    await_dual_writes(lab, 5)
    yield
    lab.mend_legacy()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the reports of a module's runs; no run has made it yet."""
    return tmp_path_factory.mktemp("runs") / "reports"


@pytest.fixture(scope="session")
def clone() -> Iterator[Path]:
    """A copy of the tree as `make setup` leaves a fresh clone, so that runs put their reports there, not here."""
    with copied_tree() as tree:
        link = tree / ".cache" / "collections" / "ansible_collections" / "dualwrite" / "rollback"
        link.parent.mkdir(parents=True)
        link.symlink_to(tree)
        yield tree


@pytest.fixture(scope="session")
def units_host() -> Iterator[SystemdHost]:
    """The application as units of a booted host; every module says first which flags it is to hold."""
    units.need_hosts()
    one = SystemdHost(f"it-{os.getpid()}")
    try:
        up_with_app(one)
        # The worker's own file comes last and wins there: the flag stands in two places on this host.
        one.write(units.WORKER_ENV, f"# the worker's own\n{FLAG}=true\n", "0640")
        yield one
    finally:
        one.down()


@pytest.fixture(scope="session")
def project() -> Iterator[ComposeApp]:
    """The application as a Compose project on an engine; every module says first which flags it is to hold."""
    projects.need_engines()
    engine = Engine(f"it-{os.getpid()}")
    # not below /tmp: a booted host, which may share the project, has one of its own
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="dwr-project-") as folder:
        os.chmod(folder, 0o711)
        try:
            made = docker_app.up(engine.up(), Path(folder))
            try:
                yield made
            finally:
                made.down()
        finally:
            engine.down()


@pytest.fixture(scope="session")
def operator(project: ComposeApp, clone: Path, tmp_path_factory: pytest.TempPathFactory) -> projects.ProjectOperator:
    """Whoever runs playbooks for that project from a clone."""
    return projects.ProjectOperator(project, clone, tmp_path_factory.mktemp("operator"))


@pytest.fixture(scope="session")
def cluster_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterApp]:
    """The application in a cluster, for who has the rights of the page; every module says which flags it is to hold."""
    with clusters.application("it", tmp_path_factory.mktemp("deltacrown")) as made:
        clusters.bind(made)
        yield made


@pytest.fixture(scope="session")
def cluster_operator(
    cluster_app: ClusterApp, clone: Path, tmp_path_factory: pytest.TempPathFactory
) -> clusters.ClusterOperator:
    """Whoever runs playbooks for it from a clone."""
    return clusters.ClusterOperator(cluster_app, clone, tmp_path_factory.mktemp("cluster-operator"))
