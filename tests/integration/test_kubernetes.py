"""The literal command against the application in a real Kubernetes cluster, with the rights of its page, and users."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_examples import ON_A_CLUSTER, filled
from tests.docs.test_examples import run as run_tasks
from tests.lab.cluster.app import FLAGS, NAMESPACE, WEB, WORKER, ClusterApp
from tests.lab.lab import BREAK, LAST_DUAL_WRITE
from tests.lab.traffic import Traffic, read, summary
from tests.lab.waiting import wait_until
from tests.support.clusters import ClusterOperator, holders, set_flags
from tests.support.measure import FLAG, LEGACY, MAP, VNEXT, figures, secrets_of
from tests.support.play import Ended

HOST = "staging-cluster"
STRICT, BLOCKED = "TEAM_VNEXT_DUAL_WRITE_STRICT_MODE", "TEAM_VNEXT_LEGACY_WRITE_BLOCKED"
FLAGS_HELD = (FLAG, STRICT, BLOCKED)

Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def app(cluster_app: ClusterApp) -> ClusterApp:
    """The application, which dual-writes."""
    set_flags(cluster_app, **{FLAG: "true", STRICT: "false", BLOCKED: "false"})
    return cluster_app


@pytest.fixture(scope="module")
def users(app: ClusterApp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Traffic for the whole module; the path of its log."""
    log = tmp_path_factory.mktemp("users") / "traffic.jsonl"
    with Traffic("127.0.0.1", app.port, app.token_file.read_text().strip(), log, rate=20):
        wait_until(lambda: app.count(MAP) >= 10, "ten dual writes")
        yield log


@pytest.fixture(scope="module")
def run(cluster_operator: ClusterOperator) -> Run:
    """Run a playbook as an operator does."""

    def playbook(name: str = "rollback_dual_write", *more: str, **env: str) -> Ended:
        return cluster_operator.run(name, *more, env=env)

    return playbook


def looked_at(app: ClusterApp) -> dict[str, Any]:
    """Return what a run could change: the ConfigMap, and of each Deployment the revision and the pods."""
    flags = json.loads(app.kubectl("get", "configmap", FLAGS, "--output", "json"))
    told = {"data": flags["data"], "marks": [flags["metadata"].get(one) for one in ("labels", "annotations")]}
    for name in (WEB, WORKER):
        thing = json.loads(app.kubectl("get", "deployment", name, "--output", "json"))
        told[name] = {"revision": int(thing["metadata"]["annotations"]["deployment.kubernetes.io/revision"])}
        told[name]["instances"] = thing["spec"]["replicas"]
        told[name]["pods"] = app.pods(name)
    return told


@pytest.fixture(scope="module")
def before(app: ClusterApp, users: Path) -> dict[str, Any]:
    """What the cluster tells while the application dual-writes."""
    return looked_at(app)


@pytest.fixture(scope="module")
def checked(before: dict[str, Any], run: Run) -> Ended:
    """The command in check mode."""
    return run("rollback_dual_write", "--check", "--diff")


@pytest.fixture(scope="module")
def unchanged(checked: Ended, app: ClusterApp) -> dict[str, Any]:
    """What the cluster tells after check mode."""
    return looked_at(app)


@pytest.fixture(scope="module")
def first(unchanged: dict[str, Any], run: Run) -> Ended:
    """The literal command, under traffic, while the application dual-writes."""
    return run()


# --- scenario 1 -----------------------------------------------------------------------------------------------------


def test_check_mode_shows_the_line_and_changes_nothing(
    before: dict[str, Any], checked: Ended, unchanged: dict[str, Any]
) -> None:
    assert checked.rc == 0, checked.text
    shown = [line for line in checked.lines() if re.match(r"[+-](?!-- |\+\+ )", line)]
    assert {line[0] for line in shown if FLAG in line} == {"-", "+"}, checked.text
    assert [line for line in shown if FLAG not in line] == []
    assert unchanged == before


