"""What only Kubernetes has: many places for a value, kinds of objects, rights. On a real cluster."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    DeadlinePassed,
    InvalidInput,
    NotFound,
    Refused,
    RollbackError,
    VerificationFailed,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.flag_info import read_flags
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.workload import set_workloads
from ansible_collections.dualwrite.rollback.tests.unit.contract.kubernetes_bench import MAP, KubernetesBench
from ansible_collections.dualwrite.rollback.tests.unit.contract.kubernetes_cases import (
    FROM_MAP,
    IDLE,
    OFF,
    ON,
    READY,
    deploy,
    found_by_label,
    held,
    switch,
    template,
    until,
)
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import FLAG, STRICT


@pytest.fixture
def bench(kubernetes_bench: KubernetesBench) -> KubernetesBench:
    return kubernetes_bench


# --- where a value comes from ----------------------------------------------------------------------------------------


def test_every_container_that_carries_the_flag_changes_and_no_other(bench: KubernetesBench) -> None:
    """Of several entries of one name the last one wins; init containers carry it too; one roll for all."""
    idle = {**bench.container("web"), **IDLE, **READY}
    containers = [
        {**idle, "env": [OFF, {"name": "OTHER", "value": "x"}, ON]},
        {**idle, "name": "side", "env": [FROM_MAP]},
        {**idle, "name": "proxy"},
    ]
    setup = {"name": "setup", "image": bench.image, "command": ["true"], "env": [ON], "imagePullPolicy": "IfNotPresent"}
    bench.create("deployments", bench.object("web", containers, pod={"initContainers": [setup]}))
    bench.ready("deployments", "web")
    told = switch(bench.options("web"))
    assert held(told) == ["false", "false"]
    spec = template(bench, "web")["spec"]
    assert [one.get("env") for one in spec["containers"]] == [
        [OFF, {"name": "OTHER", "value": "x"}, OFF],
        [FROM_MAP],
        None,
    ]
    assert spec["initContainers"][0]["env"] == [OFF]
    assert f"{FLAG}=false" in bench.env()
    assert bench.revision("web") == "2"
    assert switch(bench.options("web"))["changed"] is False
    assert bench.revision("web") == "2"


def test_where_env_and_config_map_disagree_both_are_told_and_the_one_that_wins_is_changed(
    bench: KubernetesBench,
) -> None:
    """In one container env wins over the ConfigMap; the other container has the ConfigMap's value."""
    bench.patch(f"{bench.core}/configmaps/{MAP}", {"data": {FLAG: "false"}})
    idle = {**bench.container("web"), **IDLE, **READY, "envFrom": [{"configMapRef": {"name": MAP}}]}
    bench.create("deployments", bench.object("web", [{**idle, "env": [ON]}, {**idle, "name": "side"}]))
    bench.ready("deployments", "web")
    entry, whole = bench.options("web", containers=["web"]), bench.options("web")
    place = f"ConfigMap {bench.namespace}/{MAP}, key {FLAG}"
    told = read_flags({"flags": [FLAG], "workloads": [entry]})["workloads"]["web"][FLAG]
    assert (told["declared"], told["shadowed"]) == ("true", [place])
    told = read_flags({"flags": [FLAG], "workloads": [whole]})["workloads"]["web"][FLAG]
    assert told["declared"] == f"true (Deployment {bench.namespace}/web, container web, env {FLAG}), false ({place})"
    assert (told["value"], held(switch(whole))) == (None, ["false", "false"])
    assert [one.get("env") for one in template(bench, "web")["spec"]["containers"]] == [[OFF], None]


def test_a_secret_is_changed_in_place_and_never_shown(bench: KubernetesBench) -> None:
    data = {FLAG: "true", "PASSWORD": "hunter22hunter22", STRICT: "swordfish-as-a-flag"}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    bench.create("secrets", {"metadata": {"name": "flags"}, "data": encoded}, "v1")
    deploy(bench, "web", container={"envFrom": [{"secretRef": {"name": "flags"}}]})
    told = switch(bench.options("web"))
    assert held(told) == ["false"]
    after = bench.call_api("GET", f"{bench.core}/secrets/flags")["data"]
    assert after == {**encoded, FLAG: base64.b64encode(b"false").decode()}
    assert [one["before_header"] for one in told["diff"]] == [f"Secret {bench.namespace}/flags"]
    for secret in ("hunter22", "swordfish", encoded["PASSWORD"], encoded[STRICT]):
        assert secret not in str(told)


