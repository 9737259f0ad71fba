"""What the pages tell to type, to set and to open exists, and does what they say."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.booleans import BooleanWords
from ansible_collections.dualwrite.rollback.plugins.module_utils.drill.exercises import complete as complete_exercises
from ansible_collections.dualwrite.rollback.plugins.module_utils.notices.channels import channel
from ansible_collections.dualwrite.rollback.plugins.module_utils.notices.contacts import check_contacts
from ansible_collections.dualwrite.rollback.plugins.module_utils.options import CLEANUP, TRANSACTION, merge
from ansible_collections.dualwrite.rollback.plugins.module_utils.platforms.registry import make as make_platform
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.base import Context
from ansible_collections.dualwrite.rollback.plugins.module_utils.probes.registry import make as make_probe
from ansible_collections.dualwrite.rollback.plugins.module_utils.triage.matrix import complete as complete_matrix
from tests.docs.pages import Block, anchors, blocks, commands, links, pages, prose
from tests.gates.tree import project_files
from tests.support.play import ROOT, call, environ

VARIABLE = re.compile(r"(?<![\w.])dualwrite_\w+")
VERSION = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
# What a run itself sets for the inventory and the scenario's tasks.
SET_BY_A_RUN = {"dualwrite_scenario", "dualwrite_role", "dualwrite_entry", "dualwrite_record_required"}


def text_of(*folders: str, endings: tuple[str, ...]) -> dict[str, str]:
    """Return the texts of the project's files below these folders, by name."""
    names = [name for name in project_files() if name.startswith(folders) and name.endswith(endings)]
    assert names
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in names if not (ROOT / name).is_dir()}


def read_by_the_roles() -> set[str]:
    """Return the variables that a role's defaults read."""
    defaults = {name: text for name, text in text_of("roles/", endings=(".yml",)).items() if "/defaults/" in name}
    return set(VARIABLE.findall("\n".join(defaults.values())))


# --- links ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in links(page):
        path, dummy, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


# --- variables ------------------------------------------------------------------------------------------------------


def test_every_variable_that_is_named_is_read() -> None:
    known = read_by_the_roles() | SET_BY_A_RUN
    texts = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in pages()}
    texts |= text_of("inventories/", "playbooks/", "roles/", endings=(".yml", ".j2"))
    texts |= text_of("plugins/modules/", "plugins/module_utils/", "plugins/action/", endings=(".py",))
    unknown = {f"{name}: {variable}" for name, text in texts.items() for variable in VARIABLE.findall(text)} - {
        f"{name}: {variable}" for name in texts for variable in known
    }
    assert sorted(unknown) == []


def test_every_variable_of_an_operator_is_told_on_a_page() -> None:
    told = "\n".join(page.read_text(encoding="utf-8") for page in pages())
    assert sorted(variable for variable in read_by_the_roles() if variable not in told) == []


# --- yaml -----------------------------------------------------------------------------------------------------------


def all_of(content: Any, key: str) -> list[Any]:
    """Collect the values of a key at any depth."""
    if isinstance(content, Mapping):
        here = [content[key]] if key in content else []
        return here + all_of(list(content.values()), key)
    return [one for value in content for one in all_of(value, key)] if isinstance(content, list) else []


PROBES = [
    *(f"dualwrite_{kind}_probes" for kind in ("host", "environment", "scenario", "divergence", "restore")),
    *(f"dualwrite_{kind}_symptoms" for kind in ("host", "environment")),
    "dualwrite_canary",
    "dualwrite_canary_cleanup",
]


def probes_of(value: Any) -> list[dict[str, Any]]:
    """Return the probes of a list, or of a list of symptoms or of scenarios that have such lists."""
    if not isinstance(value, Mapping):
        return [probe for one in value for probe in probes_of(one)]
    return [dict(value)] if "name" in value else probes_of([one for one in value.values() if isinstance(one, list)])


