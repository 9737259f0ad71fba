"""The artifact as a user has it: built, installed into an empty path, run by its full name from another folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.gates.tree import copied_tree
from tests.lab.lab import Lab
from tests.support.measure import PROCESSES, dual_writing, figures, held, told
from tests.support.play import ROOT, call, environ

VERSION = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
ARTIFACT = f"dualwrite-rollback-{VERSION}.tar.gz"
PLAYBOOK = "dualwrite.rollback.rollback_dual_write"


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """Variables of a user who has nothing but the installed artifact."""
    config = tmp_path / "ansible.cfg"
    config.write_text("[defaults]\nstdout_callback = dualwrite.rollback.phases\n")
    collections = tmp_path / "collections"
    variables = {
        "ANSIBLE_CONFIG": str(config),
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "PYTHONPATH": "",
    }
    build = ["ansible-galaxy", "collection", "build", "--output-path", str(tmp_path)]
    install = ["ansible-galaxy", "collection", "install", "--offline", str(tmp_path / ARTIFACT), "-p", str(collections)]
    with copied_tree() as tree:
        for argv in ([*build, str(tree)], install):
            done = call(argv, tmp_path, environ(**variables), cwd=tmp_path)
            assert done.rc == 0, done.text
    return variables


def test_the_installed_playbook_does_the_main_job(lab: Lab, tmp_path: Path, installed: dict[str, str]) -> None:
    dual_writing(lab)
    reports = tmp_path / "reports"
    argv = ["ansible-playbook", PLAYBOOK, "-i", str(ROOT / "inventories" / "lab")]
    ended = call(argv, reports, environ(reports, DUALWRITE_LAB=str(lab.dir), **installed), cwd=tmp_path)
    assert ended.rc == 0, ended.text
    assert held(lab) == ["false"] * PROCESSES
    assert ended.closed()["hosts"] == {"lab": "done"}
    assert [line["phase"] for line in ended.said()] == ["open", "lock", "flag", "verify", "unlock", "close"]
    assert f"dualwrite.rollback {VERSION}" in told(ended.run_folder, "incident.md")
    assert lab.traffic_summary(since=ended.called)["failed"] == 0
    figures(from_the_artifact=ended.took)
