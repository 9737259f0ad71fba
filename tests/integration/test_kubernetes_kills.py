"""The controller of a cluster is killed with SIGKILL, later each time; the same command finishes at last.

One run after the other goes on where the one before it died: after open, with the lock, before the edit, between the
edit and the roll, in mid-roll, after the roll, and during the verification.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.registry import make
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.fence import fence_files
from tests.lab.cluster.app import FLAGS, NAMESPACE, WEB, WORKER, ClusterApp
from tests.support.admission import held_changes
from tests.support.clusters import ClusterOperator, holders, set_flags
from tests.support.controller import Controller, another_change, at_files, killed_when, taken_over
from tests.support.measure import FLAG, VNEXT, figures

ROLLBACK = "rollback_dual_write"
BRISK = {"dualwrite_hold": 1, "dualwrite_verify_timeout": 30}
CANARIES = f"SELECT count(*) FROM {VNEXT} WHERE slug LIKE 'dualwrite-canary-%%'"

Kill = Callable[[Callable[[Controller], bool]], Controller]


@pytest.fixture(scope="module")
def app(cluster_app: ClusterApp) -> ClusterApp:
    """The application, which dual-writes."""
    set_flags(cluster_app, **{FLAG: "true", "TEAM_VNEXT_LEGACY_WRITE_BLOCKED": "false"})
    return cluster_app


@pytest.fixture(scope="module")
def dead() -> list[str]:
    """The runs that were killed, the first one first."""
    return []


@pytest.fixture
def kill(cluster_operator: ClusterOperator, dead: list[str], tmp_path: Path) -> Kill:
    """Run the command until something is so, and kill it with all that it has started."""

    def until(reached: Callable[[Controller], bool]) -> Controller:
        one = cluster_operator.begin(ROLLBACK, tmp_path / "output", **BRISK)
        dead.append(killed_when(one, reached, tmp_path / "output"))
        return one

    return until


def declared(app: ClusterApp) -> str:
    """Return what the ConfigMap says."""
    return str(json.loads(app.kubectl("get", "configmap", FLAGS, "--output", "json"))["data"][FLAG])


def held(app: ClusterApp) -> set[str]:
    """Return what the processes of both Deployments hold."""
    return {*holders(app, WEB), *holders(app, WORKER)}


def revisions(app: ClusterApp) -> list[int]:
    """Return how often each Deployment was rolled."""
    things = json.loads(app.kubectl("get", "deployments", WEB, WORKER, "--output", "json"))["items"]
    return [int(one["metadata"]["annotations"]["deployment.kubernetes.io/revision"]) for one in things]


def test_killed_after_open_nothing_is_locked(app: ClusterApp, cluster_operator: ClusterOperator, kill: Kill) -> None:
    one = kill(lambda one: "open" in one.phases())
    assert (one.phases(), cluster_operator.locked()) == (["open"], False)
    assert (declared(app), held(app)) == ("true", {"true"})


def test_killed_with_the_lock_nothing_is_changed(
    app: ClusterApp, cluster_operator: ClusterOperator, kill: Kill
) -> None:
    kill(lambda one: cluster_operator.locked())
    assert (declared(app), held(app)) == ("true", {"true"})


def test_killed_before_the_edit_nothing_is_changed(app: ClusterApp, kill: Kill) -> None:
    options = {"kubeconfig": str(app.cluster.kubeconfig), "namespace": NAMESPACE, "name": WEB}
    fences = fence_files(make({"name": "web", "platform": "kubernetes", "options": options}).touches())
    before = revisions(app)
    with another_change(fences):
        kill(lambda one: bool(set(at_files(fences)) & set(one.family())))
    assert (declared(app), held(app), revisions(app)) == ("true", {"true"}, before)


def test_killed_between_the_edit_and_the_roll_nothing_is_rolled(app: ClusterApp, kill: Kill, tmp_path: Path) -> None:
    before = revisions(app)
    with held_changes(app.cluster, "rollback", tmp_path / "hook") as reached:
        kill(lambda one: reached.is_set())
    assert (declared(app), held(app), revisions(app)) == ("false", {"true"}, before)


def test_killed_in_mid_roll_the_next_run_rolls_no_second_time(app: ClusterApp, kill: Kill) -> None:
    before = revisions(app)
    kill(lambda one: revisions(app) != before)
    assert declared(app) == "false"
    one = kill(lambda one: "flag" in one.phases())
    assert "verify" not in one.phases()
    assert (held(app), revisions(app)) == ({"false"}, [number + 1 for number in before])
    kill(lambda one: app.sql(CANARIES)[0][0] > 0)
    assert (held(app), revisions(app)) == ({"false"}, [number + 1 for number in before])


def test_the_same_command_finishes_and_says_what_it_found(
    app: ClusterApp, cluster_operator: ClusterOperator, dead: list[str]
) -> None:
    before = revisions(app)
    ended = cluster_operator.run(ROLLBACK, **BRISK)
    assert ended.rc == 0, ended.text
    assert ended.entries()[0]["data"]["resumes"][-1] == dead[-1]
    assert ended.phase("lock")["taken_over"]["run_id"] == dead[-1]
    assert all(taken_over(ended.run_folder.parent / name / "record.jsonl") for name in dead)
    assert not cluster_operator.locked()
    assert (declared(app), held(app), revisions(app)) == ("false", {"false"}, before)
    assert app.sql(CANARIES) == [(0,)]
    figures(the_same_command_after_seven_kills=ended.took)