def filled(content: Any, secret: Path) -> Any:
    """Return a block with a time for that of the run, and a file that is here for each below /etc."""
    if isinstance(content, Mapping):
        return {key: filled(value, secret) for key, value in content.items()}
    if isinstance(content, list):
        return [filled(value, secret) for value in content]
    if isinstance(content, str) and content.startswith("/etc/"):
        return str(secret)
    return "2026-01-25T17:00:00Z" if content == "{{ verify_before }}" else content


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_is_accepted(block: Block, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("https://hooks.slack.example/services/T0/B0/x\n")
    content = filled(yaml.safe_load(block.text), tmp_path / "secret")
    assert content
    for given in all_of(content, "dualwrite_boolean_words"):
        BooleanWords(given["true"], given["false"])
    names: list[str] = []
    for workload in sum(all_of(content, "dualwrite_workloads"), []):
        names.append(make_platform(workload).name)
    # Nothing is asked here: the options alone are looked at.
    context = Context(since=datetime.now(UTC), workloads=names, flags={"A_FLAG": False}, read_instances=lambda *_: [])
    for probe in sum((probes_of(value) for key in PROBES for value in all_of(content, key)), []):
        make_probe(probe, context)
    for matrix in all_of(content, "dualwrite_matrix"):
        complete_matrix(matrix)
    for exercises in all_of(content, "dualwrite_drill_exercises") + all_of(content, "dualwrite_drill_due"):
        complete_exercises(exercises)
    for number, notice in enumerate(sum(all_of(content, "dualwrite_notices"), [])):
        channel(notice, number)
    for contacts in all_of(content, "dualwrite_contacts"):
        check_contacts(contacts)
    for cleanup in all_of(content, "dualwrite_cleanup"):
        options = merge(TRANSACTION, CLEANUP)["argument_spec"]
        assert ArgumentSpecValidator(options).validate(cleanup).error_messages == []


# --- commands -------------------------------------------------------------------------------------------------------


def make_targets(words: Sequence[str], folder: Path, tmp_path: Path) -> None:
    """`make` is told targets that there are."""
    there = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    tiers = re.search(r"^TIERS := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert tiers
    unknown = [word for word in words if "=" not in word and word not in there | set(tiers[1].split())]
    assert unknown == []


def playbook(words: Sequence[str], folder: Path, tmp_path: Path) -> None:
    """A playbook command is understood as it is written."""
    env = environ(ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".cache" / "collections"))
    ended = call(["ansible-playbook", *words, "--syntax-check"], tmp_path, env, cwd=folder)
    assert ended.rc == 0, ended.text
    assert "WARNING" not in ended.text


def galaxy(words: Sequence[str], folder: Path, tmp_path: Path) -> None:
    """The artifact that is installed is the one that is built."""
    assert list(words) == ["collection", "install", f"dualwrite-rollback-{VERSION}.tar.gz"]


def doc(words: Sequence[str], folder: Path, tmp_path: Path) -> None:
    """A module that is named has documentation."""
    (name,) = words
    assert (ROOT / "plugins" / "modules" / f"{name.removeprefix('dualwrite.rollback.')}.py").exists()


def ad_hoc(words: Sequence[str], folder: Path, tmp_path: Path) -> None:
    """A module is told options that it has (tests/integration runs the command)."""
    given = dict(zip(words[1::2], words[2::2], strict=True))
    doc([given["-m"]], folder, tmp_path)
    module = ROOT / "plugins" / "modules" / f"{given['-m'].rpartition('.')[2]}.py"
    there = set(re.findall(r"^  (\w+):$", module.read_text(encoding="utf-8"), re.MULTILINE)) | {"workloads"}
    assert set(json.loads(given["-a"])) <= there


def rulebook(words: Sequence[str], folder: Path, tmp_path: Path) -> None:
    """A rulebook that is named exists, and is started with what it asks for (tests/integration runs it)."""
    given = dict(zip(words[::2], words[1::2], strict=True))
    assert set(given) == {"--rulebook", "--inventory", "--vars", "--env-vars"}
    name = given["--rulebook"].removeprefix("dualwrite.rollback.")
    text = (ROOT / "extensions" / "eda" / "rulebooks" / f"{name}.yml").read_text(encoding="utf-8")
    assert set(given["--env-vars"].split(",")) == set(re.findall(r"\{\{ (DUALWRITE_\w+) \}\}", text))
    assert (folder / given["--inventory"]).is_dir()


UNDERSTOOD: dict[str, Callable[[Sequence[str], Path, Path], None]] = {
    "make": make_targets,
    "ansible": ad_hoc,
    "ansible-playbook": playbook,
    "ansible-galaxy": galaxy,
    "ansible-doc": doc,
    "ansible-rulebook": rulebook,
}


@pytest.mark.parametrize("block", blocks("console"), ids=str)
def test_commands_are_understood(block: Block, tmp_path: Path) -> None:
    typed = list(commands(block))
    assert typed
    for folder, line in typed:
        program, *words = shlex.split(line)
        UNDERSTOOD[program](words, folder, tmp_path)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_prose_are_understood(page: Path, tmp_path: Path) -> None:
    for line in re.findall(r"`((?:make|ansible-galaxy|ansible-doc) [^`]+)`", prose(page)):
        program, *words = shlex.split(line)
        UNDERSTOOD[program](words, ROOT, tmp_path)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_called_by_its_full_name_exists(page: Path) -> None:
    there = {path.stem for kind in ("modules", "callback") for path in (ROOT / "plugins" / kind).glob("*.py")}
    there |= {path.stem for path in (ROOT / "extensions" / "eda").rglob("*") if path.suffix in (".yml", ".py")}
    there |= {path.stem for path in (ROOT / "playbooks").glob("*.yml")} | {path.name for path in ROOT.glob("roles/*")}
    named = re.findall(r"dualwrite\.rollback\.(\w+)", page.read_text(encoding="utf-8"))
    assert [name for name in named if name not in there] == []