def test_a_config_map_that_must_not_be_edited_is_refused_unless_the_template_may_override_it(
    bench: KubernetesBench,
) -> None:
    bench.create("configmaps", {"metadata": {"name": "fixed"}, "data": {FLAG: "true"}, "immutable": True}, "v1")
    deploy(bench, "web", container={"envFrom": [{"configMapRef": {"name": "fixed"}}]})
    with pytest.raises(Refused, match=r"ConfigMap fixed, key TEAM_X: .* it is immutable; nothing was changed"):
        switch(bench.options("web"))
    assert held(switch(bench.options("web", override=True))) == ["false"]
    assert template(bench, "web")["spec"]["containers"][0]["env"] == [OFF]


def test_who_takes_the_value_from_the_same_place_is_named(bench: KubernetesBench) -> None:
    deploy(bench, "web", FROM_MAP)
    deploy(bench, "other", FROM_MAP, replicas=1)
    with pytest.raises(Refused, match=r"which Deployment other takes it from too .*; nothing was changed"):
        switch(bench.options("web"))
    assert f"{FLAG}=true" in bench.env()
    told = switch(bench.options("web", shared_with=["other"]))
    assert held(told) == ["false"]
    assert bench.revision("other") == "1"
    assert any("pod other-" in note and f"holds {FLAG}=true" in note for note in told["notes"])
    both = switch(bench.options("web"), bench.options("other"), on_unlisted="fail")
    assert (both["rolled"], both["notes"]) == ({"other": "roll"}, [])


def test_what_the_inventory_forgot_is_named(bench: KubernetesBench) -> None:
    """A pod without an owner, and a CronJob that will start one."""
    deploy(bench, "web", ON)
    idle = {**bench.container("lone"), **IDLE, "env": [ON]}
    bench.create("pods", {"metadata": {"name": "lone"}, "spec": {"containers": [idle]}}, "v1")
    job = {"template": {"spec": {"containers": [{**idle, "name": "job"}], "restartPolicy": "Never"}}}
    nightly = {"metadata": {"name": "nightly"}, "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": job}}}
    bench.create("cronjobs", nightly, "batch/v1beta1")
    told = switch(bench.options("web"))
    (note,) = told["notes"]
    assert "pod lone holds" in note
    assert f"CronJob {bench.namespace}/nightly (at its next run) holds {FLAG}=true" in note
    with pytest.raises(VerificationFailed, match="CronJob"):
        switch(bench.options("web"), on_unlisted="fail")


def test_only_the_processes_of_the_container_count_where_containers_see_each_others(bench: KubernetesBench) -> None:
    idle = {**bench.container("web"), **IDLE, **READY}
    containers = [{**idle, "env": [ON]}, {**idle, "name": "proxy"}]
    bench.create("deployments", bench.object("web", containers, pod={"shareProcessNamespace": True}))
    bench.ready("deployments", "web")
    assert held(switch(bench.options("web"))) == ["false"]


def test_an_image_without_a_shell_is_refused(bench: KubernetesBench) -> None:
    bare = {"name": "web", "image": bench.bare_image, "imagePullPolicy": "IfNotPresent", "env": [ON]}
    bench.create("deployments", bench.object("web", [bare]))
    bench.ready("deployments", "web")
    with pytest.raises(InvalidInput, match=r"container web: its processes can't be looked into: there is no shell"):
        switch(bench.options("web"))
    assert template(bench, "web")["spec"]["containers"][0]["env"] == [ON]


# --- kinds -----------------------------------------------------------------------------------------------------------


