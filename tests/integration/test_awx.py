"""AWX as code: the real modules of awx.awx against a FAKE of AWX's API, since no AWX server can be had here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.dualwrite.rollback.plugins.module_utils.run.answers import KINDS, NUMBER, TEXT, TRUTH, WORDS
from tests.gates.tree import project_files
from tests.support.awx import (
    TOKEN,
    Awx,
    Bad,
    judge_answers,
    judge_credential_type,
    judge_schedule,
    judge_survey,
    served,
)
from tests.support.measure import figures
from tests.support.play import ROOT, Ended, call, environ
from tests.support.published import published

KIND_OF = {"text": {TEXT}, "integer": {NUMBER}, "multiplechoice": {TEXT, TRUTH}, "multiselect": {WORDS}}
SECRET = "s3cret:of\\the database"
WEBHOOK = "https://hooks.shop.example/T0/s3cret-path"
PRODUCTION = {
    "name": "production",
    "inventory": "inventories/production",
    "protected": True,
    "drills": True,
    "credentials": ["production database"],
    "instance_groups": [],
    "slices": 3,
}
PASSFILE = {"host": "db-1", "port": "5432", "database": "shop", "user": "cleaner", "password": SECRET}
YOURS = {
    "awx_kept_folder": "/mnt/dual-write",
    "awx_environments": [PRODUCTION],
    "awx_project": {
        "name": "dual-write",
        "scm_url": "https://git.shop.example/ops",
        "scm_branch": "main",
        "playbooks": "playbooks",
    },
    "awx_execution_environment": {"name": "dual-write", "image": "registry.shop.example/dual-write:0.2.0"},
    "awx_credentials": [{"name": "production database", "type": "dual-write PostgreSQL passfile", "inputs": PASSFILE}],
}


def loaded(name: str) -> dict[str, Any]:
    """Read a data file of the playbook as it is written; what is !unsafe is text."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))
    return dict(yaml.load((ROOT / name).read_text(encoding="utf-8"), Loader))


OBJECTS = loaded("playbooks/awx/vars/objects.yml")


def some(*playbooks: str) -> list[dict[str, Any]]:
    """Return the templates of these playbooks: each costs a module's start, and the rest is judged without AWX."""
    return [one for one in OBJECTS["awx_templates"] if one["playbook"] in playbooks]


#: of each kind: with an approval and without, sliced and not, with and without a survey (the second time: with one)
FIRST = some("rollback_dual_write", "restore_backup", "drill", "verify")
SECOND = some("rollback_dual_write", "drill")
QUESTIONS = [*sum(OBJECTS["awx_guard_questions"].values(), []), *OBJECTS["awx_questions"].values()]


@pytest.fixture(scope="module")
def awx() -> Iterator[Awx]:
    named = {f"playbooks/{one['playbook']}.yml" for one in OBJECTS["awx_templates"]}
    with served(Awx({name for name in project_files() if name.startswith("playbooks/")} | named)) as fake:
        yield fake


def configure(awx: Awx, folder: Path, token: str = TOKEN, **more: Any) -> Ended:
    path = folder / "yours.yml"
    path.write_text(json.dumps({**YOURS, **more}))
    paths = f"{ROOT / '.cache' / 'collections'}:{published('awx.awx')}"
    env = environ(
        ANSIBLE_COLLECTIONS_PATH=paths,
        ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default",
        ANSIBLE_PIPELINING="1",
        CONTROLLER_HOST=awx.url,
        CONTROLLER_OAUTH_TOKEN=token,
        AWX_WEBHOOK_URL=WEBHOOK,
    )
    argv = ["ansible-playbook", "playbooks/awx/configure.yml", "-i", "localhost,", "-e", f"@{path}"]
    return call(argv, folder, env, cwd=ROOT, timeout=280)