def test_the_literal_command_switches_every_process_of_both_deployments(app: ClusterApp, first: Ended) -> None:
    assert first.rc == 0, first.text
    web, worker = holders(app, WEB, *FLAGS_HELD), holders(app, WORKER, *FLAGS_HELD)
    assert (len(web), {*web, *worker}, len(worker)) == (6, {"false,false,false"}, 1), "two pods of a leader and two"
    assert first.closed()["hosts"] == {HOST: "done"}
    last = app.sql(LAST_DUAL_WRITE)[0][0].astimezone(UTC)
    flag = first.phase("flag")
    assert last < datetime.fromisoformat(flag["roll_ended"])
    figures(
        the_whole_command=first.took,
        last_dual_write=max(0.0, (last - first.called).total_seconds()),
        roll=flag["timings"]["roll"],
        verified=first.phase("verify")["summary"],
    )


def test_each_deployment_was_rolled_once_and_one_key_was_edited(
    app: ClusterApp, before: dict[str, Any], first: Ended
) -> None:
    after = looked_at(app)
    assert after["data"] == {**before["data"], FLAG: "false"}
    assert after["marks"] == before["marks"]
    for name in (WEB, WORKER):
        assert after[name]["revision"] == before[name]["revision"] + 1
        assert after[name]["instances"] == before[name]["instances"] == len(after[name]["pods"])
        assert not set(after[name]["pods"]) & set(before[name]["pods"])


def test_nothing_dual_writes_any_more_and_no_request_failed(app: ClusterApp, users: Path, first: Ended) -> None:
    written, teams = [app.count(table) for table in (LEGACY, MAP)], app.count(VNEXT)
    wait_until(lambda: app.count(VNEXT) >= teams + 10, "ten more teams of the traffic")
    assert [app.count(table) for table in (LEGACY, MAP)] == written
    seen = summary(line for line in read(users) if line["time"] >= first.called.isoformat())
    assert (seen["failed"], seen["errors"]) == (0, [])
    figures(requests=seen["sent"], failed=seen["failed"], p95=f"{seen['p95_ms']:.0f} ms")


def test_the_logs_of_the_pods_are_part_of_the_evidence(first: Ended) -> None:
    evidence = {one["probe"]: one for one in first.phase("verify")["evidence"]}
    for name in ("web", "worker"):
        one = evidence[f"no dual-write in the {name} log"]
        assert (one["answer"], one["where"], one["value"]["matched"]) == ("pass", f"logs of {name}", 0)
        assert one["value"]["lines"] > 0


def test_no_secret_is_told(app: ClusterApp, first: Ended) -> None:
    told = first.text + "".join(path.read_text() for path in first.run_folder.iterdir() if path.is_file())
    token = json.loads(app.cluster.kubeconfig_of("rollback").read_text())["users"][0]["user"]["token"]
    assert [one for one in [token, *secrets_of(app.secrets_file.read_text())] if one in told] == []


