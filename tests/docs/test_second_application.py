"""The second application's description, inventories/orders: it is understood, and its playbooks do what they promise.

The application really runs, as processes with pidfiles; all else of the description is used as it stands. Nothing of it
is known to the collection: neither its flags and words, nor its tables and keys, nor its logs and answers.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.registry import make as make_platform
from tests.lab import processes
from tests.lab.orders import app
from tests.lab.parts import free_port
from tests.lab.waiting import wait_until
from tests.support.measure import figures
from tests.support.play import PLAYBOOKS, ROOT, Ended, call, environ
from tests.unit.probes.conftest import postgres_server

INVENTORY = ROOT / "inventories" / "orders"
PARTS = ("api", "relay")


class Shop:
    """The running application, its database, and an inventory that says where they are."""

    def __init__(self, server: Any, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.port = free_port()
        self.env_file = folder / "shop.env"
        self.key = folder / "key"
        self.key.write_text("the shop's key\n")
        password = server.password_file.read_text().strip()
        self.passfile = folder / "passfile"
        self.passfile.write_text(f"*:*:*:deltacrown:{password}\n")
        self.passfile.chmod(0o600)
        dsn = f"host={server.socket_dir} port={server.port} dbname=shop user=deltacrown passfile={self.passfile}"
        self.env_file.write_text(
            "# what the shop runs with\nORDERS_V2_MIRROR=on\nORDERS_V2_MIRROR_REQUIRED='off'\n"
            f"ORDERS_PORT={self.port}\nORDERS_DSN='{dsn}'\nORDERS_KEY_FILE={self.key}\n"
            f"ORDERS_LOG={folder}/{{}}.log\nORDERS_PIDFILE={folder}/{{}}.pid\n"
        )

    def workloads(self) -> list[dict[str, Any]]:
        """Describe both parts."""
        return [
            {
                "name": part,
                "platform": "pidfile",
                "options": {
                    "pidfile": str(self.folder / f"{part}.pid"),
                    "cmdline_match": f"orders/app.py {part}",
                    "env_file": str(self.env_file),
                    "start_command": [sys.executable, str(ROOT / "tests" / "lab" / "orders" / "app.py"), part],
                    "start_env_file": True,
                    "stable_for": 0.2,
                },
            }
            for part in PARTS
        ]

    def inventory(self) -> Path:
        """Write an inventory of one host, which takes everything but where things are from the example."""
        made = self.folder / "inventory"
        (made / "group_vars").mkdir(parents=True)
        (made / "group_vars" / "all").symlink_to(INVENTORY / "group_vars" / "all")
        here = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "orders_url": f"http://127.0.0.1:{self.port}",
            "orders_key_file": str(self.key),
            "orders_logs": f"{self.folder}/{{}}.log",
            "dualwrite_workloads": self.workloads(),
            "dualwrite_protected": False,
            "dualwrite_lock_folder": str(self.folder),
            "dualwrite_archives": str(self.folder / "archives"),
            "dualwrite_reports": str(self.folder / "reports"),
            "dualwrite_hold": 1,
            "dualwrite_watch": 1,
            "dualwrite_database": {
                "login_host": str(self.server.socket_dir),
                "login_port": self.server.port,
                "login_user": "deltacrown",
                "login_db": "shop",
                "passfile": str(self.passfile),
                "ssl_mode": "disable",
            },
        }
        (made / "hosts.yml").write_text(yaml.safe_dump({"dualwrite": {"hosts": {"shop-1": here}}}))
        return made

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(self.server.connect(database="shop")) as link, link.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall()) if cursor.description else []

    def order(self, reference: str) -> int:
        """Place an order; return the status."""
        body = json.dumps({"reference": reference}).encode()
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v2/orders", body, {"X-Shop-Key": self.key.read_text().strip()}
        )
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return int(answer.status)

    def start(self) -> None:
        """Start both parts by what the description says."""
        with self.env_file.open() as lines:
            given = dict(line.strip().split("=", 1) for line in lines if "=" in line)
        values = {"PATH": "/usr/bin:/bin", **{name: value.strip("'") for name, value in given.items()}}
        for workload in self.workloads():
            processes.spawn(workload["options"]["start_command"], self.folder / "output", values)
        wait_until(lambda: self.running() == set(PARTS), "both parts of the shop")

    def running(self) -> set[str]:
        """Return the parts that run."""
        return {part for part in PARTS if self._process(part)}

    def held(self) -> set[str]:
        """Return the values of the first flag that the running processes hold."""
        found = set()
        for process in filter(None, map(self._process, PARTS)):
            pairs = Path(f"/proc/{process.pid}/environ").read_text().split("\0")
            found |= {pair.partition("=")[2] for pair in pairs if pair.startswith("ORDERS_V2_MIRROR=")}
        return found

    def _process(self, part: str) -> processes.Process | None:
        return processes.from_pidfile(self.folder / f"{part}.pid", "orders/app.py")

    def stop(self) -> None:
        processes.end([process for process in map(self._process, PARTS) if process])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop with orders of customers and of a load test, under a few orders per second."""
    with postgres_server() as server:
        with contextlib.closing(server.connect(admin=True, database="postgres")) as link, link.cursor() as cursor:
            cursor.execute("CREATE DATABASE shop OWNER deltacrown")
        made = Shop(server, tmp_path_factory.mktemp("shop"))
        made.sql(app.SCHEMA)
        ended = threading.Event()

        def customers() -> None:
            while not ended.wait(0.1):
                with contextlib.suppress(OSError):  # while the shop is rolled, an order is refused
                    made.order("of a customer")

        buying = threading.Thread(target=customers)
        try:
            made.start()
            assert [made.order(reference) for reference in ("LOADTEST-1", "LOADTEST-2", "LATEST-3")] == [201] * 3
            wait_until(lambda: made.sql("SELECT count(*) FROM orders") == [(3,)], "the orders in both models")
            buying.start()
            yield made
        finally:
            ended.set()
            if buying.is_alive():
                buying.join()
            made.stop()


