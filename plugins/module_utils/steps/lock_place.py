# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lock of a host is: a file on it, or a Lease in the cluster that its workloads run in."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Mapping
from typing import Any

from ..core.errors import InvalidInput
from ..platforms import kubernetes_rights
from ..platforms.kubernetes_api import connect
from ..run.lease import GROUP, PLURAL, LeaseLock
from ..run.lock import FileLock, LockPlace

KUBERNETES = "kubernetes"
AUTO, FILE, LEASE = "auto", "file", "lease"
#: what finds a Lease, apart from its name
REACH = ("kubeconfig", "context", "namespace")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


def of_file(path: str) -> LockPlace:
    """Return the lock that is this file."""
    return FileLock(path)


def of_lease(lease: Mapping[str, Any]) -> LeaseLock:
    """Return the lock that is this Lease, ``{kubeconfig, context, namespace, name}``.

    Raises InvalidInput when namespace or name is missing, or can't be one.
    """
    for option in ("namespace", "name"):
        if not _NAME.fullmatch(str(lease.get(option) or "")):
            raise InvalidInput(
                f"'{lease.get(option) or ''}' can't be the {option} of a Lease",
                where=f"lease.{option}",
                hint="Give lower-case letters, digits, '-' and '.'.",
            )
    return LeaseLock(connect(lease.get("kubeconfig"), lease.get("context")), lease["namespace"], lease["name"])


def lease_of(params: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return which Lease the options of ``run_lock`` mean, None for a file.

    It is a Lease where the kind says so or, without a kind, where a workload runs in a cluster; what the option
    ``lease`` doesn't say is that of the first such workload. Raises InvalidInput when no cluster can be told.
    """
    kind, given = params.get("kind") or AUTO, params.get("lease") or {}
    found = [one.get("options") or {} for one in params.get("workloads") or [] if one.get("platform") == KUBERNETES]
    if kind == FILE or (kind == AUTO and not found and not given):
        return None
    first = found[0] if found else {}
    lease: dict[str, Any] = {name: given.get(name) or first.get(name) for name in REACH}
    if not lease["namespace"]:
        raise InvalidInput(
            "the namespace of the lock's Lease is not told, and no workload of the platform kubernetes tells it",
            where="lease.namespace",
            hint="Give the namespace, or take the lock as a file (kind: file).",
        )
    lease["name"] = given.get("name") or _lease_name(environment_of(params))
    return lease


def require_rights(lease: Mapping[str, Any]) -> None:
    """Raise Refused that names every right on the Lease which is missing, before it is taken."""
    rights = [kubernetes_rights.Right(verb, PLURAL, GROUP) for verb in ("get", "create", "update", "delete")]
    api = connect(lease.get("kubeconfig"), lease.get("context"))
    kubernetes_rights.require(api, str(lease["namespace"]), rights)


def path_of(params: Mapping[str, Any]) -> str:
    """Return the lock's path by the options of ``run_lock``."""
    return str(params.get("path") or f"/var/lib/dualwrite/{environment_of(params)}.lock")


def environment_of(params: Mapping[str, Any]) -> str:
    """Return the environment's name; raises InvalidInput for none, and for one that would lead elsewhere."""
    name = str(params.get("environment") or "")
    if not name or "/" in name or name.startswith("."):
        raise InvalidInput(
            "the lock needs the environment's name, which may hold no slash",
            where="environment",
            hint=f"Give environment or path for the lock of host {platform.node()}.",
        )
    return name


def _lease_name(environment: str) -> str:
    """Return a name that the API accepts, another one for every environment."""
    plain = f"dualwrite-{environment}"
    if _NAME.fullmatch(plain) and len(plain) < 200:
        return plain
    told = re.sub(r"[^a-z0-9]+", "-", environment.lower()).strip("-")[:100]
    return f"dualwrite-{told}-{hashlib.sha256(environment.encode()).hexdigest()[:8]}".replace("--", "-")
