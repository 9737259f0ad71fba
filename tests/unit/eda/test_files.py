"""The files for Prometheus, Alertmanager and ansible-rulebook, by the words of these programs, and that they agree."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.dualwrite.rollback.plugins.module_utils.triage.matrix import MATRIX

EDA = Path(__file__).resolve().parents[3] / "extensions" / "eda"
PROMETHEUS = EDA / "prometheus"
RULEBOOKS = sorted((EDA / "rulebooks").glob("*.yml"))


def say(program: str, *arguments: str) -> str:
    """Run a program on the files for Prometheus; return what it says. It must be content."""
    if shutil.which(program) is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{program} is not installed")
    done = subprocess.run([program, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def allowed(rulebook: Path) -> dict[str, str]:
    """Return the allow-list of a rulebook: alert to symptom."""
    [alerts] = [source for source in load(rulebook)[0]["sources"] if source["name"] == "alertmanager"]
    return dict(alerts["filters"][0]["dualwrite.rollback.select_alerts"]["alerts"])


def test_prometheus_takes_the_rules_and_they_fire_when_they_should() -> None:
    say("promtool", "check", "rules", "dual_write_rules.yml")
    assert "SUCCESS" in say("promtool", "test", "rules", "dual_write_rules_test.yml")


def test_alertmanager_takes_the_example() -> None:
    assert "2 receivers" in say("amtool", "check-config", "alertmanager.yml")


def test_alertmanager_sends_what_the_rulebooks_take_and_prometheus_has_a_rule_for_each() -> None:
    rules = {rule["alert"] for group in load(PROMETHEUS / "dual_write_rules.yml")["groups"] for rule in group["rules"]}
    [matcher] = load(PROMETHEUS / "alertmanager.yml")["route"]["routes"][0]["matchers"]
    sent = set(matcher.removeprefix("alertname=~").strip('"').split("|"))
    assert len(RULEBOOKS) == 2
    for rulebook in RULEBOOKS:
        assert set(allowed(rulebook)) == sent
        assert set(allowed(rulebook).values()) <= {row.symptom for row in MATRIX}
    assert sent <= rules


def test_only_the_rulebook_that_waits_for_a_person_ever_confirms() -> None:
    by_itself, approved = (load(rulebook)[0]["rules"] for rulebook in RULEBOOKS)
    assert "dualwrite_confirm" not in str(by_itself)
    plans, runs = approved
    assert plans["actions"][0]["run_playbook"]["extra_vars"]["dualwrite_execute"] is False
    assert "dualwrite_confirm" not in str(plans)
    assert "event.approval.plan == events.plan.planned.plan" in str(runs["condition"])


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("systemd-analyze is not installed")
    text = (EDA / "systemd" / "dual-write-rulebook.service").read_text(encoding="utf-8")
    unit = tmp_path / "dual-write-rulebook.service"
    unit.write_text(
        text.replace("/opt/dualwrite/bin/ansible-rulebook", "/bin/true").replace("User=dualwrite", "User=root")
    )
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
