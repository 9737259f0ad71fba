"""How tests are spread where several run at a time (``-n 2 --dist loadfile``)."""

from __future__ import annotations

from typing import Any

import pytest

CONTRACT, INTEGRATION = "tests/unit/contract/", "tests/integration/"
#: what the names of the contract's tests hold, and what these share as long as a process lives
COMPONENTS = ("compose", "kubernetes", "systemd")
#: the integration tests of these names share hosts, engine and cluster; the others have a lab each
SHARED = (*COMPONENTS, "mixed")


def together(nodeid: str) -> str:
    """Name what keeps a test in one process with others: a component that is brought up once, or its file."""
    file, dummy, test = nodeid.partition("::")
    if file.startswith(CONTRACT):
        for name in COMPONENTS:
            if name in file or f"[{name}" in test:
                return CONTRACT + name
    if file.startswith(INTEGRATION) and any(name in file for name in SHARED):
        return INTEGRATION + "components"
    return file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Spread by what tests share, where spreading by file is asked for."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return together(nodeid)

    return Together(config, log)
