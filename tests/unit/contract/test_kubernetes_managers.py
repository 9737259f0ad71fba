"""Argo CD and Flux are paused while a flag is not as they declare it, and go on when it is. On a real API server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    CommandFailed,
    Conflict,
    Refused,
    VerificationFailed,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.flag_info import read_flags
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.workload import set_workloads
from ansible_collections.dualwrite.rollback.tests.unit.contract import kubernetes_crds as crds
from ansible_collections.dualwrite.rollback.tests.unit.contract.kubernetes_bench import MAP, KubernetesBench
from ansible_collections.dualwrite.rollback.tests.unit.contract.kubernetes_cases import (
    FROM_MAP,
    ON,
    deploy,
    held,
    switch,
    template,
    until,
)
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import FLAG

PAUSED = "dualwrite.rollback/paused"
HEALING = {"prune": True, "selfHeal": True}
FLUX = "kustomize.toolkit.fluxcd.io"
TRACKED = {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:ns/web"}
BY_GIT = {"spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "web", "env": [ON]}]}}}}
BACK = {"flags": {FLAG: True}}


@pytest.fixture
def bench(kubernetes_bench: KubernetesBench) -> KubernetesBench:
    crds.install(kubernetes_bench)
    return kubernetes_bench


def application(bench: KubernetesBench, name: str = "shop", **metadata: Any) -> str:
    spec = {"project": "default", "syncPolicy": {"automated": HEALING, "syncOptions": ["ApplyOutOfSyncOnly=true"]}}
    return crds.make(bench, "applications", name, spec, **metadata)


def policy(bench: KubernetesBench, path: str) -> dict[str, Any]:
    return dict(bench.call_api("GET", path)["spec"]["syncPolicy"])


def memory(bench: KubernetesBench, path: str) -> dict[str, Any] | None:
    noted = bench.call_api("GET", path)["metadata"].get("annotations") or {}
    return json.loads(noted[PAUSED]) if PAUSED in noted else None


def paused(bench: KubernetesBench, name: str = "web", **options: Any) -> dict[str, Any]:
    return bench.options(name, pause_managers=True, argocd_namespace=bench.namespace, **options)


def resting(bench: KubernetesBench, **metadata: Any) -> dict[str, Any]:
    """Have a Deployment without pods, which costs no roll, and return its entry."""
    container = {**bench.container("web"), "env": [ON]}
    bench.create("deployments", bench.object("web", [container], metadata=metadata, spec={"replicas": 0}))
    return paused(bench, may_be_stopped=True)


def status(bench: KubernetesBench, entry: dict[str, Any]) -> list[str]:
    return list(read_flags({"flags": [FLAG], "workloads": [entry]})["notes"])


def test_an_application_that_heals_itself_is_paused_and_goes_on_when_the_value_is_back(bench: KubernetesBench) -> None:
    path = application(bench)
    deploy(bench, "web", ON, metadata={"annotations": TRACKED})
    with crds.reverting(bench, lambda: "automated" in policy(bench, path), f"{bench.apps}/deployments/web", BY_GIT):
        shown = switch(paused(bench), check=True)["notes"]
        assert shown == ["Argo CD (application shop) is to be paused, so that it does not bring the old value back"]
        assert (policy(bench, path)["automated"], memory(bench, path)) == (HEALING, None)
        told = switch(paused(bench))
        assert held(told) == ["false"]
        since = memory(bench, path)["since"]  # type: ignore[index]
        (note,) = told["notes"]
        assert note == (
            f"Argo CD (application shop) is paused by us since {since}: it goes on when {FLAG} of Deployment "
            f"{bench.namespace}/web, container web, is true again, or by hand (argocd app set shop --sync-policy "
            "automated --self-heal)"
        )
        assert policy(bench, path) == {"syncOptions": ["ApplyOutOfSyncOnly=true"]}
        again = switch(paused(bench))
        assert (again["changed"], again["notes"], status(bench, paused(bench))) == (False, [note], [note])
        told = switch(paused(bench), **BACK)
        assert told["notes"] == [
            "Argo CD (application shop), which we had paused, goes on: the values of before are back"
        ]
        assert (policy(bench, path)["automated"], memory(bench, path)) == (HEALING, None)
    assert status(bench, paused(bench)) == []


def test_without_pausing_what_heals_itself_is_detected_and_named(bench: KubernetesBench) -> None:
    path = application(bench)
    deploy(bench, "web", ON, metadata={"annotations": TRACKED})
    entry = bench.options("web", argocd_namespace=bench.namespace)
    with (
        crds.reverting(bench, lambda: "automated" in policy(bench, path), f"{bench.apps}/deployments/web", BY_GIT),
        pytest.raises((Conflict, VerificationFailed), match="was set back|in mid-roll .*argocd-controller"),
    ):
        switch(entry)
    assert (policy(bench, path)["automated"], memory(bench, path)) == (HEALING, None)


def test_flux_is_suspended_once_for_all_workloads_that_share_the_config_map(bench: KubernetesBench) -> None:
    path = crds.make(bench, "kustomizations", "shop", {})
    labels = {f"{FLUX}/name": "shop", f"{FLUX}/namespace": bench.namespace}
    bench.patch(f"{bench.core}/configmaps/{MAP}", {"metadata": {"labels": labels}})
    deploy(bench, "web", FROM_MAP)
    deploy(bench, "api", FROM_MAP)
    entries = [paused(bench, "web"), paused(bench, "api")]
    by_git = {"data": {FLAG: "true"}}

    def syncs() -> bool:
        return not bench.call_api("GET", path)["spec"].get("suspend")

    with crds.reverting(bench, syncs, f"{bench.core}/configmaps/{MAP}", by_git):
        told = switch(*entries)
        assert held(told) + held(told, "api") == ["false", "false"]
        assert not syncs()
        place = f"{FLAG} of ConfigMap {bench.namespace}/{MAP}"
        assert memory(bench, path)["former"] == {place: True}  # type: ignore[index]
        (note,) = told["notes"]
        assert f"it goes on when {place} is true again, or by hand (flux resume kustomization shop -n" in note
        assert switch(*entries, **BACK)["changed"]
        assert syncs()
        assert memory(bench, path) is None
    assert f"{FLAG}=true" in bench.env()


def test_a_helm_release_is_suspended_and_goes_on(bench: KubernetesBench) -> None:
    path = crds.make(bench, "helmreleases", "shop", {"interval": "5m"})
    group = "helm.toolkit.fluxcd.io"
    entry = resting(bench, labels={f"{group}/name": "shop", f"{group}/namespace": bench.namespace})
    assert "flux resume helmrelease shop -n" in switch(entry)["notes"][0]
    assert bench.call_api("GET", path)["spec"] == {"interval": "5m", "suspend": True}
    switch(entry, **BACK)
    assert (bench.call_api("GET", path)["spec"], memory(bench, path)) == ({"interval": "5m"}, None)


def test_what_somebody_else_has_suspended_stays_so(bench: KubernetesBench) -> None:
    path = crds.make(bench, "kustomizations", "shop", {"suspend": True})
    entry = resting(bench, labels={f"{FLUX}/name": "shop", f"{FLUX}/namespace": bench.namespace})
    for more in ({}, BACK):
        told = switch(entry, **more)
        assert (told["changed"], told["notes"]) == (True, [])
        assert (bench.call_api("GET", path)["spec"], memory(bench, path)) == ({"suspend": True}, None)


def test_of_a_pause_that_was_ended_by_hand_nothing_is_told_and_the_next_change_pauses_anew(
    bench: KubernetesBench,
) -> None:
    path = application(bench)
    entry = resting(bench, annotations=TRACKED)
    switch(entry)
    bench.patch(path, {"spec": {"syncPolicy": {"automated": {}}}})
    assert status(bench, entry) == []
    switch(entry, **BACK)
    assert "automated" not in policy(bench, path)
    assert list(memory(bench, path)["former"].values()) == [False]  # type: ignore[index]


def test_a_change_that_is_taken_back_ends_the_pause_too(bench: KubernetesBench) -> None:
    path = application(bench)
    end = f'[ "${FLAG}" = true ] || exit 3; mkfifo /tmp/idle; touch /tmp/ready; while :; do read line <>/tmp/idle; done'
    deploy(bench, "web", ON, metadata={"annotations": TRACKED}, container={"command": ["sh", "-c", end]})
    with pytest.raises(CommandFailed, match="the change was taken back"):
        switch(paused(bench))
    assert template(bench, "web")["spec"]["containers"][0]["env"] == [ON]
    assert (policy(bench, path)["automated"], memory(bench, path)) == (HEALING, None)


def test_an_edit_that_is_not_accepted_leaves_nothing_paused(bench: KubernetesBench) -> None:
    """The right to change the object is taken away after it was asked for."""
    path = application(bench)
    entry = resting(bench, annotations=TRACKED)
    entry["options"]["kubeconfig"] = str(bench.cluster.kubeconfig_of("rollback"))
    bench.bind_role()
    bench.bind_role(which="dualwrite-rollback-managers")
    switch(entry, check=True)  # every right is there, and known to be
    bench.bind_role(without="patch")
    asked = {"verb": "patch", "group": "apps", "resource": "deployments", "namespace": bench.namespace}
    review = {"spec": {"user": "rollback", "resourceAttributes": asked}}
    reviews = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    until(lambda: not bench.call_api("POST", reviews, review)["status"]["allowed"])
    with pytest.raises(Refused, match="a right is missing"):
        switch(entry)
    assert (policy(bench, path)["automated"], memory(bench, path)) == (HEALING, None)


def test_who_may_end_the_pause_is_told_and_the_common_label_counts_where_it_is_true(bench: KubernetesBench) -> None:
    """An ApplicationSet writes its Applications anew. Helm writes the same label as Argo CD does."""
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": "shops", "uid": "4711"}
    path = application(bench, ownerReferences=[owner])
    entry = resting(bench, labels={"app.kubernetes.io/instance": "shop"})
    assert switch(entry, check=True)["notes"] == [], "an Application of that name that does not list it"
    listed = {"kind": "Deployment", "namespace": bench.namespace, "name": "web"}
    bench.patch(path, {"status": {"resources": [listed]}})
    assert switch(entry, check=True)["notes"] == [
        "Argo CD (application shop) is kept by the ApplicationSet 'shops', which may end its pause: pause that too",
        "Argo CD (application shop) is to be paused, so that it does not bring the old value back",
    ]


def test_what_can_not_be_paused_is_refused_before_anything_is_changed(bench: KubernetesBench) -> None:
    bench.bind_role()
    entry = resting(bench, annotations=TRACKED)
    mine = {**entry["options"], "kubeconfig": str(bench.cluster.kubeconfig_of("rollback"))}
    untold = {key: value for key, value in mine.items() if key != "argocd_namespace"}
    missing = ", ".join(rf"{verb} applications\.argoproj\.io 'shop'" for verb in ("get", "patch"))
    for options, sentence in (
        (
            untold,
            "where its Application is was not told; nothing was changed. Give its namespace as .* argocd_namespace",
        ),
        (mine, f"rights are missing .*: {missing}; nothing was changed"),
        (entry["options"], r"application shop\) is not in the namespace .*so it can't be paused; nothing was changed"),
    ):
        with pytest.raises(Refused, match=sentence):
            switch({**entry, "options": options})
    assert template(bench, "web")["spec"]["containers"][0]["env"] == [ON]
    bench.bind_role(which="dualwrite-rollback-managers")
    path = application(bench)
    assert switch({**entry, "options": mine})["changed"]
    assert memory(bench, path)


def make(entry: dict[str, Any], state: str) -> dict[str, Any]:
    return set_workloads({"state": state, "workloads": [entry], "timeout": 30})


def test_what_is_stopped_stays_so_although_git_declares_its_pods(bench: KubernetesBench) -> None:
    """A flag changed meanwhile keeps the pause until both are back."""
    path = application(bench)
    deploy(bench, "web", ON, metadata={"annotations": TRACKED})
    entry, pods = paused(bench, may_be_stopped=True), f"the pods of Deployment {bench.namespace}/web"
    with crds.reverting(bench, lambda: "automated" in policy(bench, path), f"{bench.apps}/deployments/web", BY_GIT):
        told = make(entry, "stopped")
        assert told["after"]["web"] == {"instances": 0}
        assert f"it goes on when {pods} run again, or by hand" in told["notes"][0]
        assert make(entry, "stopped")["changed"] is False
        assert bench.call_api("GET", f"{bench.apps}/deployments/web")["spec"]["replicas"] == 0
        switch(entry)
        told = make(entry, "started")
        assert told["after"]["web"] == {"instances": 1}
        assert list(memory(bench, path)["former"]) == [  # type: ignore[index]
            f"{FLAG} of Deployment {bench.namespace}/web, container web,"
        ]
        switch(entry, **BACK)
        assert (policy(bench, path)["automated"], memory(bench, path)) == (HEALING, None)
        make(entry, "restarted")
    assert (policy(bench, path)["automated"], memory(bench, path)) == (HEALING, None)
