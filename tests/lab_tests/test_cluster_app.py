"""The reference application in the lab's cluster: it answers, dual-writes, and a rolling restart costs no request."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cluster.app import WEB, WORKER, ClusterApp
from tests.lab.cluster.balancer import SILENCE_S
from tests.lab.traffic import Traffic
from tests.lab.waiting import wait_until
from tests.support.clusters import application

MAP = "organizations_teammigrationmap"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterApp]:
    """The application in a cluster of its own; where there can be none, the reason is printed (in CI: a failure)."""
    began = time.monotonic()
    with application("app", tmp_path_factory.mktemp("deltacrown")) as made:
        print(f"\ncluster and application up in {time.monotonic() - began:.1f} s")
        yield made


def test_a_rolling_restart_under_traffic_costs_no_request(app: ClusterApp, tmp_path: Path) -> None:
    assert app.healthy()
    before = app.pods(WEB)
    assert len(before) == 2
    with Traffic("127.0.0.1", app.port, app.token_file.read_text().strip(), tmp_path / "log", rate=20) as users:
        wait_until(lambda: app.count(MAP) >= 10, "ten dual writes")
        began = time.monotonic()
        app.kubectl("rollout", "restart", f"deployment/{WEB}", f"deployment/{WORKER}")
        for name in (WEB, WORKER):
            app.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
        wait_until(lambda: not set(before) & app.running(WEB), "the pods of before to end", 30)
        print(f"\nrolled in {time.monotonic() - began:.1f} s")
        written = app.count(MAP)
        wait_until(lambda: app.count(MAP) >= written + 10, "ten dual writes of the new pods")
        told = users.stop()
    assert (told["failed"], told["errors"]) == (0, [])
    assert told["sent"] > 100


def test_the_pods_write_json_lines_to_their_log(app: ClusterApp) -> None:
    for name, event in ((WEB, "request_served"), (WORKER, "worker_heartbeat")):
        lines = app.kubectl("logs", f"deployment/{name}").splitlines()
        assert event in {json.loads(line)["event"] for line in lines if line.startswith("{")}


def test_users_are_served_while_the_api_is_away_and_refused_when_no_pod_is_ready(app: ClusterApp) -> None:
    app.cluster.pause_api()
    try:
        time.sleep(SILENCE_S * 1.5)
        assert app.healthy()
    finally:
        app.cluster.resume_api()
    app.kubectl("scale", f"deployment/{WEB}", "--replicas=0")
    wait_until(lambda: not app.balancer.ready, "no pod to be ready", 20)
    with pytest.raises(OSError, match="reset|closed"):
        urllib.request.urlopen(f"{app.url}/health/", timeout=2)
