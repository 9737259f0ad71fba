"""Where the tests' temporary files lie, and how tests are spread where several run at a time (``-n 2``)."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

import pytest

CONTRACT, INTEGRATION = "tests/unit/contract/", "tests/integration/"
#: what the names of the contract's tests hold, and what these share as long as a process lives
COMPONENTS = ("compose", "kubernetes", "systemd")
#: the integration tests of these names share hosts, engine and cluster; the others have a lab each
SHARED = (*COMPONENTS, "mixed")


#: where pytest looks for the folder in which it makes those of its sessions
TEMPROOT = "PYTEST_DEBUG_TEMPROOT"


class OwnTemporaryFolder:
    """A folder of this session's own, inside the one it was given, removed at its end unless something failed.

    Of the folder that all sessions of a user share, pytest takes away everybody else's way in whenever a session makes
    its first temporary folder. PostgreSQL, which runs as another user, would die in every other session then.
    """

    def __init__(self) -> None:
        self.given = os.environ.get(TEMPROOT)
        self.path = tempfile.mkdtemp(prefix="dw-", dir=self.given)
        os.environ[TEMPROOT] = self.path
        self.failed = True

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.failed = exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)

    def pytest_unconfigure(self) -> None:
        if self.given is None:
            os.environ.pop(TEMPROOT, None)
        else:
            os.environ[TEMPROOT] = self.given
        if not self.failed:
            shutil.rmtree(self.path, ignore_errors=True)


def pytest_configure(config: pytest.Config) -> None:
    """Give the session its folder; the processes that share its tests are told of it by the first one."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(OwnTemporaryFolder())


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