@pytest.mark.timeout(600)
def test_awx_is_configured_and_the_second_time_nothing_changes(awx, tmp_path):
    ended = configure(awx, tmp_path, awx_templates=FIRST)
    assert ended.rc == 0, ended.text[-3000:]
    assert awx.problems == []
    assert SECRET not in ended.text
    assert WEBHOOK not in ended.text
    made = len(awx.changes)
    again = configure(awx, tmp_path, awx_templates=SECOND, awx_drills=OBJECTS["awx_drills"][:1])
    assert again.rc == 0, again.text[-3000:]
    assert again.recap()["localhost"]["changed"] == 0, again.text[-3000:]
    assert awx.changes[made:] == []
    figures(awx_configured=ended.took, again=again.took, changes=made)

    template = awx.one("job_templates", "Roll back dual-write (production)")
    assert template["playbook"] == "playbooks/rollback_dual_write.yml"
    assert (template["ask_variables_on_launch"], template["job_slice_count"]) == (False, 3)
    drill = awx.one("job_templates", "Drill (production)")
    kept = {"dualwrite_reports": "/mnt/dual-write/reports", "dualwrite_drill_ledger": "/mnt/dual-write/drills"}
    assert json.loads(drill["extra_vars"]) == json.loads(template["extra_vars"]) == kept
    restore = awx.one("job_templates", "Restore a backup (production)")
    assert restore["job_slice_count"] == 1, "a database is restored once, not once in each slice"
    assert awx.linked[f"{template['url']}credentials/"] == [awx.one("credentials", "production database")["id"]]
    assert awx.names("job_templates") == [f"{one['name']} (production)" for one in FIRST]
    assert awx.one("credentials", "production database")["inputs"]["password"] == SECRET
    assert awx.one("inventory_sources", "production of the project")["source_path"] == "inventories/production"


def test_a_protected_environment_asks_and_waits_for_an_approval(awx):
    questions = {one["variable"]: one for one in awx.survey("job_templates", "Roll back dual-write (production)")}
    assert [questions[f"dualwrite_{name}"]["required"] for name in ("confirm", "reason", "ticket")] == [True] * 3
    assert len(awx.objects["workflow_job_templates"]) == 2
    for name in ("Roll back dual-write", "Restore a backup"):
        flow = awx.one("workflow_job_templates", f"{name} (production, after approval)")
        nodes = {
            one["identifier"]: one
            for one in awx.objects["workflow_job_template_nodes"].values()
            if one["workflow_job_template"] == flow["id"]
        }
        assert awx.linked[f"{nodes['approve']['url']}success_nodes/"] == [nodes["run"]["id"]]
        assert nodes["run"]["unified_job_template"] == awx.one("job_templates", f"{name} (production)")["id"]
        approval = awx.objects["workflow_approval_templates"][nodes["approve"]["unified_job_template"]]
        assert approval["timeout"] == 900
        asked = awx.survey("workflow_job_templates", flow["name"])
        assert asked == awx.survey("job_templates", f"{name} (production)")


def test_what_a_killed_drill_has_left_can_be_put_back_from_the_survey(awx):
    asked = {one["variable"]: one for one in awx.survey("job_templates", "Drill (production)")}
    recover = asked["dualwrite_drill_recover"]
    assert (recover["choices"], recover["default"]) == (["false", "true"], "false")


def test_a_drill_a_quarter_is_in_the_calendar(awx):
    from dateutil.rrule import rrulestr

    days = []
    for one in awx.objects["schedules"].values():
        days += rrulestr(one["rrule"].replace(" ", "\n"))[:2]
        assert one["extra_data"]["dualwrite_drill_confirm"] == "production"
        assert one["extra_data"]["dualwrite_drill_recover"] == "false"
    days.sort()
    assert {day.strftime("%A %H:%M") for day in days} == {"Tuesday 10:00"}
    assert [day.month for day in days] == [1, 4, 7, 10] * 2
    assert all(day.day <= 7 for day in days)


def test_a_wrong_token_is_told_in_one_sentence_and_makes_nothing(awx, tmp_path):
    before = len(awx.changes)
    ended = configure(awx, tmp_path, token="another")
    assert ended.rc != 0
    assert "Invalid authentication credentials" in ended.text
    assert len(awx.changes) == before


# --- the data, without AWX ------------------------------------------------------------------------------------------


def test_every_answer_is_read_by_our_playbooks_and_of_the_kind_that_they_take():
    read = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "roles").glob("*/defaults/main.yml"))
    for question in QUESTIONS:
        assert KINDS[question["variable"]] in KIND_OF[question["type"]], question
        assert re.search(rf"\b{question['variable']}\b", read), f"no role reads {question['variable']}"
        assert question["required"] or question["default"] == "", "an answer left out is empty"
        assert question["type"] != "integer" or question["required"], "an empty text is no number"
    assert len({question["question_name"] for question in QUESTIONS}) == len({str(one) for one in QUESTIONS}) - 2


