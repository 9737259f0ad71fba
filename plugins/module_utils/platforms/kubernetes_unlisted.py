# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What in a namespace takes the flags too and is no workload of the inventory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.errors import RollbackError
from . import kubernetes_namespace, kubernetes_plan
from .base import Carrier
from .kubernetes_api import Api
from .kubernetes_objects import Kind, Object, full_name
from .kubernetes_pods import alive, processes

#: whether an object of this kind and with this content is a workload of the inventory
Listed = Callable[[str, Mapping[str, Any]], bool]
Data = kubernetes_namespace.Data


def held_by_template(spec: Mapping[str, Any], flags: Sequence[str], data: Data) -> dict[str, str]:
    """Return the flags that a pod spec's containers declare, with the value that wins in the first that has it."""
    found = kubernetes_plan.carriers(spec, flags, (), data)
    told = {}
    for flag in flags:
        listed = kubernetes_plan.declared(found, flag, data)
        if listed and listed[0][-1].value is not None:
            told[flag] = str(listed[0][-1].value)
    return told


def sharing(
    api: Api, namespace: str, place: tuple[str, str, str], flag: str, listed: Listed, data: Data
) -> list[tuple[str, str]]:
    """Return (kind, name) of what takes a flag from this (kind, name, key) of data too and is not listed."""
    found = []
    for kind, thing in kubernetes_namespace.makers(api, namespace):
        if listed(kind.name, thing):
            continue
        spec = kind.pod_template(thing).get("spec") or {}
        for places in kubernetes_plan.declared(kubernetes_plan.carriers(spec, [flag], (), data), flag, data):
            last = places[-1]
            if (last.source, last.name, last.key) == place:
                found.append((kind.name, str(thing["metadata"]["name"])))
    return list(dict.fromkeys(found))


def others_that_carry(api: Api, namespace: str, flags: Sequence[str], listed: Listed) -> list[Carrier]:
    """Return pods that hold one of the flags, and objects that will give it to their next pods, none of them listed."""
    data = Data(api, namespace)
    every = kubernetes_namespace.makers(api, namespace)
    chain = _chain(api, namespace, every)
    ours = {thing["metadata"]["uid"] for kind, thing in every if listed(kind.name, thing)}
    pods = [one for one in kubernetes_namespace.pods(api, namespace) if alive(one)]
    mine = [one for one in pods if not _roots(one, chain) & ours]
    told = {str(one["metadata"]["uid"]): held_by_template(one["spec"], flags, data) for one in mine}
    carrying = [one for one in mine if told[one["metadata"]["uid"]]]
    found = _of_pods(api, carrying, flags, told, data)
    seen = {uid for one in carrying for uid in _roots(one, chain)}
    for kind, thing in every:
        uid = thing["metadata"]["uid"]
        if uid in ours or uid in seen:
            continue
        holds = held_by_template(kind.pod_template(thing).get("spec") or {}, flags, data)
        if holds:
            when = "at its next run" if not kind.rolls else "when it is started"
            found.append(Carrier(uid, f"{full_name(kind.name, namespace, thing['metadata']['name'])} ({when})", holds))
    return found


def _of_pods(
    api: Api, pods: Sequence[Object], flags: Sequence[str], told: Mapping[str, Mapping[str, str]], data: Data
) -> list[Carrier]:
    def chosen(pod: Object) -> list[str]:
        return [str(one["name"]) for dummy, index, one in kubernetes_plan.carriers(pod["spec"], flags, (), data)]

    try:
        read = processes(api, pods, chosen)
    except RollbackError:
        read = {}
    found = []
    for pod in pods:
        name, uid = str(pod["metadata"]["name"]), str(pod["metadata"]["uid"])
        seen: list[dict[str, str]] = []
        for one in read.get(name, []):
            environ = (one.held.environ or {}) if one.held else {}
            held = {flag: environ[flag] for flag in flags if flag in environ}
            if held and held not in seen:
                seen.append(held)
        found += [Carrier(uid, f"pod {name}", holds) for holds in seen or [dict(told[uid])]]
    return found


def _chain(api: Api, namespace: str, every: Sequence[tuple[Kind, Object]]) -> dict[str, set[str]]:
    """Return, by the UID of what makes pods, the UIDs of its makers and itself; ReplicaSets and Jobs included."""
    chain = {str(thing["metadata"]["uid"]): {str(thing["metadata"]["uid"])} for dummy, thing in every}
    for path in (f"/apis/apps/v1/namespaces/{namespace}/replicasets", f"/apis/batch/v1/namespaces/{namespace}/jobs"):
        for one in api.items(path):
            owners = {str(owner["uid"]) for owner in one["metadata"].get("ownerReferences") or []}
            chain[str(one["metadata"]["uid"])] = {str(one["metadata"]["uid"]), *owners}
    return chain


def _roots(pod: Mapping[str, Any], chain: Mapping[str, set[str]]) -> set[str]:
    owners = [str(one["uid"]) for one in pod["metadata"].get("ownerReferences") or []]
    return {uid for owner in owners for uid in chain.get(owner, {owner})}
