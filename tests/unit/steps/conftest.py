"""A run of one host that is opened, does its work and is closed, for the steps that look at its record."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.run.controller import identity
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.run_record import run_record

TEMPLATES = str(Path(__file__).resolve().parents[3] / "roles" / "report" / "templates")
FLAG = "DUAL_WRITE"
PASSED = {"changed": False, "answers": {"pass": 1}, "evidence": [{"probe": "health", "kind": "http", "answer": "pass"}]}
ROLLED = {
    "changed": True,
    "summary": "false held by 1 of 1 instances",
    "rolled": {"web": "reload"},
    "flags": {FLAG: False},
    "roll_started": "2026-11-23T10:30:00.000Z",
    "instances": [{"workload": "web", "id": "1:1", "name": "1", "started": "", "flags": {FLAG: "false"}}],
}


@pytest.fixture
def run(tmp_path):
    """Open a run, let it do its work unless told otherwise, and close it; return its folder."""

    def one(*, proved=True, closed=True, **opened):
        base = {"reports": str(tmp_path / "reports"), "budget": 86400, "default_template_dir": TEMPLATES}
        params = {"environment": "staging", "scenario": "disable_dual_write", "hosts": ["web-1"], "operator": "ann"}
        path = run_record({"state": "opened", "controller": identity(os.getpid()), **base, **params, **opened})["path"]
        add = {"state": "added", "path": path, "host": "web-1"}
        run_record({**add, "phase": "flag", "data": ROLLED})
        if proved:
            run_record({**add, "phase": "verify", "data": PASSED})
        if closed:
            run_record({"state": "closed", "path": path, **base})
        return path

    return one
