"""What the reference profile asks of Prometheus has a number where targets are scraped as they usually are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.play import PLAYBOOKS, environ

QUERIES = "deltacrown_metric_probes | map(attribute='query') | list"
SYMPTOMS = "deltacrown_metric_symptoms | map(attribute='probes') | flatten | map(attribute='query') | list"
WAITS = ("dualwrite_verify_timeout", "dualwrite_drill_steady_timeout", "dualwrite_look_again")
SERIES = ['http_requests_total{status="200"}', 'http_requests_total{status="500"}'] + [
    f'http_request_duration_seconds_bucket{{le="{le}"}}' for le in ("0.1", "0.5", "+Inf")
]


def variables(inventory: str, **more: Any) -> dict[str, Any]:
    """Return what an environment with a Prometheus asks of it, and for how long it waits."""
    wanted = f"dict(queries={QUERIES} + {SYMPTOMS}, waits=[{', '.join(WAITS)}])"
    given = json.dumps({"deltacrown_prometheus": "http://prometheus", **more})
    argv = ["ansible", "dualwrite[0]", "-i", inventory, "-m", "debug", "-a", f"msg={{{{ {wanted} }}}}", "-e", given]
    done = subprocess.run(argv, cwd=PLAYBOOKS, env=environ(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout.partition("=>")[2])["msg"])


def numbers(queries: list[str], scraped: int, folder: Path) -> str:
    """Ask the real engine whether each query has one number, at a moment between two scrapes; return what is wrong."""
    if shutil.which("promtool") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("promtool is not installed")
    series = [{"series": name, "values": "0+30x60"} for name in SERIES]
    one = {"exp_samples": [{"labels": "{}", "value": 1}], "eval_time": f"{20 * scraped + scraped // 2}s"}
    asked = [{**one, "expr": f"count(({query}) >= 0)"} for query in queries]
    tests = [{"interval": f"{scraped}s", "input_series": series, "promql_expr_test": asked}]
    file = folder / "test.yml"
    file.write_text(json.dumps({"evaluation_interval": f"{scraped}s", "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("inventory", ["production", "staging", "staging-compose", "staging-kubernetes"])
def test_scraped_every_15_seconds_every_query_has_a_number(inventory: str, tmp_path: Path) -> None:
    told = variables(inventory)
    assert len(told["queries"]) == 4
    assert numbers(told["queries"], 15, tmp_path) == ""
    assert min(told["waits"]) > 60 + 15, "what was before a roll is in the metrics for that long"


def test_scraped_every_minute_an_environment_says_so_with_one_variable(tmp_path: Path) -> None:
    assert "nil" in numbers(variables("staging")["queries"], 60, tmp_path)
    told = variables("staging", deltacrown_metric_window=240)
    assert numbers(told["queries"], 60, tmp_path) == ""
    assert min(told["waits"]) > 240
