"""The labs that these tests share, and how they change flags."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lab import Lab, wait_until

DUAL_WRITE = "TEAM_VNEXT_DUAL_WRITE_ENABLED"
STRICT_MODE = "TEAM_VNEXT_DUAL_WRITE_STRICT_MODE"
LEGACY_BLOCKED = "TEAM_VNEXT_LEGACY_WRITE_BLOCKED"
AT_START = {DUAL_WRITE: "true", STRICT_MODE: "false", LEGACY_BLOCKED: "false"}


@pytest.fixture(scope="session")
def labs(tmp_path_factory):
    """Two labs side by side: one whose application reloads at SIGHUP, under traffic, and one whose does not."""
    folder = tmp_path_factory.mktemp("labs")
    pair = [Lab("one", folder / "one"), Lab("two", folder / "two", reload=False)]
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda lab, rate: lab.up(traffic=rate), pair, [20, None]))
        yield pair
    finally:
        for lab in pair:
            lab.down()


@pytest.fixture
def lab(labs):
    """The lab that reloads, with its flags and its legacy side put right again afterwards."""
    yield labs[0]
    labs[0].mend_legacy()
    labs[0].set_unhealthy(False)
    set_flags(labs[0], **AT_START)


@pytest.fixture
def stiff(labs):
    """The lab that does not reload."""
    return labs[1]


def set_flags(lab, **flags):
    """Declare flags, reload, and wait until the old processes are gone and the new ones hold the flags."""
    wanted = {**AT_START, **flags}
    if all(told["flags"] == wanted for told in lab.instances()):
        return
    lab.set_env(**wanted)
    for workload in ("web", "worker"):
        lab.send(workload, signal.SIGHUP)
    await_flags(lab, wanted)


def await_flags(lab, wanted):
    """Wait until exactly five processes tell their flags and all tell these."""
    wait_until(lambda: [told["flags"] for told in lab.instances()] == [wanted] * 5, f"all five hold {wanted}")