def test_the_same_command_again_changes_nothing(app: ClusterApp, first: Ended, run: Run) -> None:
    standing = looked_at(app)
    ended = run(ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default")
    assert ended.rc == 0, ended.text
    assert ended.recap()[HOST]["changed"] == 0
    assert looked_at(app) == standing
    figures(the_same_command_again=ended.took)


def test_status_shows_every_flag_of_both_workloads(first: Ended, run: Run) -> None:
    ended = run("status")
    assert ended.rc == 0, ended.text
    rows = [line.split() for line in ended.lines() if line.startswith(f"{HOST} ")]
    assert [(row[1], row[2], " ".join(row[3:])) for row in rows] == [
        (name, flag, f"false false x {number}")
        for name, number in (("web", 6), ("worker", 1))
        for flag in (FLAG, STRICT, BLOCKED)
    ]
    figures(status=ended.took)


# --- two operators ---------------------------------------------------------------------------------------------------


def test_a_second_operator_with_a_home_of_his_own_is_refused_until_he_takes_the_lock_over(
    app: ClusterApp, first: Ended, cluster_operator: ClusterOperator, clone: Path, tmp_path: Path
) -> None:
    """The first one's run is dead, on another controller: its Lease is what both see. The module's example takes it."""
    held = "20261123T103000Z-rollback-1f2e"
    kubeconfig = str(app.cluster.kubeconfig_of("rollback"))
    (task,) = filled(
        ON_A_CLUSTER, {"/etc/dualwrite/kubeconfig": kubeconfig, "namespace: shop": f"namespace: {NAMESPACE}"}
    )
    task["dualwrite.rollback.run_lock"]["environment"] = "staging-kubernetes"
    local = ["-i", "localhost,", "-c", "local", "-e", "ansible_python_interpreter={{ ansible_playbook_python }}"]
    run_tasks([task], {"run": {"run_id": held, "operator": "ann"}}, tmp_path, *local)

    second = ClusterOperator(app, clone, tmp_path)
    standing = looked_at(app)
    for more in ([], ["--check"]):
        refused = second.run("rollback_dual_write", *more, env={"HOME": str(tmp_path)})
        assert refused.rc != 0
        said = " ".join(refused.text.split())
        assert f"another rollback is under way: run {held} of ann" in said
        assert "reason: Requests fail since 18:00. Talk to ann first." in said
        assert f"-e dualwrite_takeover={held}" in said
        assert (looked_at(app), second.locked()) == (standing, True)
    ended = second.run("rollback_dual_write", env={"HOME": str(tmp_path)}, dualwrite_takeover=held, dualwrite_hold=1)
    assert ended.rc == 0, ended.text
    assert ended.phase("lock")["taken_over"]["owner"] == "ann"
    assert not second.locked()
    assert not list(tmp_path.rglob("*.lock"))


# --- scenarios 2 and 5 ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strict(app: ClusterApp, first: Ended) -> dict[str, Any]:
    """What the cluster tells when the application dual-writes strictly again, as a deployment would have it."""
    set_flags(app, **{FLAG: "true", STRICT: "true", BLOCKED: "false"})
    return looked_at(app)


def test_without_strict_mode_a_failing_legacy_side_is_logged_and_costs_no_request(
    app: ClusterApp, users: Path, strict: dict[str, Any], run: Run
) -> None:
    app.sql(BREAK)
    try:
        assert app.request("POST", "/api/vnext/teams/create/", {"name": "while strict"}) == 500
        ended = run("disable_strict_mode", "-e", "dualwrite_hold=1")
        assert ended.rc == 0, ended.text
        assert {*holders(app, WEB, *FLAGS_HELD), *holders(app, WORKER, *FLAGS_HELD)} == {"true,false,false"}
        assert app.request("POST", "/api/vnext/teams/create/", {"name": "no longer strict"}) == 201
        logged = "".join(app.kubectl("logs", pod) for pod in app.pods(WEB))
        assert re.search(r'"event": "dual_write_failed".*"slug": "no-longer-strict"', logged)
        after = ended.phase("flag")["roll_ended"].replace("Z", "+00:00")
        wait_until(lambda: len([one for one in read(users) if one["time"] >= after]) > 20, "more traffic")
        assert summary(one for one in read(users) if one["time"] >= after)["failed"] == 0
    finally:
        app.sql("DROP TRIGGER IF EXISTS lab_refuse ON teams_team")
    assert [looked_at(app)[name]["revision"] - strict[name]["revision"] for name in (WEB, WORKER)] == [1, 1]
    figures(disable_strict_mode=ended.took)


def test_blocked_legacy_writes_are_refused_and_vnext_works_in_one_roll(
    app: ClusterApp, strict: dict[str, Any], run: Run
) -> None:
    standing = looked_at(app)
    assert app.request("POST", "/api/legacy/teams/create/", {"name": "before the block"}) == 201
    ended = run("block_legacy_writes", "-e", "dualwrite_hold=1")
    assert ended.rc == 0, ended.text
    assert {one.partition(",")[0] + one.rpartition(",")[2] for one in holders(app, WEB, *FLAGS_HELD)} == {"falsetrue"}
    assert app.request("POST", "/api/legacy/teams/create/", {"name": "after the block"}) == 409
    assert app.request("POST", "/api/vnext/teams/create/", {"name": "after the block"}) == 201
    assert [looked_at(app)[name]["revision"] - standing[name]["revision"] for name in (WEB, WORKER)] == [1, 1]
    figures(block_legacy_writes=ended.took)
