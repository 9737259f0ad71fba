"""What the lab's application does with its flags, seen from outside."""

import json
import subprocess
from datetime import UTC, datetime, timedelta

from tests.lab import wait_until

from .conftest import AT_START, DUAL_WRITE, LEGACY_BLOCKED, STRICT_MODE, set_flags

LEGACY_NAME = """
SELECT l.id::text, l.name FROM teams_team l
JOIN organizations_teammigrationmap m ON m.legacy_team_id = l.id WHERE m.vnext_team_id = %s
"""


def create(lab, name):
    status, team = lab.request("POST", "/api/vnext/teams/create/", {"name": name})
    assert status == 201
    return team


def test_a_created_team_is_in_both_models_once_the_answer_is_there(lab):
    team = create(lab, "Both Models")
    [(legacy, name)] = lab.sql(LEGACY_NAME, [team["id"]])
    assert name == "Both Models"
    assert lab.sql("SELECT user_id, role FROM teams_teammembership WHERE team_id = %s", [legacy]) == [(1, "owner")]
    assert lab.request("GET", f"/api/vnext/teams/{team['slug']}/") == (200, team)


def test_the_worker_process_carries_an_update(lab):
    team = create(lab, "Before")
    assert lab.request("PATCH", f"/api/vnext/teams/{team['slug']}/", {"name": "After"})[0] == 200
    wait_until(lambda: lab.sql(LEGACY_NAME, [team["id"]])[0][1] == "After", "the legacy team has the new name")
    events = [line["event"] for line in lab.lines("worker") if line.get("slug") == team["slug"]]
    assert events == ["dual_write_scheduled", "dual_write_succeeded"]
    assert lab.last_dual_write() > datetime.now(UTC) - timedelta(seconds=10)


def test_deleting_a_team_deletes_its_legacy_rows_too(lab):
    team = create(lab, "Short Life")
    [(legacy, dummy)] = lab.sql(LEGACY_NAME, [team["id"]])
    assert lab.request("DELETE", f"/api/vnext/teams/{team['slug']}/")[0] == 200
    assert lab.sql("SELECT count(*) FROM teams_team WHERE id = %s", [legacy]) == [(0,)]
    assert lab.sql(LEGACY_NAME, [team["id"]]) == []
    assert lab.request("GET", f"/api/vnext/teams/{team['slug']}/")[0] == 404


def test_without_the_flag_neither_process_touches_the_legacy_model(lab):
    mapped = create(lab, "Mapped")
    set_flags(lab, **{DUAL_WRITE: "false"})
    before, stopped = lab.counts(), lab.last_dual_write()
    lab.request("PATCH", f"/api/vnext/teams/{mapped['slug']}/", {"name": "Renamed"})
    create(lab, "Alone")
    wait_until(lambda: not lab.sql("SELECT 1 FROM organizations_teamevent"), "the queue is empty")
    after = lab.counts()
    assert after["organizations_team"] > before["organizations_team"]
    assert [after[table] for table in ("teams_team", "teams_teammembership", "organizations_teammigrationmap")] == [
        before[table] for table in ("teams_team", "teams_teammembership", "organizations_teammigrationmap")
    ]
    assert lab.last_dual_write() == stopped
    assert lab.sql(LEGACY_NAME, [mapped["id"]])[0][1] == "Mapped"


def test_a_failing_legacy_side_is_logged_and_in_strict_mode_a_500(lab):
    lab.break_legacy()
    lenient = create(lab, "Lenient")
    failed = [line for line in lab.lines("web") if line["event"] == "dual_write_failed"]
    assert lenient["slug"] in [line["slug"] for line in failed]
    set_flags(lab, **{STRICT_MODE: "true"})
    status, body = lab.request("POST", "/api/vnext/teams/create/", {"name": "Strict"})
    assert status == 500
    assert body == {"error": "dual write failed: the legacy model refused the write"}
    assert lab.sql("SELECT count(*) FROM organizations_team WHERE name = 'Strict'") == [(1,)]


def test_blocked_legacy_writes_are_refused_with_the_flags_name(lab):
    assert lab.request("POST", "/api/legacy/teams/create/", {"name": "Old Way"})[0] == 201
    set_flags(lab, **{LEGACY_BLOCKED: "true", DUAL_WRITE: "false"})
    before = lab.counts()
    status, body = lab.request("POST", "/api/legacy/teams/create/", {"name": "Old Way"})
    assert (status, body) == (409, {"error": "legacy writes are blocked", "flag": LEGACY_BLOCKED})
    assert lab.counts()["teams_team"] == before["teams_team"]


def test_writing_needs_the_token(lab):
    for token in (None, "wrong"):
        assert lab.request("POST", "/api/vnext/teams/create/", {"name": "Nobody"}, token=token)[0] == 401


def test_health_can_be_200_with_an_unhealthy_body(lab):
    status, body = lab.request("GET", "/health/")
    assert (status, body["status"], body["database"]) == (200, "healthy", "ok")
    assert body["flags"] == {name: value == "true" for name, value in AT_START.items()}
    assert body["pid"] in [told["pid"] for told in lab.instances()]
    lab.set_unhealthy(True)
    status, body = lab.request("GET", "/health/")
    assert (status, body["status"]) == (200, "unhealthy")


def test_a_command_prints_the_flags_of_a_new_process(lab):
    done = subprocess.run([*lab.state["manage_command"], "effective_flags"], capture_output=True, check=True)
    assert json.loads(done.stdout) == {name: value == "true" for name, value in AT_START.items()}


def test_metrics_count_the_work_of_all_processes(lab):
    from tests.lab.parts import get

    create(lab, "Counted")
    dummy, text = get(f"{lab.url}/metrics")
    numbers = dict(line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#"))
    made = float(numbers['http_requests_total{method="POST",status="201"}'])
    assert float(numbers['dual_write_total{result="succeeded"}']) > 0
    assert made > 0
    assert "http_request_duration_seconds_count" in numbers


def test_rotated_logs_go_on_in_a_new_file_without_a_signal(lab):
    moved = lab.rotate_logs()
    assert [path.name.split(".")[0] for path in moved] == ["web", "worker"]
    team = create(lab, "After Rotation")
    wait_until(lambda: "worker_heartbeat" in [line["event"] for line in lab.lines("worker")], "the worker logs again")
    served = [line for line in lab.lines("web") if line.get("slug") == team["slug"]]
    assert [line["event"] for line in served] == ["dual_write_scheduled", "dual_write_succeeded", "request_served"]
    assert {"time", "level", "pid", "process"} <= served[0].keys()
