"""A gate that can't fail is none: failing tests, failing commands and broken tiers all end in a non-zero total."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.tests.gates import __main__ as gates
from ansible_collections.dualwrite.rollback.tests.gates.tier import Tier

SAMPLE = """
import pytest
def test_good(): pass
def test_bad(): assert False
@pytest.mark.skip(reason="why")
def test_skipped(): pass
"""


@pytest.fixture(autouse=True)
def no_plugins_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """ansible-test hands its plugins to every pytest below it; the samples are no tests of a collection."""
    monkeypatch.delenv("PYTEST_PLUGINS", raising=False)


def run_pytest(folder: Path, source: str) -> Tier:
    (folder / "test_sample.py").write_text(source, encoding="utf-8")
    tier = Tier("sample")
    tier.pytest("pytest", ["-q", "-p", "no:cacheprovider", "test_sample.py"], python=sys.executable, cwd=folder)
    return tier


def test_pytest_is_counted(tmp_path: Path) -> None:
    tier = run_pytest(tmp_path, SAMPLE)
    assert (tier.passed, tier.failed, tier.skipped, tier.failed_steps, tier.ok) == (1, 1, 1, [], False)


def test_no_test_at_all_is_a_failure(tmp_path: Path) -> None:
    tier = run_pytest(tmp_path, "")
    assert (tier.passed, tier.failed_steps, tier.ok) == (0, ["pytest"], False)


@pytest.mark.parametrize("argv", [["false"], ["a-program-that-nobody-has"]])
def test_a_failing_command_fails_its_tier(tmp_path: Path, argv: list[str]) -> None:
    tier = Tier("sample")
    assert not tier.run("step", argv, cwd=tmp_path)
    assert (tier.failed_steps, tier.ok) == (["step"], False)


@pytest.mark.parametrize(("ci", "ok"), [("true", False), ("", True)])
def test_what_is_missing_fails_in_ci_only(monkeypatch: pytest.MonkeyPatch, ci: str, ok: bool) -> None:
    monkeypatch.setenv("CI", ci)
    tier = Tier("sample")
    tier.missing("no such thing here")
    assert tier.ok is ok
    assert "no such thing here" in gates.table([tier])


def test_all_tiers_run_and_the_total_tells(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(tier: Tier) -> None:
        raise OSError("no space left")

    def good(tier: Tier) -> None:
        tier.passed += 3

    monkeypatch.setattr(gates, "TIERS", {"first": broken, "second": good})
    monkeypatch.setattr(gates.os, "chdir", lambda folder: None)  # the other tests of this process stay where they are
    assert gates.main(["all"]) == 1
    out = capsys.readouterr().out
    assert "failed: OSError: no space left" in out
    assert out.endswith("\n3 passed, 1 failed\n")
    assert gates.main(["second"]) == 0
    assert gates.main(["third"]) == 2