def test_all_kinds_are_rolled_once_and_at_the_same_time(bench: KubernetesBench) -> None:
    """Two Deployments found by their labels, a StatefulSet and a DaemonSet."""
    labels = {"metadata": {"labels": {"part-of": "shop"}}}
    deploy(bench, "web", ON, **labels)
    deploy(bench, "api", FROM_MAP, **labels)
    deploy(bench, "queue", ON, plural="statefulsets", serviceName="queue", replicas=2)
    deploy(bench, "agent", FROM_MAP, plural="daemonsets")
    entries = [
        found_by_label(bench, "part-of=shop"),
        bench.options("queue", kind="StatefulSet"),
        bench.options("agent", kind="DaemonSet"),
    ]
    told = switch(*entries)
    assert told["rolled"] == dict.fromkeys(("shop", "queue", "agent"), "roll")
    assert [held(told, name) for name in ("shop", "queue", "agent")] == [["false"] * 2, ["false"] * 2, ["false"]]
    assert [bench.revision("web"), bench.revision("api")] == ["2", "2"]
    assert switch(*entries)["changed"] is False
    back = {"spec": {"template": {"spec": {"containers": [{"name": "web", "env": [ON]}]}}}}
    bench.call_api("PATCH", f"{bench.apps}/deployments/web", back, "application/strategic-merge-patch+json")
    bench.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    assert held(switch(entries[0]), "shop") == ["false"] * 2
    assert [bench.revision("web"), bench.revision("api")] == ["4", "2"], "what holds the value is not rolled"


def test_a_cron_job_has_the_value_at_its_next_run_and_a_running_job_is_waited_for(bench: KubernetesBench) -> None:
    idle = {**bench.container("job"), **IDLE, "env": [ON]}
    pod = {"containers": [idle], "restartPolicy": "Never", "terminationGracePeriodSeconds": 1}
    spec = {"template": {"spec": pod}}
    nightly = {"metadata": {"name": "nightly"}, "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": spec}}}
    made = bench.create("cronjobs", nightly, "batch/v1beta1")
    owner = {"apiVersion": "batch/v1beta1", "kind": "CronJob", "name": "nightly", "uid": made["metadata"]["uid"]}
    bench.create("jobs", {"metadata": {"name": "run", "ownerReferences": [owner]}, "spec": spec}, "batch/v1")
    entry = bench.options("nightly", kind="CronJob")
    until(lambda: [one["status"]["phase"] for one in run_pods(bench)] == ["Running"])
    with pytest.raises(DeadlinePassed, match=r"its Job still runs with the old values: run-"):
        switch(entry, timeout=3)
    bench.call_api("DELETE", f"/apis/batch/v1/namespaces/{bench.namespace}/jobs/run?propagationPolicy=Background")
    told = switch(entry)
    assert held(told, "nightly") == []
    declared = bench.call_api("GET", f"/apis/batch/v1beta1/namespaces/{bench.namespace}/cronjobs/nightly")["spec"]
    assert declared["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"] == [OFF]
    set_workloads({"state": "stopped", "workloads": [entry], "timeout": 20})
    path = f"/apis/batch/v1beta1/namespaces/{bench.namespace}/cronjobs/nightly"
    assert bench.call_api("GET", path)["spec"]["suspend"] is True


def run_pods(bench: KubernetesBench) -> list[dict[str, Any]]:
    return list(bench.call_api("GET", f"{bench.core}/pods?labelSelector=job-name%3Drun")["items"])


def test_what_ran_is_remembered_on_the_object_and_autoscalers_keep_their_limits(bench: KubernetesBench) -> None:
    deploy(bench, "web", ON, replicas=2)
    deploy(bench, "agent", ON, plural="daemonsets")
    limits = {"minReplicas": 2, "maxReplicas": 5}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    hpa = {"metadata": {"name": "web"}, "spec": {**limits, "scaleTargetRef": target}}
    bench.create("horizontalpodautoscalers", hpa, "autoscaling/v1")
    entries = [bench.options("web"), bench.options("agent", kind="DaemonSet")]
    given = {"workloads": entries, "timeout": 30}
    assert set_workloads({"state": "stopped", **given})["after"]["web"] == {"instances": 0}
    assert set_workloads({"state": "stopped", **given})["changed"] is False
    assert set_workloads({"state": "started", **given})["after"] == {"web": {"instances": 2}, "agent": {"instances": 1}}
    told = bench.call_api("GET", f"{bench.apps}/deployments/web")
    assert (told["spec"]["replicas"], "dualwrite.rollback/scale" in told["metadata"]["annotations"]) == (2, False)
    path = f"/apis/autoscaling/v1/namespaces/{bench.namespace}/horizontalpodautoscalers/web"
    assert {key: bench.call_api("GET", path)["spec"][key] for key in limits} == limits


