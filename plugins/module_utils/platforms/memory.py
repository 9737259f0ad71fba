# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a workload was when it was stopped, in a file beside it, where whoever starts it again will look."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from typing import Any

from ..core.errors import NotFound
from ..core.files import read_bytes, write_atomically


def runtime_folder() -> str:
    """Return the folder of this user for what does not outlive a boot."""
    return "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()


class Memory:
    """One file. It is written before anything is stopped, so that a stop that was killed is known too."""

    def __init__(self, path: str) -> None:
        self.path = path

    def keep(self, state: Mapping[str, Any]) -> None:
        """Write down what runs; that nothing runs does not replace what an earlier stop has found running."""
        if state.get("running") or self.recall() is None:
            write_atomically(self.path, json.dumps(dict(state)).encode() + b"\n", mode=0o644)

    def recall(self) -> dict[str, Any] | None:
        """Return what was written down; None when there is nothing, or nothing that makes sense."""
        try:
            state = json.loads(read_bytes(self.path))
        except (NotFound, ValueError):
            return None
        return state if isinstance(state, dict) and isinstance(state.get("running"), bool) else None

    def forget(self) -> None:
        """Remove it: the workload runs again."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
