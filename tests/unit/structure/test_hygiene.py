"""The collection is generic, and the tree holds nothing of the machine that it was written on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.dualwrite.rollback.tests.unit.structure import project

# Written in pieces, so that this file does not hold what it looks for.
ONE_CUSTOMER = re.compile("delta" + "crown|team_" + "vnext", re.IGNORECASE)
HOME = re.compile("(?<![\\w.-])/(ro" + "ot/[.\\w]|ho" + "me/[a-z][\\w-]*/|Us" + "ers/[A-Za-z][\\w-]*/)")
HOST = re.compile("https?" + "://|--index|--extra|--find-links")


def test_plugins_and_roles_know_no_customer() -> None:
    told = [where for where, line in project.lines(project.under("plugins", "roles")) if ONE_CUSTOMER.search(line)]
    assert told == []


def test_no_path_of_a_home_folder() -> None:
    told = [where for where, line in project.lines(project.files()) if HOME.search(line)]
    assert told == []


def test_requirements_name_no_host() -> None:
    paths = project.under("requirements", "meta", endings=(".in", ".lock", ".txt"))
    assert paths
    assert [where for where, line in project.lines(paths) if HOST.search(line)] == []


def test_requirements_have_lower_bounds_and_the_lock_is_exact() -> None:
    told = []
    for where, line in project.lines(project.under("requirements", "meta", endings=(".in", "requirements.txt"))):
        requirement = line.split("#")[0].strip()
        if requirement and not requirement.startswith("-r ") and ">=" not in requirement:
            told.append(f"{where}: {requirement}")
    for where, line in project.lines([project.ROOT / "requirements" / "dev.lock"]):
        if "==" not in line and line.strip() and not line.lstrip().startswith("#"):
            told.append(f"{where}: {line}")
    assert told == []


def test_the_lock_holds_every_requirement() -> None:
    def names(text: str) -> set[str]:
        found = re.findall(r"^([A-Za-z0-9][\w.-]*)", text, re.MULTILINE)
        return {name.lower().replace("_", "-") for name in found}

    folder = project.ROOT / "requirements"
    wanted = [names((folder / name).read_text(encoding="utf-8")) for name in ("dev.in", "lab.in")]
    missing = set().union(*wanted) - names((folder / "dev.lock").read_text(encoding="utf-8"))
    assert not missing, f"run make lock: {sorted(missing)}"


def fragment_faults(path: Path, sections: set[str]) -> list[str]:
    """Tell what is wrong with a changelog fragment: <issue>-<word>.yml, sections of the config, `name - sentence`."""
    told = [] if re.fullmatch(r"\d+-[a-z0-9_-]+\.yml", path.name) else [f"{path.name}: is not <issue>-<word>.yml"]
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not content:
        return [*told, f"{path.name}: is no mapping of sections"]
    for section, entries in content.items():
        if section not in sections:
            told.append(f"{path.name}: no section {section}")
        elif section == "release_summary":
            told += [] if isinstance(entries, str) else [f"{path.name}: release_summary is one text"]
        else:
            good = isinstance(entries, list) and entries and all(isinstance(entry, str) for entry in entries)
            told += [] if good else [f"{path.name}: {section} is no list of texts"]
            told += [
                f"{path.name}: {entry!r} does not begin with a name and a dash"
                for entry in (entries if good else [])
                if not re.match(r"\w[\w., ]* - \S", entry)
            ]
    return told


def known_sections() -> set[str]:
    config = yaml.safe_load((project.ROOT / "changelogs" / "config.yaml").read_text(encoding="utf-8"))
    return {"release_summary", "trivial", *(name for name, _title in config["sections"])}


def test_changelog_fragments_are_valid() -> None:
    told = []
    for path in project.under("changelogs/fragments"):
        told += fragment_faults(path, known_sections())
    assert told == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fix.yml", "bugfixes: [flag - x]"),
        ("2-a.yml", "bugs: [flag - x]"),
        ("2-a.yml", "bugfixes: flag - x"),
        ("2-a.yml", "bugfixes: [something]"),
        ("2-a.yml", ""),
    ],
)
def test_a_faulty_fragment_is_told(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert fragment_faults(tmp_path / name, known_sections())


@pytest.mark.parametrize("line", ["/ho" + "me/jo/project/x", "cd /ro" + "ot/.cache", "'/Us" + "ers/Jo/x'"])
def test_a_home_folder_is_told(line: str) -> None:
    assert HOME.search(line)
