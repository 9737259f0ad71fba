# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else manages an object and may bring the old values, or the old number of pods, back; pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .kubernetes_objects import annotations_of

ARGO_ID, ARGO_INSTANCE = "argocd.argoproj.io/tracking-id", "argocd.argoproj.io/instance"
FLUX = (
    ("kustomize.toolkit.fluxcd.io/name", "the Flux Kustomization"),
    ("helm.toolkit.fluxcd.io/name", "the Flux HelmRelease"),
)
HELM, HELM_RELEASE = "app.kubernetes.io/managed-by", "meta.helm.sh/release-name"
KEDA = "scaledobject.keda.sh/name"


def managers(thing: Mapping[str, Any]) -> list[str]:
    """Return who keeps an object as somebody else has declared it: "Argo CD (application shop)" and so on."""
    labels = thing["metadata"].get("labels") or {}
    noted = annotations_of(thing)
    found = []
    tracked = noted.get(ARGO_ID, "").split(":")[0] or noted.get(ARGO_INSTANCE) or labels.get(ARGO_INSTANCE)
    if tracked:
        found.append(f"Argo CD (application {tracked})")
    for label, name in FLUX:
        if labels.get(label):
            found.append(f"{name} '{labels[label]}'")
    if labels.get(HELM) == "Helm" and not any("HelmRelease" in one for one in found):
        found.append(f"Helm (release {noted.get(HELM_RELEASE, 'unknown')})")
    return found


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
