"""The image that AWX runs playbooks in: its build context is made by the real ansible-builder.

No image is built: that needs a registry, which cannot be had here.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from ansible_collections.dualwrite.rollback.plugins.module_utils.postgres.clients import SAFE
from tests.support.play import ROOT, environ

HOME = ROOT / "execution-environment"
DEFINED = yaml.safe_load((HOME / "execution-environment.yml").read_text(encoding="utf-8"))
VERSION = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
LOCK = (ROOT / "requirements" / "dev.lock").read_text(encoding="utf-8")


def locked(name: str) -> str:
    """Return the line that pins a package in the lock: name==version."""
    found = re.search(rf"^{re.escape(name)}==\S+", LOCK, re.MULTILINE | re.IGNORECASE)
    assert found, f"{name} is not in the lock"
    return found[0]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `ansible-builder create` makes of the definition beside the built collection."""
    top = tmp_path_factory.mktemp("ee")
    build = ["ansible-galaxy", "collection", "build", str(ROOT), "--output-path", str(top)]
    subprocess.run(build, env=environ(), check=True, capture_output=True)
    (top / HOME.name).mkdir()
    for path in HOME.iterdir():
        (top / HOME.name / path.name).write_bytes(path.read_bytes())
    made = ["--context", str(top / "context"), "--output-filename", "Containerfile"]
    create = ["ansible-builder", "create", "--file", str(top / HOME.name / "execution-environment.yml"), *made]
    done = subprocess.run(create, env=environ(), check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return top / "context"


def test_the_context_holds_what_is_pinned(context):
    text = (context / "Containerfile").read_text()
    for pinned in (locked("ansible-core"), locked("ansible-runner")):
        assert pinned in text
    assert "'postgresql17 >= 17.12'" in text
    assert "/usr/bin/python3.12" in text
    python = (context / "_build" / "requirements.txt").read_text()
    for name in ("boto3", "kubernetes", "psycopg2-binary", "pyyaml", "zstandard"):
        assert locked(name) in python
    system = (context / "_build" / "bindep.txt").read_text()
    assert {"openssh-clients", "zstd", "git-core"} <= {line.split()[0] for line in system.splitlines() if line}
    assert (context / "_build" / "artifact" / f"dualwrite-rollback-{VERSION}.tar.gz").exists()
    galaxy = yaml.safe_load((context / "_build" / "requirements.yml").read_text())
    assert galaxy["collections"] == [{"name": f"artifact/dualwrite-rollback-{VERSION}.tar.gz", "type": "file"}]


def test_every_package_of_python_is_exact_and_meets_what_the_collection_asks():
    pins = re.findall(r"^([\w-]+)==(\S+)$", (HOME / "requirements.txt").read_text(), re.MULTILINE)
    asked = re.findall(r"^([\w-]+)>=(\S+)$", (ROOT / "meta" / "ee-requirements.txt").read_text(), re.MULTILINE)
    assert asked
    versions = {name.lower(): tuple(map(int, version.split("."))) for name, version in pins}
    for name, least in asked:
        assert versions[name.lower()] >= tuple(map(int, least.split("."))), name


@pytest.mark.parametrize(("said", "ok"), [((17, 12), True), ((17, 13), True), ((18, 1), False), ((17, 11), False)])
def test_the_build_fails_where_the_clients_are_too_old(tmp_path, said, ok):
    """The step of the definition itself is run, with a psql that says such a version."""
    (step,) = (step for step in DEFINED["additional_build_steps"]["append_final"] if "--version" in step)
    assert str((17, SAFE[17])) in step, "the least version is the one that backup_restore asks for"
    psql = tmp_path / "psql"
    psql.write_text(f"#!/bin/sh\necho 'psql (PostgreSQL) {said[0]}.{said[1]}'\n")
    psql.chmod(0o755)
    env = environ(PYCMD="python3")
    env["PATH"] = f"{tmp_path}:{env['PATH']}"
    done = subprocess.run(["sh", "-c", step.removeprefix("RUN ")], env=env, check=False, capture_output=True, text=True)
    assert (done.returncode == 0) is ok, done.stderr