@pytest.mark.parametrize("template", OBJECTS["awx_templates"], ids=lambda one: one["playbook"])
def test_every_playbook_that_a_template_names_exists(template):
    assert (ROOT / "playbooks" / f"{template['playbook']}.yml").exists()
    assert set(template["asks"]) <= set(OBJECTS["awx_questions"])


@pytest.mark.parametrize("template", OBJECTS["awx_templates"], ids=lambda one: one["playbook"])
@pytest.mark.parametrize("guard", ["protected", "open"])
def test_every_survey_is_one_that_awx_takes(template, guard):
    asked = OBJECTS["awx_guard_questions"][guard] if template["guard"] else []
    asked = asked + [OBJECTS["awx_questions"][name] for name in template["asks"]]
    if asked:
        judge_survey({"name": template["name"], "description": "", "spec": asked})


def test_every_playbook_of_ours_has_a_template():
    # the guard is a part of the others, and AWX has schedules of its own
    ours = {path.stem for path in (ROOT / "playbooks").glob("*.yml")} - {"guard_targets", "drill_schedule"}
    assert ours <= {template["playbook"] for template in OBJECTS["awx_templates"]}


def test_only_what_touches_no_database_may_be_sliced():
    sliced = {one["playbook"] for one in OBJECTS["awx_templates"] if one.get("sliced")}
    assert sliced == {"rollback_dual_write", "disable_strict_mode", "block_legacy_writes", "status"}


def test_no_credential_type_makes_a_secret_a_variable():
    for one in OBJECTS["awx_credential_types"]:
        judge_credential_type(one)
        secret = {field["id"] for field in one["inputs"]["fields"] if field.get("secret")}
        assert "extra_vars" not in one["injectors"]
        for template in one["injectors"]["env"].values():
            assert re.fullmatch(r"\{\{ tower\.filename\.\w+ \}\}", template), "it names the file, not what is in it"
        assert secret or one["name"].endswith("known hosts")


def test_a_passfile_is_one_that_libpq_reads():
    from jinja2.sandbox import SandboxedEnvironment  # what AWX renders a file by

    one = next(one for one in OBJECTS["awx_credential_types"] if "passfile" in one["name"])
    text = SandboxedEnvironment().from_string(one["injectors"]["file"]["template.passfile"]).render(PASSFILE)
    assert text == r"db-1:5432:shop:cleaner:s3cret\:of\\the database"


@pytest.mark.parametrize(
    ("judge", "given"),
    [
        (judge_survey, {"name": "", "description": "", "spec": []}),
        (
            judge_survey,
            {"name": "", "description": "", "spec": [{"type": "text", "question_name": "A", "variable": "a"}]},
        ),
        (judge_schedule, "DTSTART:20260105T090000 RRULE:FREQ=YEARLY;INTERVAL=1"),
        (judge_schedule, "DTSTART:20260105T090000Z RRULE:FREQ=YEARLY;BYMONTH=2"),
        (judge_schedule, "DTSTART:20260105T090000Z RRULE:FREQ=MONTHLY;INTERVAL=3;BYDAY=2MO"),
        (
            judge_credential_type,
            {"inputs": {"fields": []}, "injectors": {"env": {"ANSIBLE_CONFIG": "/tmp/x"}}},
        ),
    ],
)
def test_the_fake_refuses_what_awx_refuses(judge, given):
    with pytest.raises(Bad):
        judge(given)


@pytest.mark.parametrize(
    "answers",
    [
        {"dualwrite_confirm": "production", "dualwrite_ticket": "INC-1"},
        {"dualwrite_confirm": "production", "dualwrite_ticket": "INC-1", "dualwrite_reason": ["a", "list"]},
        {"dualwrite_confirm": "production", "dualwrite_ticket": "INC-1", "dualwrite_reason": "short"},
        {"dualwrite_confirm": "production", "dualwrite_ticket": "INC-1", "dualwrite_reason": "p95 doubled", "x": "y"},
    ],
    ids=["missing", "no-text", "too-short", "not-asked"],
)
def test_awx_would_not_launch_with_these_answers(answers):
    with pytest.raises(Bad):
        judge_answers(OBJECTS["awx_guard_questions"]["protected"], answers)
