"""A gate that can't fail is none: failing tests, failing commands and broken tiers all end in a non-zero total."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.dualwrite.rollback.tests.gates import __main__ as gates
from ansible_collections.dualwrite.rollback.tests.gates.aside import Aside
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
    assert "  failed: test_sample::test_bad: assert False\n" in gates.table([tier, Tier("next")])


def test_an_error_before_a_test_is_told_like_a_failure(tmp_path: Path) -> None:
    source = "import pytest\n@pytest.fixture\ndef lab(): raise OSError('no port\\nis free')\ndef test_it(lab): pass"
    tier = run_pytest(tmp_path, source)
    assert len(tier.failed_tests) == tier.failed == 1
    assert tier.failed_tests[0].startswith("test_sample::test_it: ")
    assert "no port" in tier.failed_tests[0]
    assert "\n" not in tier.failed_tests[0]


def test_no_test_at_all_is_a_failure(tmp_path: Path) -> None:
    tier = run_pytest(tmp_path, "")
    assert (tier.passed, tier.failed_steps, tier.ok) == (0, ["pytest"], False)


@pytest.mark.parametrize("argv", [["false"], ["a-program-that-nobody-has"]])
def test_a_failing_command_fails_its_tier(tmp_path: Path, argv: list[str]) -> None:
    tier = Tier("sample")
    assert not tier.run("step", argv, cwd=tmp_path)
    assert (tier.failed_steps, tier.ok) == (["step"], False)


def test_a_command_that_leaves_reports_is_counted(tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(SAMPLE, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=reports/one.xml"]
    tier = Tier("sample")
    tier.counted("counted", [*command, "test_sample.py"], tmp_path / "reports", cwd=tmp_path, env={})
    assert (tier.passed, tier.failed, tier.skipped, tier.failed_steps) == (1, 1, 1, [])


def test_a_command_without_the_report_it_owes_is_a_failure(tmp_path: Path) -> None:
    tier = Tier("sample")
    tier.counted("silent", ["true"], tmp_path, cwd=tmp_path, env={})
    assert (tier.failed_steps, tier.ok) == (["silent: no report"], False)


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


def test_a_tier_beside_that_ends_without_a_report_fails_the_whole(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def good(tier: Tier) -> None:
        tier.passed += 3

    monkeypatch.setattr(gates, "TIERS", {"first": good, "unknown": good})  # the other process knows none of that name
    monkeypatch.setattr(gates, "ASIDE", ("unknown",))
    monkeypatch.setattr(gates.os, "chdir", lambda folder: None)
    assert gates.main(["all"]) == 1
    out = capfd.readouterr().out
    assert "== beside the tiers before: unknown\nusage: python -m tests.gates" in out
    assert "failed: it ended before its report" in out
    assert out.endswith("\n3 passed, 1 failed\n")


def test_what_runs_beside_is_told_whole_and_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    programs = {"one": ["sh", "-c", "echo 1; echo 2 >&2; exit 3"], "two": ["sh", "-c", "sleep 0.2; nice"]}
    with Aside(programs) as aside:
        aside.tell(wait=True)
        aside.tell()  # once is enough
    assert capfd.readouterr().out == (
        "\n== beside the tiers before: one\n1\n2\n\n== beside the tiers before: two\n19\n"
    )


def test_what_runs_beside_ends_with_those_it_runs_beside(tmp_path: Path) -> None:
    def interrupted() -> None:
        programs = {"long": ["sh", "-c", f"echo $$ >{tmp_path}/child; sleep 300; true"], "next": ["touch", "next"]}
        with Aside(programs):
            while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text().strip():
                time.sleep(0.05)
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "child").read_text()), 0)
    assert time.monotonic() - began < 15
    assert not (gates.ROOT / "next").exists()


def test_a_tier_of_another_process_counts_as_one_of_this(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def mixed(tier: Tier) -> None:
        tier.passed, tier.failed = 2, 1
        tier.notes.append("a note")

    monkeypatch.setattr(gates, "TIERS", {"mixed": mixed})
    monkeypatch.setattr(gates.os, "chdir", lambda folder: None)
    report = tmp_path / "report"
    assert gates.main(["mixed", "--report", str(report)]) == 1
    read = gates.read_report(report, "mixed")
    assert (read.passed, read.failed, read.notes, read.ok) == (2, 1, ["a note"], False)
    assert not gates.read_report(tmp_path / "none", "killed").ok
