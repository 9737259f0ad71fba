"""The step: stages, check mode, sentences and results, on a real web server, real logs and a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput, VerificationFailed
from ansible_collections.dualwrite.rollback.plugins.module_utils.options import PROBES, WORKLOADS, merge, optional
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.base import COMMON_OPTIONS
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.registry import KINDS
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.health_probe import health_probe

from ..probes.conftest import Site, serve, stamp


def params(probes: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"probes": probes, "timeout": 2.0, "hold": 0.0, "interval": 0.1, **more}


def failed(given: dict[str, Any], **more: Any) -> tuple[str, dict[str, Any]]:
    """Return the sentence and the evidence of a call that must fail."""
    with pytest.raises(VerificationFailed) as caught:
        health_probe(given, **more)
    return caught.value.what, caught.value.evidence


@pytest.fixture
def site() -> Iterator[Site]:
    found, server = serve()
    yield found
    server.shutdown()
    server.server_close()


def healthy(site: Site, name: str = "health", **more: Any) -> dict[str, Any]:
    site.answers.setdefault("/health/", (200, {}, {"status": "healthy"}))
    return {"name": name, "kind": "http", "url": f"{site.url}/health/", "json": {"status": "healthy"}, **more}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_text(json.dumps({"time": stamp(1), "event": "served"}) + "\n")
    return path


def quiet(log: Path) -> dict[str, Any]:
    return {"name": "quiet", "kind": "log", "paths": [str(log)], "pattern": "dual_write", "since": stamp(60)}


def canary(site: Site) -> dict[str, Any]:
    """Return first and last of a canary; the server knows which rows are there."""
    rows: set[str] = set()

    def create(request: Any) -> Any:
        rows.add("7")
        return 201, {}, {"id": 7}

    def remove(request: Any) -> Any:
        rows.discard("7")
        return 200, {}, b""

    site.answers["/teams/"], site.answers["/teams/7/"] = create, remove
    site.answers["/rows/"] = lambda request: (200, {}, {"rows": len(rows)})
    post = {"name": "create", "kind": "http", "method": "POST", "url": f"{site.url}/teams/", "status": [201]}
    return {
        "first": [{**post, "remember": {"id": "id"}}],
        "last": [{"name": "remove", "kind": "http", "method": "DELETE", "url": f"{site.url}/teams/{{id}}/"}],
    }


def test_all_pass_and_hold(site: Site, log: Path) -> None:
    outcome = health_probe(params([healthy(site), quiet(log)], hold=0.3))
    assert outcome["changed"] is False
    assert outcome["summary"] == "2 of 2 probes pass, quiet for 0.3 s"
    assert outcome["answers"] == {"pass": 2, "fail": 0, "unknown": 0, "error": 0}
    assert [one["probe"] for one in outcome["evidence"]] == ["health", "quiet"]
    assert all(one["extra"]["held"] >= 0.3 and one["extra"]["asked"] >= 3 for one in outcome["evidence"])
    assert outcome["watch_start"] < outcome["watch_end"]
    assert set(outcome["timings"]) == {"first", "watch", "last", "total"}


def test_the_sentence_names_each_failing_probe_with_place_and_value(site: Site, log: Path) -> None:
    site.answers["/health/"] = (200, {}, {"status": "degraded"})
    log.write_text("")
    what, evidence = failed(params([healthy(site), quiet(log)], timeout=0.3))
    assert what == (
        f"2 of 2 probes did not hold: 'health' fails ({site.url}/health/): status is degraded instead of healthy; "
        f"'quiet' is unknown ({log}): no line was read: this silence proves nothing"
    )
    assert evidence["answers"] == {"pass": 0, "fail": 1, "unknown": 1, "error": 0}
    assert evidence["changed"] is False
    assert len(evidence["evidence"]) == 2


def test_a_health_that_comes_late_passes(site: Site) -> None:
    born = time.monotonic() + 0.4
    site.answers["/health/"] = lambda asked: (
        (200, {}, {"status": "healthy"}) if time.monotonic() > born else (503, {}, {"status": "starting"})
    )
    outcome = health_probe(params([healthy(site)], hold=0.2))
    evidence = outcome["evidence"][0]
    assert evidence["extra"]["first"]["value"] == {"status": 503, "json": {"status": "starting"}}
    assert evidence["answer"] == "pass"


def test_passing_but_not_long_enough_is_a_failure(site: Site) -> None:
    born = time.monotonic() + 0.7
    site.answers["/health/"] = lambda asked: (
        (200, {}, {"status": "healthy"}) if time.monotonic() > born else (503, {}, {})
    )
    what, evidence = failed(params([healthy(site)], hold=0.9, timeout=1.0))
    assert what.startswith("1 of 1 probes did not hold: 'health' passes, but only since 0.")


def test_a_forbidden_line_ends_the_watch_at_once(site: Site, log: Path) -> None:
    log.write_text(json.dumps({"time": stamp(1), "event": "dual_write"}) + "\n")
    started = time.monotonic()
    with pytest.raises(VerificationFailed) as caught:
        health_probe(params([healthy(site), quiet(log)], timeout=30))
    assert time.monotonic() - started < 5
    assert caught.value.hint == "The watch ended early, because 'quiet' can't pass any more."


def test_a_probe_that_is_final_ends_the_watch_at_its_first_fail(site: Site) -> None:
    site.answers["/health/"] = (200, {}, {"status": "unhealthy"})
    started = time.monotonic()
    with pytest.raises(VerificationFailed) as caught:
        health_probe(params([healthy(site, final=True)], timeout=30))
    assert time.monotonic() - started < 5
    assert caught.value.hint == "The watch ended early, because 'health' can't pass any more."


def test_without_retry_every_probe_is_asked_once(site: Site) -> None:
    site.answers["/health/"] = (503, {}, {})
    what, evidence = failed(params([healthy(site), healthy(site, "again")], timeout=30, retry=False))
    assert what.startswith("2 of 2 probes did not hold")
    assert [one["extra"]["asked"] for one in evidence["evidence"]] == [1, 1]


class TestCanary:
    def test_it_is_made_watched_and_removed(self, site: Site) -> None:
        rows = {"name": "rows", "kind": "http", "url": f"{site.url}/rows/", "json": {"rows": 1}}
        outcome = health_probe(params([rows], **canary(site)))
        assert outcome["changed"] is True
        assert outcome["summary"] == "3 of 3 probes pass"
        assert [one["extra"]["stage"] for one in outcome["evidence"]] == ["first", "probes", "last"]
        assert site.asked[-1]["method"] == "DELETE"

    def test_it_is_removed_also_when_the_watch_fails(self, site: Site) -> None:
        rows = {"name": "rows", "kind": "http", "url": f"{site.url}/rows/", "json": {"rows": 0}}
        what, evidence = failed(params([rows], timeout=0.3, **canary(site)))
        assert what.startswith("1 of 3 probes did not hold: 'rows' fails")
        assert evidence["changed"] is True
        assert site.asked[-1]["method"] == "DELETE"

    def test_a_failed_first_probe_is_looked_at_once_and_not_waited_for(self, site: Site) -> None:
        stages = canary(site)
        site.answers["/teams/"] = (500, {}, {"error": "dual write failed"})
        started = time.monotonic()
        what, evidence = failed(params([healthy(site)], timeout=30, **stages))
        assert time.monotonic() - started < 5
        assert "'create' fails" in what
        assert "status is 500 instead of 201" in what
        assert "'remove' is unknown" in what
        assert evidence["answers"]["pass"] == 1
        assert [request["method"] for request in site.asked] == ["POST", "GET"]

    def test_check_mode_sends_no_writing_probe(self, site: Site) -> None:
        outcome = health_probe(params([healthy(site)], **canary(site)), check=True)
        assert outcome["changed"] is False
        assert outcome["would_ask"] == ["create", "remove"]
        assert outcome["summary"] == "1 of 1 probes pass; check mode: 2 that write not asked"
        assert {request["method"] for request in site.asked} == {"GET"}

    def test_check_mode_fails_like_any_other(self, site: Site) -> None:
        site.answers["/health/"] = (503, {}, b"")
        failed(params([healthy(site)], timeout=0.2), check=True)


# -- a real process ----------------------------------------------------------------------------------------------------


@pytest.fixture
def workload(tmp_path: Path) -> Iterator[Callable[[dict[str, str]], dict[str, Any]]]:
    """Start a process with an environment of its own; return its entry as a workload."""
    children = []

    def start(environ: dict[str, str]) -> dict[str, Any]:
        child = subprocess.Popen(
            [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"],
            env={"PATH": os.environ["PATH"], **environ},
            stdout=subprocess.PIPE,
        )
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        (tmp_path / "pid").write_text(f"{child.pid}\n")
        (tmp_path / "env").write_text("MY_FLAG=false\n")
        options = {"pidfile": str(tmp_path / "pid"), "env_file": str(tmp_path / "env"), "roll": ["reload"]}
        options["cmdline_match"] = "time.sleep"
        return {"name": "web", "platform": "pidfile", "options": options}

    yield start
    for child in children:
        child.kill()
        child.communicate()


PROCESS = {"name": "process", "kind": "process_env"}
SETTINGS = {
    "name": "settings",
    "kind": "settings",
    "argv": [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"],
    "expect": {"MY_FLAG": False},
}


def test_a_process_and_its_settings(workload: Any) -> None:
    web = workload({"MY_FLAG": "off"})
    outcome = health_probe(params([PROCESS, SETTINGS], workloads=[web], flags={"MY_FLAG": False}))
    instance = outcome["evidence"][0]["extra"]["instances"][0]
    assert (instance["workload"], instance["flags"], instance["answer"]) == ("web", {"MY_FLAG": "off"}, "pass")
    assert outcome["evidence"][1]["value"] == {"MY_FLAG": "off"}


def test_a_process_that_keeps_the_old_value_fails_although_the_file_is_right(workload: Any) -> None:
    web = workload({"MY_FLAG": "true"})
    what, evidence = failed(params([PROCESS, SETTINGS], workloads=[web], flags={"MY_FLAG": False}, timeout=0.3))
    assert what.startswith("2 of 2 probes did not hold: 'process' fails (web): MY_FLAG is true instead of ")
    assert "in 1 of 1 instances: web main " in what


def test_a_process_without_the_flag_and_none_at_all_are_unknown(workload: Any) -> None:
    web = workload({})
    given = params([PROCESS], workloads=[web], flags={"MY_FLAG": False}, timeout=0.2)
    assert "is missing" in failed(given)[0]
    Path(web["options"]["pidfile"]).unlink()
    assert "'process' is unknown (web): no instance of web runs" in failed(given)[0]


def test_the_workloads_own_logs(workload: Any, log: Path) -> None:
    web = workload({"MY_FLAG": "off"})
    own = {"name": "own", "kind": "log", "from_workloads": ["web"], "pattern": "dual_write"}
    given = params([own], workloads=[web], since=stamp(60), timeout=0.2)
    assert "'own' can't be answered (workload 'web'): the option 'log_file' is missing" in failed(given)[0]
    web["options"]["log_file"] = str(log)
    assert health_probe(given)["evidence"][0]["value"]["lines"] == 1
    log.write_text("")
    assert "'own' is unknown (logs of web): no line of web was read" in failed(given)[0]
    web["options"]["may_be_stopped"] = True
    assert "'own' is unknown" in failed(given)[0], "it runs, so it has to speak"


def test_words_of_the_application(workload: Any) -> None:
    web = workload({"MY_FLAG": "nein"})
    words = {"true": ["ja"], "false": ["nein"]}
    given = params([PROCESS], workloads=[web], flags={"MY_FLAG": False}, boolean_words=words)
    assert health_probe(given)["answers"]["pass"] == 1


# -- wrong input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"probes": []}, "no probes are given"),
        ({"timeout": 0.0}, "timeout is 0.0, which is no time to wait"),
        ({"interval": -1.0}, "interval is -1.0"),
        ({"hold": 5.0}, "it can't hold for 5 s within a timeout of 2 s"),
        ({"since": "noon"}, "'noon' is no ISO 8601 time"),
        ({"last": [{"name": "health", "kind": "http", "url": "http://x/"}]}, "two probes are called 'health'"),
        ({"first": [{"name": "x", "kind": "smtp"}]}, "there is no probe of kind 'smtp'"),
        ({"workloads": [{"name": "web", "platform": "cobol"}]}, "the platform 'cobol' is not known"),
        ({"boolean_words": {"true": ["x"], "false": ["x"]}}, "must both be given and must differ"),
    ],
)
def test_wrong_input_is_one_sentence_and_nothing_is_asked(site: Site, change: dict[str, Any], sentence: str) -> None:
    given = {**params([healthy(site)], **canary(site)), **change}
    with pytest.raises(InvalidInput) as caught:
        health_probe(given)
    assert sentence in str(caught.value)
    assert site.asked == []


def test_a_writing_probe_can_not_be_watched(site: Site) -> None:
    with pytest.raises(InvalidInput, match="a probe that writes can't be asked again and again"):
        health_probe(params([healthy(site, method="POST")]))
    assert site.asked == []


def test_the_module_knows_every_option_of_every_kind() -> None:
    known = set(COMMON_OPTIONS).union(*(kind.OPTIONS for kind in KINDS.values()))
    for stage in ("probes", "first", "last"):
        given = PROBES["argument_spec"][stage]["options"]
        assert set(given) == known
        assert set(given["kind"]["choices"]) == set(KINDS)


def test_workloads_need_not_be_given() -> None:
    spec = merge(PROBES, optional(WORKLOADS, "workloads"))["argument_spec"]
    assert (spec["workloads"]["required"], spec["workloads"]["default"]) == (False, [])
    assert WORKLOADS["argument_spec"]["workloads"]["required"] is True
