"""What AWX runs, run by its engine: survey answers as extra variables, each job in a folder that is thrown away."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.faults.expect import chain_of, lock_of
from tests.lab.lab import Lab
from tests.support.controller import Controller, killed_when
from tests.support.measure import FLAG, PROCESSES, State, figures, held, restart
from tests.support.nodes import Node
from tests.support.play import ROOT, newest_run

OBJECTS = yaml.load(
    (ROOT / "playbooks" / "awx" / "vars" / "objects.yml").read_text(encoding="utf-8").replace("!unsafe ", ""),
    yaml.SafeLoader,
)
ASKED = {"dualwrite_reason": "p95 > 2x since 02:40", "dualwrite_ticket": "INC-4711"}
BRISK = {"dualwrite_hold": 1, "dualwrite_verify_timeout": 20, **ASKED}


@pytest.fixture
def node(lab: Lab, reports: Path, tmp_path: Path) -> Node:
    return Node(tmp_path, "node-1", lab, reports)


@pytest.fixture
def dual_writing(lab: Lab) -> None:
    lab.set_env(**{FLAG: "true"})
    restart(lab, "true")


def opened(reports: Path) -> dict[str, Any]:
    folder = newest_run(reports)
    assert folder
    return dict(chain_of(folder).entries[0]["data"])


#: how a template ends on a lab that dual-writes and has neither backup, archive, kept database nor record
REFUSED = {
    "cleanup_test_data": "Roll dual-write back first",
    "undo_cleanup": "which archive is to be put back?",
    "restore_backup": "Restored data would be corrupted again.",
    "undo_restore": "Kept are: none.",
    "verify": "no run that did something of the environment 'lab' is recorded",
}


def launched_with(template: dict[str, Any]) -> dict[str, Any]:
    """Return the answers of a survey in which little was typed: texts all, as AWX hands them over.

    The models differ by what is just being written, so a question for that gets a yes.
    """
    asked = [OBJECTS["awx_questions"][name] for name in template["asks"]]
    asked += OBJECTS["awx_guard_questions"]["open"] if template["guard"] else []
    answers = {one["variable"]: one["default"] for one in asked}
    answers |= {"dualwrite_accept_divergence": "true"} if "divergence" in template["asks"] else {}
    return {**answers, "dualwrite_reason": "looking", "dualwrite_hold": 1, "dualwrite_watch": 1}


@pytest.mark.parametrize("template", OBJECTS["awx_templates"], ids=lambda one: one["playbook"])
def test_every_template_runs_by_the_engine_of_awx(lab, tmp_path, template):
    """As a check, on the lab as it is at first."""
    before, reports = State.of(lab), tmp_path / "reports"
    job = Node(tmp_path, "node-1", lab, reports).launch(template["playbook"], launched_with(template), "--check")
    told = [one["event_data"]["res"]["msg"] for one in job.events if one["event"] == "runner_on_failed"]
    refused = REFUSED.get(template["playbook"])
    assert job.status == ("failed" if refused else "successful"), job.text
    assert all(refused in one for one in told) if refused else told == []
    assert bool(told) == bool(refused)
    assert State.of(lab) == before
    assert newest_run(reports) is None


def test_a_rollback_is_launched_and_its_events_tell_its_phases(lab, node, reports, dual_writing):
    job = node.launch("rollback_dual_write", BRISK)
    assert (job.status, job.rc) == ("successful", 0), job.text
    assert held(lab) == ["false"] * PROCESSES
    ours = job.modules()
    order = [ours.index(name) for name in ("run_answers", "run_record", "run_lock", "flag", "health_probe")]
    assert order == sorted(order), ours
    assert ours[-1] == "run_record"
    (rolled,) = job.results("flag")
    assert rolled["changed"]
    assert job.results("run_record")[-1]["outcome"] == "proved"
    record = opened(reports)
    assert (record["operator"], record["reason"], record["ticket"]) == ("ann", *ASKED.values())
    assert not list(node.home.glob("awx_*")), "nothing is left of the job's own folder"
    assert newest_run(reports), "its record is"
    secrets = [lab.token, lab.paths.env_file.read_text().partition("SECRET_KEY=")[2].splitlines()[0]]
    pgpass = Path(lab.state["database"]["pgpass_file"]).read_text().strip().rpartition(":")[2]
    for secret in (*secrets, pgpass):
        assert len(secret) > 8
        assert secret not in job.artifacts
    figures(launched_by_runner=job.results("run_record")[-1]["spent"])


def test_a_job_in_check_mode_changes_nothing(lab, node, reports, dual_writing):
    before = State.of(lab)
    known = newest_run(reports)
    launched = {**BRISK, "awx_user_name": "", "tower_user_name": "tom"}
    job = node.launch("rollback_dual_write", launched, "--check", "--diff")
    assert (job.status, job.rc) == ("successful", 0), job.text
    assert job.results("run_record")[0]["operator"] == "tom"
    assert job.results("flag")[0]["changed"]
    assert State.of(lab) == before
    assert newest_run(reports) == known


def test_a_protected_environment_refuses_a_launch_without_its_answers(lab, node, reports, dual_writing):
    before, known = State.of(lab), newest_run(reports)
    answers = {"dualwrite_protected": True, "dualwrite_ticket": "INC-1", "dualwrite_confirm": "lab"}
    job = node.launch("rollback_dual_write", {**answers, "dualwrite_reason": ""})
    assert (job.status, job.rc) == ("failed", 2)
    assert "-e dualwrite_reason='why this is done'" in job.results("run_record")[0]["msg"]
    assert State.of(lab) == before
    assert newest_run(reports) == known


def test_a_protected_environment_goes_with_its_answers_and_its_run_is_verified(lab, node, reports, dual_writing):
    answers = {**BRISK, "dualwrite_protected": True, "dualwrite_confirm": "lab"}
    job = node.launch("rollback_dual_write", answers)
    assert (job.status, job.rc) == ("successful", 0), job.text
    assert held(lab) == ["false"] * PROCESSES
    rolled_back = newest_run(reports)
    # what Prometheus knew before the run is another test's; this lab may have begun just now
    job = node.launch("verify", {**answers, "deltacrown_prometheus": ""})
    assert (job.status, job.rc) == ("successful", 0), job.text
    assert opened(reports)["scenario"] == "verify"
    assert rolled_back
    assert opened(reports)["verifies"]["run_id"] == rolled_back.name


def test_a_drill_is_launched_and_its_ledger_is_where_the_environment_says(lab, node, reports, dual_writing, tmp_path):
    kept = {"dualwrite_drill_ledger": str(tmp_path / "mounted" / "drills"), "dualwrite_drill_steady_hold": 1}
    job = node.launch("drill", {**BRISK, **kept, "dualwrite_drill": "disable_dual_write"})
    assert (job.status, job.rc) == ("successful", 0), job.text
    assert held(lab) == ["true"] * PROCESSES
    (entry,) = (tmp_path / "mounted" / "drills" / "lab").glob("*.json")
    told = json.loads(entry.read_text())
    assert (told["who"], told["result"], told["put_back"]) == ("ann", "passed", True)


def test_a_job_that_died_with_its_node_is_finished_by_one_on_another(lab, node, reports, dual_writing, tmp_path):
    """The first job's folder and home are gone; its lock and its record are where the second one looks."""
    output = tmp_path / "output"
    with node.private() as folder:
        argv = node.argv(folder, "rollback_dual_write", {**BRISK, "dualwrite_hold": 30, "awx_user_name": "bob"})
        # a host name of its own, as a pod has: nobody elsewhere can know that its process is gone
        argv = ["unshare", "--uts", "sh", "-c", 'hostname node-1; exec "$@"', "sh", *argv]
        dead = killed_when(
            Controller(argv, {**os.environ, **node.environ}, reports, output),
            lambda one: "flag" in one.phases(),
            output,
        )
    shutil.rmtree(node.home)
    assert lock_of(lab).exists()
    other = Node(tmp_path, "node-2", lab, reports)
    refused = other.launch("rollback_dual_write", BRISK)
    assert (refused.status, refused.rc) == ("failed", 2)
    said = refused.results("run_lock")[0]["msg"]
    assert f"run {dead} of bob from node-1" in said
    assert f"-e dualwrite_takeover={dead}" in said
    job = other.launch("rollback_dual_write", {**BRISK, "dualwrite_takeover": dead})
    assert (job.status, job.rc) == ("successful", 0), job.text
    assert job.results("run_lock")[0]["taken_over"]["run_id"] == dead
    assert held(lab) == ["false"] * PROCESSES
    assert not lock_of(lab).exists()


