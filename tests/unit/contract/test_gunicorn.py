"""gunicorn as it is run: daemonised, with a pidfile, three workers, and a configuration that HUP reads again."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline, wait_until
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.registry import make
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.flag import set_flags
from ansible_collections.dualwrite.rollback.tests.unit.platforms.shop import ENV, FLAG, STRICT, Shop

CONFIG = """
import json, os
bind, workers, daemon = "127.0.0.1:{port}", 3, True
pidfile = "{folder}/web.pid"
errorlog = "{folder}/gunicorn.log"
graceful_timeout, control_socket_disable = 5, True
flags = dict(line.strip().split("=", 1) for line in open("{folder}/app.env") if "=" in line)

def announce(_):
    started = int(open("/proc/self/stat").read().rpartition(")")[2].split()[19])
    path = "{folder}/instances/%d.json" % os.getpid()
    with open(path + ".new", "w") as stream:
        json.dump({{"pid": os.getpid(), "start_time": started, "flags": flags}}, stream)
    os.replace(path + ".new", path)

when_ready = on_reload = post_worker_init = announce
"""
WSGI = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    made = Shop(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "gunicorn.conf.py").write_text(CONFIG.format(folder=tmp_path, port=port))
    (tmp_path / "wsgi.py").write_text(WSGI)
    yield made
    made.close()


def workload(shop: Shop, **options: object) -> dict:
    config = str(shop.folder / "gunicorn.conf.py")
    command = [sys.executable, "-m", "gunicorn", "-c", config, "--chdir", str(shop.folder), "wsgi:app"]
    entry = shop.workload("web", start_command=command, cmdline_match="gunicorn.*wsgi:app", start_env_file=True)
    entry["options"].update(options)
    return entry


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_every_worker_holds_the_flag_after_a_roll(shop: Shop, how: str) -> None:
    state = {"state_file": f"{shop.state_dir}/{{pid}}.json"} if how == "reload" else {}
    entry = workload(shop, roll=[how], **state)
    web = make(entry)
    web.restart([], Deadline(20))  # type: ignore[attr-defined]
    wait_until(lambda: len(web.instances()) == 4, Deadline(10), what="the workers")
    master = shop.pid("web")
    given = {"flags": {FLAG: False}, "known_flags": [FLAG, STRICT], "workloads": [entry], "timeout": 30}
    outcome = set_flags(given)
    assert outcome["rolled"] == {"web": how}
    assert sorted(outcome["after"]["web"][FLAG]["effective"].values()) == ["false"] * 4
    assert (shop.pid("web") == master) is (how == "reload")
    assert shop.env_file.read_text() == ENV.replace(f"{FLAG}=true", f"{FLAG}=false")
    assert not set_flags(given)["changed"]


def test_a_reload_alone_changes_no_environment_and_is_not_believed(shop: Shop) -> None:
    """HUP's exit code says nothing: without a state file the environment of master and workers keeps the old value."""
    entry = workload(shop, roll=["reload", "restart"], reload_timeout=2)
    make(entry).restart([], Deadline(20))  # type: ignore[attr-defined]
    given = {"flags": {FLAG: False}, "known_flags": [FLAG], "workloads": [entry], "timeout": 30}
    assert set_flags(given)["rolled"] == {"web": "reload, restart"}
