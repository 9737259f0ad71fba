"""KEDA is paused while a workload rests: its ScaledObject on a real API server.

KEDA itself can't be had here; the HorizontalPodAutoscaler that it makes is made by the test, as KEDA makes it.
"""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import Refused
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.workload import set_workloads
from ansible_collections.dualwrite.rollback.tests.unit.contract import kubernetes_crds as crds
from ansible_collections.dualwrite.rollback.tests.unit.contract.kubernetes_bench import KubernetesBench
from ansible_collections.dualwrite.rollback.tests.unit.contract.kubernetes_cases import ON, deploy

PAUSED = "autoscaling.keda.sh/paused-replicas"


@pytest.fixture
def bench(kubernetes_bench: KubernetesBench) -> KubernetesBench:
    crds.install(kubernetes_bench)
    deploy(kubernetes_bench, "web", ON, replicas=2)
    return kubernetes_bench


def scaled(bench: KubernetesBench, **annotations: str) -> str:
    """Have a ScaledObject of the Deployment, with the HorizontalPodAutoscaler that KEDA would make for it."""
    noted = {"team": "a", **annotations}
    path = crds.make(bench, "scaledobjects", "web", {"scaleTargetRef": {"name": "web"}}, annotations=noted)
    made = bench.call_api("GET", path)
    owner = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "web", "uid": made["metadata"]["uid"]}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"minReplicas": 1, "maxReplicas": 5, "scaleTargetRef": target}
    metadata = {"name": "keda-hpa-web", "ownerReferences": [owner]}
    bench.create("horizontalpodautoscalers", {"metadata": metadata, "spec": spec}, "autoscaling/v1")
    return path


def annotations(bench: KubernetesBench, path: str) -> dict[str, str]:
    return dict(bench.call_api("GET", path)["metadata"]["annotations"])


def make(bench: KubernetesBench, state: str, **options: Any) -> dict[str, Any]:
    return set_workloads({"state": state, "workloads": [bench.options("web", **options)], "timeout": 30})


def test_it_is_paused_while_the_workload_rests_and_goes_on_when_it_is_started(bench: KubernetesBench) -> None:
    path = scaled(bench)
    assert make(bench, "stopped")["after"]["web"] == {"instances": 0}
    assert annotations(bench, path)[PAUSED] == "0"
    assert make(bench, "stopped")["changed"] is False
    assert make(bench, "started")["after"]["web"] == {"instances": 2}
    assert annotations(bench, path) == {"team": "a"}


def test_what_somebody_else_has_paused_stays_paused(bench: KubernetesBench) -> None:
    path = scaled(bench, **{PAUSED: "1"})
    for state in ("stopped", "started"):
        make(bench, state)
        assert annotations(bench, path) == {"team": "a", PAUSED: "1"}


def test_without_the_right_to_pause_it_nothing_is_stopped(bench: KubernetesBench) -> None:
    path = scaled(bench)
    bench.bind_role()
    rights = {"kubeconfig": str(bench.cluster.kubeconfig_of("rollback"))}
    with pytest.raises(Refused, match=r"rights are missing .*: get scaledobjects\.keda\.sh 'web', patch scaledobj"):
        make(bench, "stopped", **rights)
    assert bench.call_api("GET", f"{bench.apps}/deployments/web")["spec"]["replicas"] == 2
    assert annotations(bench, path) == {"team": "a"}
    bench.bind_role(which="dualwrite-rollback-keda")
    make(bench, "stopped", **rights)
    assert annotations(bench, path)[PAUSED] == "0"