def run(shop: Shop, playbook: str, *more: str, **variables: Any) -> Ended:
    """Run a playbook as an operator does."""
    inventory = shop.folder / "inventory"
    given = ["-e", json.dumps(variables)] if variables else []
    argv = ["ansible-playbook", f"{playbook}.yml", "-i", str(inventory if inventory.exists() else shop.inventory())]
    return call([*argv, *given, *more], shop.folder / "reports", environ())


def test_the_inventory_is_understood(tmp_path: Path) -> None:
    ended = call(["ansible-inventory", "-i", str(INVENTORY), "--list"], tmp_path, environ(), cwd=PLAYBOOKS)
    assert ended.rc == 0, ended.text
    told = json.loads(ended.text)
    assert set(told["systemd"]["hosts"] + told["kubernetes"]["hosts"]) == {"billing-1", "billing-2", "shop-cluster"}
    assert "TEAM_VNEXT" not in ended.text
    hosts = told["_meta"]["hostvars"]
    made = {name: [make_platform(one).name for one in given["dualwrite_workloads"]] for name, given in hosts.items()}
    assert made == dict.fromkeys(("billing-1", "billing-2", "shop-cluster"), list(PARTS))


def test_dual_write_comes_off(shop: Shop) -> None:
    shown = run(shop, "rollback_dual_write", "--check", "--diff")
    assert shown.rc == 0, shown.text
    assert "ORDERS_V2_MIRROR=off" in shown.text
    assert shop.held() == {"on"}
    ended = run(shop, "rollback_dual_write", dualwrite_reason="orders are slow")
    assert ended.rc == 0, ended.text
    assert shop.held() == {"off"}
    assert "ORDERS_V2_MIRROR_REQUIRED='off'" in shop.env_file.read_text()
    asked = {one["probe"]: one["answer"] for one in ended.phase("verify")["evidence"]}
    assert asked["the relay mirrors nothing"] == "pass"
    assert asked["the order is not in the old tables"] == "pass"
    assert set(asked.values()) == {"pass"}
    assert shop.sql("SELECT count(*) FROM orders_v2 WHERE reference LIKE 'canary%'") == [(0,)]
    figures(second_application=ended.took)


def test_what_the_load_test_left_goes(shop: Shop) -> None:
    ended = run(shop, "cleanup_test_data")
    assert ended.rc == 0, ended.text
    rows = ended.phase("cleanup")["rows"]
    assert rows == {"orders_v2": 2, "order_lines_v2": 4, "order_link": 2, "orders": 2, "order_items": 4}
    assert shop.sql("SELECT count(*) FROM orders WHERE reference = 'LATEST-3'") == [(1,)]


def test_a_scenario_that_the_shop_has_no_flag_for_is_refused(shop: Shop) -> None:
    ended = run(shop, "block_legacy_writes")
    assert ended.rc != 0
    assert "'dualwrite_flags.legacy_write_blocked' is no name of a flag" in ended.text
    assert "filter" not in ended.text
    assert "Traceback" not in ended.text
    assert shop.held() == {"off"}


def test_the_way_back(shop: Shop) -> None:
    ended = run(shop, "enable_dual_write", dualwrite_accept_divergence=True)
    assert ended.rc == 0, ended.text
    assert shop.held() == {"on"}