@pytest.mark.parametrize(
    ("playbook", "name", "hostile"),
    [
        ("triage", "dualwrite_symptoms", ["{{% if lookup('pipe', 'touch {0}') %}}{{% endif %}}"]),
        (
            "status",
            "dualwrite_ticket",
            "#jinja2: variable_start_string:'<', variable_end_string:'>'\n<lookup('pipe','touch {0}')>",
        ),
    ],
    ids=["symptoms", "delimiters"],
)
def test_a_template_in_an_answer_is_never_evaluated(lab, node, reports, tmp_path, playbook, name, hostile):
    marker = tmp_path / "evaluated"
    before, known = State.of(lab), newest_run(reports)
    value = json.loads(json.dumps(hostile).format(marker))
    job = node.launch(playbook, {**BRISK, name: value})
    assert (job.status, job.rc) == ("failed", 2), job.text
    assert not marker.exists()
    (told,) = job.results("run_answers")
    assert told["msg"].startswith(name)
    assert "never evaluated" in told["msg"]
    assert job.modules() == []
    assert (State.of(lab), newest_run(reports)) == (before, known)
    # the answer is a hostile one indeed: a play without our guard evaluates it
    read = {"name": "Read it", "ansible.builtin.debug": {"msg": f"{{{{ {name} }}}}"}}
    node.launch([{"name": "Unguarded", "hosts": "all", "gather_facts": False, "tasks": [read]}], {name: value})
    assert marker.exists()


def test_an_answer_of_another_kind_is_refused(lab, node, reports):
    before, known = State.of(lab), newest_run(reports)
    job = node.launch("rollback_dual_write", {**BRISK, "dualwrite_reason": ["a", "list"]})
    assert (job.status, job.rc) == ("failed", 2)
    assert "dualwrite_reason: the answer must be a text, and is a list" in job.results("run_answers")[0]["msg"]
    assert (State.of(lab), newest_run(reports)) == (before, known)
