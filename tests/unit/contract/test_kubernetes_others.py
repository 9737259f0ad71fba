"""Who else has a hand in it: other managers of an object, and an API that goes away. On a real cluster."""

from __future__ import annotations

import threading
import time

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    Conflict,
    Unreachable,
    VerificationFailed,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms import kubernetes_api
from ansible_collections.dualwrite.rollback.tests.unit.contract.kubernetes_bench import MAP, KubernetesBench
from ansible_collections.dualwrite.rollback.tests.unit.contract.kubernetes_cases import (
    FROM_MAP,
    OFF,
    ON,
    deploy,
    held,
    switch,
    template,
    until,
)
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import FLAG


@pytest.fixture
def bench(kubernetes_bench: KubernetesBench) -> KubernetesBench:
    return kubernetes_bench


def test_others_who_change_the_object_all_the_time_do_not_get_in_the_way(bench: KubernetesBench) -> None:
    deploy(bench, "web", ON)

    def busy() -> None:
        number = 0
        while template(bench, "web")["spec"]["containers"][0]["env"] == [ON]:
            number += 1
            bench.patch(f"{bench.apps}/deployments/web", {"metadata": {"annotations": {"busy": str(number)}}})

    other = threading.Thread(target=busy)
    other.start()
    told = switch(bench.options("web"))
    other.join()
    assert held(told) == ["false"]
    assert bench.revision("web") == "2"


def test_a_manager_that_brings_the_old_value_back_in_mid_roll_is_named(bench: KubernetesBench) -> None:
    """A loop with a field manager of its own stands in for a GitOps controller, which can't be had here."""
    deploy(bench, "web", ON)
    over = threading.Event()
    path = f"{bench.apps}/deployments/web?fieldManager=self-heal"
    back = {"spec": {"template": {"spec": {"containers": [{"name": "web", "env": [ON]}]}}}}

    def heal() -> None:
        while not over.wait(0.2):
            bench.call_api("PATCH", path, back, "application/strategic-merge-patch+json")

    other = threading.Thread(target=heal)
    other.start()
    try:
        with pytest.raises((Conflict, VerificationFailed), match="self-heal|was set back"):
            switch(bench.options("web"))
    finally:
        over.set()
        other.join()


def test_who_keeps_the_object_is_told(bench: KubernetesBench) -> None:
    labels = {"app.kubernetes.io/managed-by": "Helm", "kustomize.toolkit.fluxcd.io/name": "shop"}
    noted = {"argocd.argoproj.io/tracking-id": "shop-app:apps/Deployment:ns/web", "meta.helm.sh/release-name": "shop"}
    deploy(bench, "web", ON, metadata={"labels": labels, "annotations": noted})
    (note,) = switch(bench.options("web"), check=True)["notes"]
    assert note == (
        f"Deployment {bench.namespace}/web is kept by Argo CD (application shop-app), the Flux Kustomization 'shop', "
        "Helm (release shop), which may bring the old values back: change it there too"
    )


def test_a_manager_that_owns_the_value_by_server_side_apply_is_told(bench: KubernetesBench) -> None:
    deploy(bench, "web", FROM_MAP)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": MAP}, "data": {FLAG: "true"}}
    path = f"{bench.core}/configmaps/{MAP}?fieldManager=gitops&force=true"
    bench.call_api("PATCH", path, body, "application/apply-patch+yaml")
    (note,) = switch(bench.options("web"), check=True)["notes"]
    assert note.startswith(f"ConfigMap {bench.namespace}/{MAP} is kept by gitops, which may bring the old values back")


@pytest.mark.parametrize("refuse", [False, True], ids=["silent", "refusing"])
def test_an_api_that_goes_away_in_mid_roll_and_returns(bench: KubernetesBench, refuse: bool) -> None:
    deploy(bench, "web", ON)

    def away() -> None:
        until(lambda: template(bench, "web")["spec"]["containers"][0]["env"] == [OFF])
        bench.cluster.pause_api(refuse=refuse)
        time.sleep(3)
        bench.cluster.resume_api()

    other = threading.Thread(target=away)
    other.start()
    told = switch(bench.options("web"), timeout=60)
    other.join()
    assert held(told) == ["false"]
    assert bench.revision("web") == "2"


def test_an_api_that_stays_away_is_told_and_the_same_command_ends_the_roll_later(
    bench: KubernetesBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_api, "AGAIN", 1.0)  # what is read behind the roll waits no longer than this
    deploy(bench, "web", ON, container={"lifecycle": {"preStop": {"exec": {"command": ["sleep", "2"]}}}})

    def away() -> None:
        # not at once when the template has the value: between that and the roll the API is asked for other things
        until(lambda: template(bench, "web")["spec"]["containers"][0]["env"] == [OFF])
        until(lambda: [pod for pod in bench.pods("web") if "deletionTimestamp" in pod["metadata"]])
        bench.cluster.pause_api(refuse=True)

    other = threading.Thread(target=away)
    other.start()
    try:
        with pytest.raises(Unreachable, match="does not answer.*; how the roll goes on is not known"):
            switch(bench.options("web"), timeout=6)
    finally:
        other.join()
        bench.cluster.resume_api()
    assert held(switch(bench.options("web"))) == ["false"]
    assert bench.revision("web") == "2"
