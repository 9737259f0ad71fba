# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every platform there is, and the one way to make one from an inventory's entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..core.booleans import BooleanWords
from ..core.errors import InvalidInput
from .base import Platform
from .compose import ComposePlatform
from .kubernetes import KubernetesPlatform
from .pidfile import PidfilePlatform
from .units import systemd

PLATFORMS: dict[str, Callable[[str, Mapping[str, Any], BooleanWords | None], Platform]] = {
    "compose": ComposePlatform,
    "kubernetes": KubernetesPlatform,
    "pidfile": PidfilePlatform,
    "systemd": systemd,
}


def make(workload: Mapping[str, Any], words: BooleanWords | None = None) -> Platform:
    """Return the platform of one workload, ``{name, platform, options}``.

    Raises InvalidInput that names workload and option: no name, unknown platform, unknown, missing or wrong option.
    """
    name = str(workload.get("name") or "")
    if not name:
        raise InvalidInput("a workload has no name", where="workloads")
    kind = str(workload.get("platform") or "")
    if kind not in PLATFORMS:
        raise InvalidInput(
            f"the platform '{kind}' is not known",
            where=f"workload '{name}'",
            hint=f"Give one of: {', '.join(sorted(PLATFORMS))}.",
        )
    return PLATFORMS[kind](name, workload.get("options") or {}, words)
