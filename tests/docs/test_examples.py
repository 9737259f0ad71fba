"""Every example of every module is run: on the lab, or on a host booted by systemd, with its placeholders filled in."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import blocks
from tests.lab.host import SystemdHost, up_with_app
from tests.lab.host.app import ENV_FILE, WEB, WORKER
from tests.lab.host.host import STAGING
from tests.lab.lab import Lab
from tests.lab.objects import Objects
from tests.lab.waiting import wait_until
from tests.support.measure import FLAG, LEGACY, MAP, PROCESSES, VNEXT, await_dual_writes, figures, held
from tests.support.play import ROOT, Ended, call, environ
from tests.support.units import dual_writing, holders, need_hosts

MODULES = ROOT / "plugins" / "modules"
# Which example (counted from 0) of which module runs where.
ON_THE_LAB = {
    "run_answers": [0],
    "run_record": [0, 1, 2, 3],
    "flag": [0],
    "health_probe": [0, 1, 2, 3],
    "sql_baseline": [0, 1],
    "sql_cleanup": [0, 1],
    "sql_undo_cleanup": [0],
    "triage": [0, 1, 2],
    "drill": [0, 1],
    "drill_fault": [0, 1],
    "drill_status": [0, 1],
    "notify": [0],
}
OF_A_DATABASE = {"backup_info": [0, 1], "backup_restore": [0, 1, 2, 3]}
ON_A_HOST = {"run_lock": [0, 2], "flag": [1], "flag_info": [0, 1], "workload": [0, 1]}
ON_A_CLUSTER = {"run_lock": [1]}  # by tests/integration, which has one
TEST_TEAMS = (
    "SELECT (SELECT count(*) FROM organizations_team WHERE name LIKE 'Staging Test%')"
    " + (SELECT count(*) FROM teams_team WHERE name LIKE 'Staging Test%')"
)
FLAGS = {
    r"\bDUAL_WRITE_ENABLED\b": FLAG,
    r"\bDUAL_WRITE_STRICT\b": "TEAM_VNEXT_DUAL_WRITE_STRICT_MODE",
}
TABLES = {
    "shop_new": VNEXT,
    "shop_old": LEGACY,
    "shop_map": MAP,
    "shop_new_member": "organizations_teammembership",
    "shop_old_member": "teams_teammembership",
}
HOST_NAMES = {
    "shop-web.service": WEB,
    "shop-import.service": WORKER,
    "/etc/shop/app.env": ENV_FILE,
    "/run/shop/worker.pid": "/run/deltacrown/worker.pid",
    "shop-worker": "run_worker",
}


def source(module: str) -> str:
    """Read the text of a module's EXAMPLES."""
    for node in ast.parse((MODULES / f"{module}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "EXAMPLES":
            return ast.literal_eval(node.value)
    raise AssertionError(f"{module} has no EXAMPLES")


def examples(module: str) -> list[dict[str, Any]]:
    """Read the examples of a module as tasks."""
    return yaml.safe_load(source(module))


def filled(chosen: dict[str, list[int]], names: dict[str, str]) -> list[dict[str, Any]]:
    """Return the chosen examples with every placeholder replaced; one that nothing mentions is a mistake here."""
    mentioned = set()
    tasks = []
    for module, numbers in chosen.items():
        text = source(module)
        for placeholder, value in names.items():
            text, found = re.subn(placeholder, lambda _, value=value: value, text)
            mentioned |= {placeholder} if found else set()
        tasks += [yaml.safe_load(text)[number] for number in numbers]
    assert mentioned == set(names)
    return tasks


def run(tasks: list[dict[str, Any]], variables: dict[str, Any], folder: Path, *more: str, **env: str) -> Ended:
    """Run tasks as a playbook and assert that each ran and none failed."""
    play = {"hosts": "all", "gather_facts": False, "vars": variables, "tasks": tasks}
    (folder / "examples.yml").write_text(yaml.safe_dump([play], sort_keys=False))
    config = {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    argv = ["ansible-playbook", str(folder / "examples.yml"), *more]
    ended = call(argv, folder, environ(**config, **env), cwd=folder)
    assert ended.rc == 0, ended.text
    missing = [task["name"] for task in tasks if f"TASK [{task['name']}]" not in ended.text]
    assert missing == []
    return ended


def test_every_example_of_every_module_has_its_place() -> None:
    modules = sorted(path.stem for path in MODULES.glob("[a-z]*.py"))
    places = (ON_THE_LAB, OF_A_DATABASE, ON_A_HOST, ON_A_CLUSTER)
    assert sorted(set().union(*places)) == modules
    for module in modules:
        placed = sorted(sum((place.get(module, []) for place in places), []))
        assert placed == list(range(len(examples(module)))), module


# --- on the lab -----------------------------------------------------------------------------------------------------


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab that dual-writes under 20 requests per second."""
    made = Lab("docs", tmp_path_factory.mktemp("lab"))
    try:
        made.up(traffic=20)
        await_dual_writes(made)
        yield made
    finally:
        made.down()


def test_the_examples_hold_on_the_lab(lab: Lab, tmp_path: Path) -> None:
    state, database = lab.state, lab.state["database"]
    names = {
        **FLAGS,
        "/run/shop/web.pid": state["web"]["pidfile"],
        r"gunicorn\.\*shop": state["web"]["cmdline_match"],
        "/run/shop/worker.pid": state["worker"]["pidfile"],
        "shop-worker": state["worker"]["cmdline_match"],
        "/etc/shop/app.env": state["env_file"],
        "/run/shop/instances": f"{state['run_dir']}/instances",
        "/opt/shop/bin/start-web": state["web"]["start_command"][0],
        "/opt/shop/bin/start-worker": state["worker"]["start_command"][0],
        r"reports/staging/\d{8}T\d{9}Z[-a-z0-9]+": '"{{ run.path }}"',
        "app_errors_total": "http_requests_total",
        "baseline_offset: 3600": "baseline_offset: 5",
        r"login_host: db-1\.example\.org": f"login_host: {database['host']}\n    login_port: {database['port']}",
        "login_user: cleaner": f"login_user: {database['user']}",
        "login_db: shop": f"login_db: {database['dbname']}",
        "/etc/dualwrite/passfile": database["pgpass_file"],
        "/var/lib/dualwrite": str(tmp_path),
        r"mail\.shop\.internal": "127.0.0.1",
        **{rf"\b{name}\b": table for name, table in TABLES.items()},
    }
    workloads = [
        {
            "name": name,
            "platform": "pidfile",
            "options": {
                "pidfile": state[name]["pidfile"],
                "cmdline_match": state[name]["cmdline_match"],
                "env_file": state["env_file"],
                "start_command": state[name]["start_command"],
                "state_file": f"{state['run_dir']}/instances/{{pid}}.json",
            },
        }
        for name in ("web", "worker")
    ]
    variables = {
        "flag_result": {"changed": False, "summary": "nothing was to do"},
        "app_url": lab.url,
        "app_workloads": workloads,
        "app_flags": {FLAG: False},
        "app_manage": state["manage_command"],
        "app_logs": [state["web"]["log"]],
        "app_database": {
            "login_host": database["host"],
            "login_port": database["port"],
            "login_user": database["user"],
            "login_db": database["dbname"],
            "passfile": database["pgpass_file"],
        },
        "app_create_url": f"{lab.url}/api/vnext/teams/create/",
        "app_teams_url": f"{lab.url}/api/vnext/teams/",
        "app_token_file": state["token_file"],
        "app_new_table": VNEXT,
        "app_old_table": LEGACY,
        "prometheus_url": (state.get("prometheus") or {}).get("url", ""),
        "rolled_at": "{{ now(utc=true, fmt='%Y-%m-%dT%H:%M:%SZ') }}",
    }
    chosen = dict(ON_THE_LAB)
    if not variables["prometheus_url"]:
        reason = "prometheus is not installed: the example of the kind metric is not run"
        assert not os.environ.get("CI"), reason
        print(f"\n{reason}")
        chosen["health_probe"] = chosen["health_probe"][:-1]
    assert lab.request("POST", "/api/vnext/teams/create/", {"name": "Staging Test of the example"})[0] == 201
    wait_until(lambda: lab.sql(TEST_TEAMS) == [(2,)], "the team in both models")
    inventory = ["-i", "localhost,", "-c", "local", "-e", "ansible_python_interpreter={{ ansible_playbook_python }}"]
    ended = run(filled(chosen, names), variables, tmp_path, *inventory)
    assert held(lab) == ["false"] * PROCESSES
    assert lab.sql(f"SELECT count(*) FROM {VNEXT} WHERE name = 'canary of the example'") == [(0,)]
    assert list(tmp_path.glob("reports/staging/*/incident.html"))
    assert list(tmp_path.glob("archives/*/outcome.json"))
    assert lab.sql(TEST_TEAMS) == [(2,)]
    figures(examples_on_the_lab=len(filled(chosen, names)), took=ended.took)
    _restore_as_the_examples_tell(lab, tmp_path, inventory)


def _restore_as_the_examples_tell(lab: Lab, folder: Path, inventory: list[str]) -> None:
    """Restore the lab's database from a folder by the examples, and look into a bucket."""
    database, backups = lab.state["database"], folder / "backups"
    backups.mkdir()
    name = "shop_20260101_0000.dump"
    env = {"PATH": f"{database['bin_dir']}:{environ()['PATH']}", "PGPORT": str(database["port"])}
    argv = ["pg_dump", "-h", database["host"], "-U", database["user"], "-Fc", "-f", str(backups / name)]
    access = {"PGPASSFILE": database["pgpass_file"]}
    subprocess.run([*argv, database["dbname"]], env={**env, **access}, check=True)
    objects = Objects(folder)
    try:
        store = objects.start().store()
        objects.client().upload_file(str(backups / name), store["bucket"], f"staging/{name}")
        keys = f"aws_access_key_id = {store['access_key']}\naws_secret_access_key = {store['secret_key']}\n"
        (folder / "aws").write_text(f"[backup-reader]\n{keys}")
        names = {
            "/backup/shop": str(backups),
            r"2026-01-25T18:00:00(Z|\+01:00)": "2999-01-01T00:00:00Z",
            r"db\.shop\.example": database["host"],
            "login_user: shop": f"login_user: {database['user']}",
            "login_db: shop": f"login_db: {database['dbname']}",
            "/etc/shop/pgpass": database["pgpass_file"],
            "shop-backups": store["bucket"],
        }
        aws = {"AWS_SHARED_CREDENTIALS_FILE": str(folder / "aws"), "AWS_ENDPOINT_URL": store["endpoint_url"]}
        run(filled(OF_A_DATABASE, names), {}, folder, *inventory, **env, **aws)
    finally:
        objects.stop()
    # exchanged and exchanged back: what is put aside is the restored one
    kept = lab.sql("SELECT datname FROM pg_database WHERE datname LIKE '%replaced%'")
    assert len(kept) == 1
    assert lab.request("GET", "/health/")[1]["status"] == "healthy"


# --- on a host ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host() -> Iterator[SystemdHost]:
    """A host with the application as units."""
    need_hosts()
    one = SystemdHost(f"docs-{os.getpid()}")
    try:
        up_with_app(one)
        yield one
    finally:
        one.down()


def test_the_smallest_description_of_the_readme_is_enough(host: SystemdHost, tmp_path: Path) -> None:
    """Its yaml alone, for the unit that it names: the rollback ends well and leaves its report."""
    described = next(block for block in blocks("yaml") if block.page == ROOT / "README.md")
    inventory = tmp_path / "hosts.yml"
    hosts = {STAGING: {"ansible_user": "deploy", "ansible_become": True}}
    inventory.write_text(yaml.safe_dump({"dualwrite": {"hosts": hosts, "vars": yaml.safe_load(described.text)}}))
    argv = ["ansible-playbook", "dualwrite.rollback.rollback_dual_write", "-i", str(inventory)]
    env = environ(ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_SSH_ARGS=f"-F {host.ssh_config}")
    ended = call(argv, tmp_path / "reports", env, cwd=tmp_path)
    assert ended.rc == 0, ended.text
    assert holders(host)[WEB] == ["false"] * 4
    assert ended.closed()["hosts"] == {STAGING: "done"}
    figures(smallest_description=ended.took)


def test_the_examples_hold_on_a_host(host: SystemdHost, tmp_path: Path) -> None:
    names = {**FLAGS, **HOST_NAMES, r"web-1\.example\.org": host.name}
    run_id = "20261123T103000Z-rollback-1f2e"
    variables = {"run": {"run_id": run_id, "operator": "ann", "controller": {"host": "ctl-1"}, "resumes": []}}
    dual_writing(host)
    host.write(HOST_NAMES["/run/shop/worker.pid"], host.run(["systemctl", "show", "-P", "MainPID", WORKER]).stdout)
    connection = ["-i", f"{STAGING},", "-u", "deploy", "--become"]
    tasks = filled(ON_A_HOST, names)
    # The worker is rolled by the second example of flag, and its pidfile would be stale for those of flag_info.
    tasks.sort(key=lambda task: "dualwrite.rollback.flag" in task or "dualwrite.rollback.workload" in task)
    ended = run(tasks, variables, tmp_path, *connection, ANSIBLE_SSH_ARGS=f"-F {host.ssh_config}")
    wait_until(lambda: set(sum(holders(host).values(), [])) == {"False"}, "every process to hold False")
    assert host.run(["ls", "/var/lib/dualwrite"]).stdout == ""
    figures(examples_on_a_host=len(tasks), took=ended.took)
