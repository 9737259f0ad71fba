"""The kinds of Argo CD, Flux and KEDA: their real groups, versions and names, with schemas of what is used here.

Their controllers can't be had without a registry of images; a test that needs what one of them does says what it does
instead.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.dualwrite.rollback.tests.unit.contract.kubernetes_bench import KubernetesBench
from ansible_collections.dualwrite.rollback.tests.unit.contract.kubernetes_cases import until

FREE: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
TEXT, BOOLEAN = {"type": "string"}, {"type": "boolean"}
AUTOMATED = {"type": "object", "properties": dict.fromkeys(("prune", "selfHeal", "allowEmpty", "enabled"), BOOLEAN)}
POLICY = {
    "type": "object",
    "properties": {"automated": AUTOMATED, "syncOptions": {"type": "array", "items": TEXT}},
}
#: plural and group -> (kind, version, properties of its spec)
CRDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "applications.argoproj.io": ("Application", "v1alpha1", {"project": TEXT, "syncPolicy": POLICY}),
    "kustomizations.kustomize.toolkit.fluxcd.io": ("Kustomization", "v1", {"path": TEXT, "suspend": BOOLEAN}),
    "helmreleases.helm.toolkit.fluxcd.io": ("HelmRelease", "v2", {"interval": TEXT, "suspend": BOOLEAN}),
    "scaledobjects.keda.sh": (
        "ScaledObject",
        "v1alpha1",
        {"scaleTargetRef": FREE, "minReplicaCount": {"type": "integer"}},
    ),
}


def install(bench: KubernetesBench) -> None:
    """Make the API serve these kinds, once for the whole cluster."""
    top = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for name, (kind, version, spec) in CRDS.items():
        if bench.call_api("GET", f"{top}/{name}").get("kind") == "CustomResourceDefinition":
            continue
        plural, dummy, group = name.partition(".")
        properties = {"spec": {"type": "object", "properties": spec}, "status": FREE}
        schema = {"openAPIV3Schema": {"type": "object", "properties": properties}}
        served = {"name": version, "served": True, "storage": True, "schema": schema}
        names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
        body = {"group": group, "scope": "Namespaced", "names": names, "versions": [served]}
        bench.call_api("POST", top, {"metadata": {"name": name}, "spec": body})
    for name, (dummy, version, dummy) in CRDS.items():
        until(lambda name=name, version=version: serves(bench, name, version))


def serves(bench: KubernetesBench, name: str, version: str) -> bool:
    """Return whether the API has begun to serve a kind."""
    plural, dummy, group = name.partition(".")
    return str(bench.call_api("GET", f"/apis/{group}/{version}/{plural}").get("kind", "")).endswith("List")


def path_of(bench: KubernetesBench, plural: str, name: str = "") -> str:
    """Return where the objects of such a kind are in the API, in the bench's namespace, or one of them."""
    (found,) = (one for one in CRDS if one.startswith(f"{plural}."))
    top = f"/apis/{found.partition('.')[2]}/{CRDS[found][1]}/namespaces/{bench.namespace}/{plural}"
    return f"{top}/{name}" if name else top


def make(bench: KubernetesBench, plural: str, name: str, spec: dict[str, Any], **metadata: Any) -> str:
    """Make an object of such a kind and return where it is."""
    (found,) = (one for one in CRDS if one.startswith(f"{plural}."))
    kind, version, dummy = CRDS[found]
    top = {"apiVersion": f"{found.partition('.')[2]}/{version}", "kind": kind}
    bench.call_api("POST", path_of(bench, plural), {**top, "metadata": {"name": name, **metadata}, "spec": spec})
    return path_of(bench, plural, name)


@contextlib.contextmanager
def reverting(bench: KubernetesBench, syncs: Callable[[], bool], path: str, declared: dict[str, Any]) -> Iterator[None]:
    """Bring what Git declares back, as a controller does that heals itself, unless it is paused.

    A loop of a few lines stands in for Argo CD's and Flux's controllers, which can't be had here.
    """
    over = threading.Event()

    def heal() -> None:
        while not over.wait(0.1):
            if syncs():
                bench.call_api(
                    "PATCH",
                    f"{path}?fieldManager=argocd-controller",
                    declared,
                    "application/strategic-merge-patch+json",
                )

    other = threading.Thread(target=heal)
    other.start()
    try:
        yield
    finally:
        over.set()
        other.join()
