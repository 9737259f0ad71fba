"""Rolls that don't end well, or that must not be begun: on a real cluster."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    CommandFailed,
    DeadlinePassed,
    Refused,
)
from ansible_collections.dualwrite.rollback.tests.unit.contract.kubernetes_bench import MAP, KubernetesBench
from ansible_collections.dualwrite.rollback.tests.unit.contract.kubernetes_cases import (
    FROM_MAP,
    OFF,
    ON,
    WAIT,
    deploy,
    held,
    switch,
    template,
    until,
)
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import FLAG

PARTITION = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}}
NEVER_READY = {"readinessProbe": {"exec": {"command": ["sh", "-c", f'test "${FLAG}" = true']}, "periodSeconds": 1}}


@pytest.fixture
def bench(kubernetes_bench: KubernetesBench) -> KubernetesBench:
    return kubernetes_bench


#: the second pod of the one node can't have it too
TAKEN_PORT = {"ports": [{"containerPort": 80, "hostPort": 18080}]}
#: fault -> (what the container has of it, what the error tells)
FAULTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "never ready": (
        NEVER_READY,
        ("0 of 1 new pods are ready after 4 s: web-", " on contract-", "events: ", "Unhealthy: Readiness probe failed"),
    ),
    "quota": ({}, ("0 of 1 new pods are there after 4 s", "exceeded quota: full")),
    "no node": (TAKEN_PORT, ("is not scheduled: 0/1 nodes are available", "free ports")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_new_pods_that_do_not_get_ready_are_taken_back_to_the_revision_of_before(
    bench: KubernetesBench, fault: str
) -> None:
    has, told = FAULTS[fault]
    deploy(bench, "web", ON, container=has)
    before, wanted = {one["metadata"]["uid"] for one in bench.pods("web")}, template(bench, "web")
    if fault == "quota":
        bench.create("resourcequotas", {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "1"}}}, "v1")
        until(lambda: bench.call_api("GET", f"{bench.core}/resourcequotas/full").get("status", {}).get("used"))
    with pytest.raises(CommandFailed) as raised:
        switch(bench.options("web", wait_timeout=4))
    text = str(raised.value)
    assert [words for words in told if words not in text] == [], text
    assert "the change was taken back, web run" in text
    assert raised.value.evidence["undone"]
    assert {one["metadata"]["uid"] for one in bench.pods("web") if not gone(one)} == before
    assert template(bench, "web") == wanted


def gone(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def test_a_stateful_set_is_taken_back_although_its_controller_waits_for_the_broken_pod(bench: KubernetesBench) -> None:
    command = ["sh", "-c", f'test "${FLAG}" = true || exit 3; {WAIT}']
    deploy(bench, "queue", ON, plural="statefulsets", serviceName="queue", container={"command": command})
    with pytest.raises(CommandFailed, match=r"container queue ended with 3 \(CrashLoopBackOff\)") as raised:
        switch(bench.options("queue", kind="StatefulSet"))
    assert raised.value.evidence["undone"]
    assert list(raised.value.evidence["after"]["queue"][FLAG]["effective"].values()) == ["true"]


def test_old_pods_that_do_not_end_are_named_and_the_new_value_stays(bench: KubernetesBench) -> None:
    stubborn = {"command": ["sh", "-c", f"trap '' TERM; {WAIT}"]}
    deploy(bench, "web", ON, container=stubborn, pod={"terminationGracePeriodSeconds": 12})
    with pytest.raises(DeadlinePassed, match=r"1 of the old pods still run after 3 s: web-\S+ on ") as raised:
        switch(bench.options("web", wait_timeout=3))
    assert raised.value.evidence["undone"] is False
    effective = raised.value.evidence["after"]["web"][FLAG]["effective"]
    assert sorted(effective.values()) == ["false", "true"], "what runs in a pod that is just ending is told too"
    assert template(bench, "web")["spec"]["containers"][0]["env"] == [OFF]
    until(lambda: [gone(one) for one in bench.pods("web")] == [False], 60)
    assert held(switch(bench.options("web"))) == ["false"]
    assert bench.revision("web") == "2", "what was begun is not begun again"


def test_somebody_elses_roll_is_refused_and_an_image_that_does_not_exist_is_told(bench: KubernetesBench) -> None:
    deploy(bench, "web", ON)
    image = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "shop/none:1"}]}}}}
    kind = "application/strategic-merge-patch+json"
    bench.call_api("PATCH", f"{bench.apps}/deployments/web", image, kind)
    until(lambda: len(bench.pods("web")) == 2)
    with pytest.raises(Refused, match=r"somebody else's roll is under way: \d of \d pods .*; nothing was changed"):
        switch(bench.options("web"))
    with pytest.raises(CommandFailed, match=r"container web (ErrImagePull|ImagePullBackOff).*events: .*shop/none:1"):
        switch(bench.options("web", roll_over=True))
    assert template(bench, "web")["spec"]["containers"][0]["env"] == [ON]


@pytest.mark.parametrize(
    ("plural", "kind", "spec", "why"),
    [
        ("deployments", "Deployment", {"paused": True}, "it is paused"),
        ("daemonsets", "DaemonSet", {"updateStrategy": {"type": "OnDelete"}}, "its update strategy is OnDelete"),
        ("statefulsets", "StatefulSet", PARTITION, "its update strategy has partition 1"),
    ],
)
def test_what_never_rolls_is_refused_before_anything_is_changed(
    bench: KubernetesBench, plural: str, kind: str, spec: dict[str, Any], why: str
) -> None:
    deploy(bench, "web", ON, plural=plural, **({"serviceName": "web"} if plural == "statefulsets" else {}))
    bench.patch(f"{bench.apps}/{plural}/web", {"spec": spec})
    with pytest.raises(Refused, match=f"{why}.*nothing was changed"):
        switch(bench.options("web", kind=kind))
    assert template(bench, "web", plural)["spec"]["containers"][0]["env"] == [ON]


def test_a_paused_deployment_whose_pods_lack_a_value_that_is_declared_is_refused_too(bench: KubernetesBench) -> None:
    deploy(bench, "web", FROM_MAP)
    bench.patch(f"{bench.apps}/deployments/web", {"spec": {"paused": True}})
    bench.patch(f"{bench.core}/configmaps/{MAP}", {"data": {FLAG: "false"}})
    with pytest.raises(Refused, match=r"it is paused.*nothing was changed"):
        switch(bench.options("web"))
    bench.patch(f"{bench.apps}/deployments/web", {"spec": {"paused": False}})
    assert held(switch(bench.options("web"))) == ["false"]


def test_3_of_30_pods_that_lag_are_named_and_the_next_call_ends_the_same_roll(bench: KubernetesBench) -> None:
    waits = "{ while ! test -e /lag/go; do sleep 1; done; break; }"
    lag = f"for one in 1 2 3; do mkdir /lag/$one 2>/dev/null && {waits}; done"
    script = f'trap "exit 0" TERM; test "${FLAG}" = true || {{ {lag}; }}; {WAIT}'
    lagging = {"command": ["sh", "-c", script], "volumeMounts": [{"name": "lag", "mountPath": "/lag"}]}
    volume = {"name": "lag", "hostPath": {"path": f"/tmp/{bench.namespace}", "type": "DirectoryOrCreate"}}
    pod = {"volumes": [volume], "terminationGracePeriodSeconds": 0}
    strategy = {"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": "50%"}}
    deploy(bench, "web", ON, container=lagging, pod=pod, replicas=30, strategy=strategy)
    entry = bench.options("web", wait_timeout=20)
    with pytest.raises(CommandFailed) as raised:
        switch(entry, on_failure="keep")
    assert "27 of 30 new pods are ready after 20 s: web-" in str(raised.value)
    assert str(raised.value).count("web-") == 3
    bench.cluster.run(["touch", f"/tmp/{bench.namespace}/go"])
    bench.ready("deployments", "web")
    told = switch(bench.options("web"))
    assert set(held(told)) == {"false"}
    assert len({name.split()[0] for name in told["after"]["web"][FLAG]["effective"]}) == 30
    assert bench.revision("web") == "2"
