# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else manages an object and may bring the old values, or the old number of pods, back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import NotFound, Refused
from .kubernetes_api import Api
from .kubernetes_objects import annotations_of

ARGO_ID, ARGO_INSTANCE = "argocd.argoproj.io/tracking-id", "argocd.argoproj.io/instance"
ARGO_GROUP = "argoproj.io"
#: label of the application that Argo CD wrote by default before version 3, and that others (Helm) write too
COMMON_INSTANCE = "app.kubernetes.io/instance"
FLUX = (  # API group, with which the labels begin; what makes the object, and its plural
    ("kustomize.toolkit.fluxcd.io", "Kustomization", "kustomizations"),
    ("helm.toolkit.fluxcd.io", "HelmRelease", "helmreleases"),
)
HELM, HELM_RELEASE = "app.kubernetes.io/managed-by", "meta.helm.sh/release-name"
KEDA = "scaledobject.keda.sh/name"


@dataclass(frozen=True)
class Manager:
    """One object of Argo CD or Flux that keeps others as they are declared elsewhere; ``namespace`` may be unknown."""

    told: str
    group: str
    plural: str
    namespace: str
    name: str

    @property
    def is_argo(self) -> bool:
        """Whether it is an Application of Argo CD, and not one of Flux's kinds."""
        return self.group == ARGO_GROUP

    @property
    def resume(self) -> str:
        """The command with which an operator lets it go on by hand."""
        if self.is_argo:
            return f"argocd app set {self.name} --sync-policy automated --self-heal"
        return f"flux resume {self.plural[:-1]} {self.name} -n {self.namespace}"

    def path(self, api: Api) -> str:
        """Return where it is in the API, in the version that the server prefers; raises NotFound."""
        version = api.get(f"/apis/{self.group}")["preferredVersion"]["version"]
        return f"/apis/{self.group}/{version}/namespaces/{self.namespace}/{self.plural}/{self.name}"


def managers(thing: Mapping[str, Any]) -> list[str]:
    """Return who keeps an object as somebody else has declared it: "Argo CD (application shop)" and so on."""
    labels = thing["metadata"].get("labels") or {}
    noted = annotations_of(thing)
    found = [one.told for one in that_sync(thing)]
    if labels.get(HELM) == "Helm" and not any("HelmRelease" in one for one in found):
        found.append(f"Helm (release {noted.get(HELM_RELEASE, 'unknown')})")
    return found


def that_sync(thing: Mapping[str, Any], argocd_namespace: str = "") -> list[Manager]:
    """Return the objects of Argo CD and Flux by which something is kept; an Application's namespace is often untold."""
    labels = thing["metadata"].get("labels") or {}
    noted = annotations_of(thing)
    found = []
    tracked = noted.get(ARGO_ID, "").split(":")[0] or noted.get(ARGO_INSTANCE) or labels.get(ARGO_INSTANCE)
    if tracked:
        found.append(_application(tracked, argocd_namespace))
    for group, kind, plural in FLUX:
        name = labels.get(f"{group}/name")
        if name:
            namespace = labels.get(f"{group}/namespace") or str(thing["metadata"].get("namespace") or "")
            found.append(Manager(f"the Flux {kind} '{name}'", group, plural, namespace, name))
    return found


def that_sync_here(api: Api, thing: Mapping[str, Any], argocd_namespace: str) -> list[Manager]:
    """Return the same and, where nobody else says so, the Application that the common label of instances names.

    Others write that label too: it counts where there is such an Application and it lists the object as its own.
    """
    found = that_sync(thing, argocd_namespace)
    name = (thing["metadata"].get("labels") or {}).get(COMMON_INSTANCE)
    if not name or not argocd_namespace or any(one.is_argo for one in found):
        return found
    one = _application(name, argocd_namespace)
    try:
        listed = (api.get(one.path(api)).get("status") or {}).get("resources") or []
    except (NotFound, Refused):
        return found
    mine = tuple(str(thing["metadata"].get(key)) for key in ("namespace", "name"))
    kept = any((each.get("namespace"), each.get("name")) == mine and _same_kind(each, thing) for each in listed)
    return [*found, one] if kept else found


def _same_kind(listed: Mapping[str, Any], thing: Mapping[str, Any]) -> bool:
    return not thing.get("kind") or listed.get("kind") == thing["kind"]


def _application(tracked: str, namespace: str) -> Manager:
    """Return the Application of a tracking id; one outside of Argo CD's own namespace is named "namespace_name"."""
    told = f"Argo CD (application {tracked})"
    elsewhere, found, name = tracked.partition("_")
    if found:
        return Manager(told, ARGO_GROUP, "applications", elsewhere, name)
    return Manager(told, ARGO_GROUP, "applications", namespace, tracked)


def owners(thing: Mapping[str, Any]) -> list[str]:
    """Return the ApplicationSets that have made an Application."""
    made_by = thing["metadata"].get("ownerReferences") or []
    return [f"the ApplicationSet '{one['name']}'" for one in made_by if one.get("kind") == "ApplicationSet"]


def appliers(thing: Mapping[str, Any], field: str) -> list[str]:
    """Return the field managers that own ``field`` ("f:env", "f:data") by server-side apply: their next one wins."""
    found = []
    for entry in thing["metadata"].get("managedFields") or []:
        if entry.get("operation") == "Apply" and _holds(entry.get("fieldsV1") or {}, field):
            found.append(str(entry.get("manager")))
    return list(dict.fromkeys(found))


def _holds(fields: Any, name: str) -> bool:
    if not isinstance(fields, Mapping):
        return False
    return name in fields or any(_holds(one, name) for one in fields.values())


def scaled_objects(autoscalers: Sequence[Mapping[str, Any]], kind: str, name: str) -> list[str]:
    """Return the names of KEDA's ScaledObjects behind the HorizontalPodAutoscalers of an object."""
    found = []
    for one in autoscalers:
        target = one["spec"].get("scaleTargetRef") or {}
        owners = [own["name"] for own in one["metadata"].get("ownerReferences") or [] if own["kind"] == "ScaledObject"]
        labelled = (one["metadata"].get("labels") or {}).get(KEDA)
        if (target.get("kind"), target.get("name")) == (kind, name):
            found += [labelled] if labelled else owners[:1]
    return found


def warnings(where: str, who: Sequence[str], what: str) -> list[str]:
    """Return the sentence that an operator reads about managers of what was changed; none where there are none."""
    if not who:
        return []
    return [f"{where} is kept by {', '.join(who)}, which may bring the old {what} back: change it there too"]
