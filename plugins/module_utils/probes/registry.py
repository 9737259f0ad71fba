# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kinds of probes there are: an explicit dict (a module travels as a zip of what its imports name)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import InvalidInput
from .base import Context, Probe
from .http import HttpProbe
from .log import LogProbe
from .metric import MetricProbe
from .process_env import ProcessEnvProbe
from .settings import SettingsProbe
from .sql import SqlProbe

KINDS: Mapping[str, type[Probe]] = {
    "http": HttpProbe,
    "log": LogProbe,
    "metric": MetricProbe,
    "process_env": ProcessEnvProbe,
    "settings": SettingsProbe,
    "sql": SqlProbe,
}


def make(options: Mapping[str, Any], context: Context) -> Probe:
    """Return the probe that the options describe; raises InvalidInput for an unknown kind or a wrong option."""
    name = str(options.get("name") or "").strip()
    if not name:
        raise InvalidInput("a probe has no name", where="probes", hint="Give every probe a name.")
    kind = str(options.get("kind"))
    if kind not in KINDS:
        raise InvalidInput(
            f"there is no probe of kind '{kind}'", where=f"probe '{name}'", hint=f"Kinds are: {', '.join(KINDS)}."
        )
    return KINDS[kind](options, context)