# --- rights ----------------------------------------------------------------------------------------------------------


def test_the_role_of_the_page_is_enough_and_what_is_missing_is_named(bench: KubernetesBench) -> None:
    deploy(bench, "web", ON, FROM_MAP | {"name": STRICT})
    entry = bench.options("web", kubeconfig=str(bench.cluster.kubeconfig_of("rollback")))
    with pytest.raises(Refused) as raised:
        switch(entry)
    told = str(raised.value)
    assert (
        f"rights are missing in the namespace '{bench.namespace}': get deployments.apps, list deployments.apps" in told
    )
    assert "create pods/exec; nothing was changed" in told
    bench.bind_role(without="patch")
    with pytest.raises(Refused, match=r"patch deployments\.apps; nothing was changed"):
        switch(entry)
    assert template(bench, "web")["spec"]["containers"][0]["env"][0] == ON
    assert switch(entry, flags={FLAG: True})["changed"] is False, "who changes nothing needs no right to change"
    bench.bind_role()
    told_now = switch(entry)
    assert (held(told_now), told_now["notes"]) == (["false"], [])
    given = {"workloads": [entry], "timeout": 30}
    assert set_workloads({"state": "stopped", **given})["after"]["web"] == {"instances": 0}


def test_rights_that_only_some_need_are_asked_for_where_they_are_needed(bench: KubernetesBench) -> None:
    """To delete pods is for StatefulSets; a Secret that may not be read may hold the flag."""
    bench.bind_role()
    rights = {"kubeconfig": str(bench.cluster.kubeconfig_of("rollback"))}
    deploy(bench, "queue", ON, plural="statefulsets", serviceName="queue")
    with pytest.raises(Refused, match=r"rights are missing in the namespace '\S+': delete pods; nothing was changed"):
        switch(bench.options("queue", kind="StatefulSet", **rights))
    data = {FLAG: base64.b64encode(b"true").decode()}
    bench.create("secrets", {"metadata": {"name": "hidden"}, "data": data}, "v1")
    deploy(bench, "web", container={"envFrom": [{"secretRef": {"name": "hidden"}}]})
    with pytest.raises(Refused, match=r"TEAM_X is declared nowhere that may be read; it may come from Secret hidden"):
        switch(bench.options("web", **rights))
    assert held(switch(bench.options("web", override=True, **rights))) == ["false"]


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"namespace": "none"}, NotFound, "Deployment none/web: it does not exist"),
        ({"label_selectors": ["a=b"]}, InvalidInput, "either the option 'name' or the option 'label_selectors'"),
        ({"kind": "Pod"}, InvalidInput, "the option 'kind' is 'Pod'"),
        ({"context": "none"}, InvalidInput, "the kubeconfig can't be used: .*none"),
        ({"kubeconfig": "/none"}, InvalidInput, "/none: the kubeconfig can't be used"),
        ({"containers": ["none"]}, InvalidInput, "it has no container 'none'. It has: web"),
    ],
)
def test_bad_input_is_one_sentence(
    bench: KubernetesBench, options: dict[str, Any], kind: type[RollbackError], sentence: str
) -> None:
    if "containers" in options:
        deploy(bench, "web", ON)
    with pytest.raises(kind, match=sentence):
        switch(bench.options("web", **options))


def test_labels_that_find_nothing_prove_nothing(bench: KubernetesBench) -> None:
    with pytest.raises(NotFound, match=r"no Deployment in the namespace \S+ has the labels a=b"):
        switch(found_by_label(bench, "a=b"))
