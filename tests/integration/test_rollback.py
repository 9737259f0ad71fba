"""The main job on the lab: the literal command, then again, and before it in check mode. One lab, in this order."""

from __future__ import annotations

import html
import re
import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from tests.lab.lab import Lab
from tests.lab.waiting import wait_until
from tests.support.measure import (
    FLAG,
    LEGACY,
    MAP,
    PROCESSES,
    VNEXT,
    State,
    bare_restart,
    canaries,
    dual_writing,
    figures,
    held,
    secrets_of,
    to_last_dual_write,
    told,
)
from tests.support.play import ROOT, Ended, call, environ, play

PHASES = ["open", "lock", "flag", "verify", "unlock", "close"]
PROFILE = yaml.safe_load((ROOT / "inventories" / "profiles" / "deltacrown.yml").read_text(encoding="utf-8"))
PROBES = [
    probe["name"]
    for kind in (
        *("dualwrite_canary", "dualwrite_host_probes", "deltacrown_quiet"),
        *("deltacrown_vnext_probes", "deltacrown_legacy_stands_still", "dualwrite_canary_cleanup"),
    )
    for probe in PROFILE[kind]
]


@dataclass(frozen=True)
class Seen:
    """A run, and the lab before and after it."""

    ended: Ended
    before: State
    after: State
    counts: dict[str, int]
    last_dual_write: datetime | None
    failed: dict[str, object]


def of_another_lab(line: str, lab: Lab) -> bool:
    """Say whether a line warns of processes that no workload lists: those of a lab beside this one."""
    return "the inventory lists no workload" in line and str(lab.dir) not in line


def run(lab: Lab, reports: Path, *more: str, **variables: str) -> Seen:
    """Run the literal command with the lab looked at before and after."""
    before = State.of(lab)
    ended = play(reports, *more, DUALWRITE_LAB=str(lab.dir), **variables)
    return Seen(
        ended, before, State.of(lab), lab.counts(), lab.last_dual_write(), lab.traffic_summary(since=ended.called)
    )


@pytest.fixture(scope="module")
def checked(lab: Lab, reports: Path) -> Seen:
    """The command with --check --diff, while the application dual-writes."""
    dual_writing(lab)
    return run(lab, reports, "--check", "--diff")


@pytest.fixture(scope="module")
def first(lab: Lab, reports: Path) -> Seen:
    """The literal command, while the application dual-writes."""
    dual_writing(lab)
    return run(lab, reports)


@pytest.fixture(scope="module")
def second(lab: Lab, reports: Path, first: Seen) -> Seen:
    """The same command again, told by Ansible's own callback for its counts."""
    return run(lab, reports, ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default")


# --- check mode -----------------------------------------------------------------------------------------------------


def test_check_and_diff_change_nothing(lab, reports, checked):
    assert checked.ended.rc == 0, checked.ended.text
    assert checked.after == checked.before
    assert not reports.exists()
    assert not list(lab.paths.run_dir.glob("*lock*"))
    assert canaries(lab) == 0
    figures(check_mode=checked.ended.took)


def test_check_and_diff_show_the_line_that_would_change_and_no_other(lab, checked):
    shown = [line for line in checked.ended.lines() if re.match(r"[+-](?!-- |\+\+ )", line)]
    assert shown == [f"-{FLAG}=true", f"+{FLAG}=false"], checked.ended.text
    for secret in secrets_of(checked.before.env.decode()):
        assert secret not in checked.ended.text


# --- the run --------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_the_literal_command_ends_well_and_every_process_holds_false(lab, first):
    assert first.ended.rc == 0, first.ended.text
    assert held(lab) == ["false"] * PROCESSES
    assert f"{FLAG}=false" in first.after.env.decode().splitlines()
    assert first.ended.closed()["outcome"] == "proved"
    figures(
        the_whole_command=first.ended.took,
        command_to_last_dual_write=to_last_dual_write(lab, first.ended.called),
        roll=first.ended.phase("flag")["timings"]["roll"],
        waited_for_other_changes_on_this_machine=first.ended.phase("flag")["timings"].get("wait", 0.0),
    )


@pytest.mark.smoke
def test_only_the_value_in_the_env_file_changed(first):
    expected = first.before.env.replace(f"{FLAG}=true".encode(), f"{FLAG}=false".encode())
    assert first.after.env == expected


@pytest.mark.smoke
def test_no_dual_write_is_newer_than_the_end_of_the_roll(lab, first):
    ended = first.ended.moment("flag", "roll_ended")
    last = lab.last_dual_write()
    assert last is not None
    assert last <= ended
    figures(last_dual_write_before_the_end_of_the_roll=(ended - last).total_seconds())


@pytest.mark.smoke
def test_no_request_failed(first):
    assert first.failed["sent"] > 20
    assert first.failed["failed"] == 0, first.failed
    figures(requests=first.failed["sent"], failed=first.failed["failed"], p95=f"{first.failed['p95_ms']:.0f} ms")


@pytest.mark.smoke
def test_legacy_stands_still_while_vnext_grows_and_the_canary_is_gone(lab, first):
    wait_until(lambda: lab.counts()[VNEXT] >= first.counts[VNEXT] + 5, "five more vNext teams")
    now = lab.counts()
    assert (now[LEGACY], now[MAP]) == (first.counts[LEGACY], first.counts[MAP])
    assert canaries(lab) == 0
    figures(vNext_teams_since=now[VNEXT] - first.counts[VNEXT], legacy_teams_since=now[LEGACY] - first.counts[LEGACY])


@pytest.mark.smoke
def test_the_report_names_flags_instances_and_probes(first):
    folder = first.ended.run_folder
    instances = [one["name"] for one in first.ended.phase("flag")["instances"]]
    assert len(instances) == PROCESSES
    for name in ("incident.md", "incident.html"):
        text = html.unescape(told(folder, name)).replace("<wbr>", "")
        missing = [word for word in [*PROFILE["dualwrite_flags"].values(), *instances, *PROBES] if word not in text]
        assert missing == []


@pytest.mark.smoke
def test_no_secret_is_in_the_report_or_on_the_screen(lab, first):
    folder = first.ended.run_folder
    texts = [first.ended.text, *(path.read_text(encoding="utf-8") for path in folder.iterdir())]
    assert len(texts) == 4
    for secret in [*secrets_of(first.before.env.decode()), lab.token]:
        assert not [text for text in texts if secret in text]


@pytest.mark.smoke
def test_the_command_that_the_report_names_verifies_the_record(first):
    named = re.search(r"Check it: `(ansible .*)`", told(first.ended.run_folder, "incident.md"))
    assert named
    done = call(shlex.split(named[1]), first.ended.reports, environ())
    assert done.rc == 0, done.text
    assert "the chain holds" in done.text


@pytest.mark.smoke
def test_the_operator_sees_a_short_line_per_phase_and_where_the_report_lies(lab, first):
    assert [line["phase"] for line in first.ended.said()] == PHASES
    lines = [line for line in first.ended.lines() if not of_another_lab(line, lab)]
    assert len(lines) == len(PHASES) + 2, first.ended.text
    assert not re.search(r"[{}]", first.ended.text), first.ended.text
    assert max(map(len, lines)) <= 200
    report = next(Path(line.removeprefix("report: ")) for line in lines if line.startswith("report: "))
    assert report == first.ended.run_folder / "incident.html"
    assert report.exists()


# --- the same command again -----------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_a_second_run_changes_nothing_and_rolls_nothing(lab, first, second):
    assert second.ended.rc == 0, second.ended.text
    assert second.ended.recap()["lab"]["changed"] == 0
    assert second.after == second.before == first.after
    assert second.ended.phase("flag")["rolled"] == {}
    assert second.ended.closed()["hosts"] == {"lab": "unchanged"}
    assert second.failed["failed"] == 0
    assert not re.search(r"(?<!\d)-\d+\.\d s", told(second.ended.run_folder, "incident.md"))
    assert canaries(lab) == 0
    figures(the_same_command_again=second.ended.took)


# --- beside a bare restart ------------------------------------------------------------------------------------------


def test_the_roll_is_not_much_slower_than_a_bare_restart(lab, first):
    effect = (first.last_dual_write - first.ended.called).total_seconds()
    roll = first.ended.phase("flag")["timings"]["roll"]
    dual_writing(lab)
    bare_effect, bare = bare_restart(lab)
    figures(
        playbook_to_last_dual_write=effect,
        bare_restart_to_last_dual_write=bare_effect,
        ratio=f"{effect / bare_effect:.1f}" if bare_effect else "none: its last dual-write came before the command",
        roll=roll,
        bare_restart=bare,
        ratio_of_the_rolls=f"{roll / bare:.1f}",
    )
    assert roll <= 3 * bare


# --- and back again -------------------------------------------------------------------------------------------------


def test_the_command_of_the_page_switches_dual_write_on_again(lab, first, reports):
    page = (ROOT / "docs" / "rollback_dual_write.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^\$ (ansible dualwrite -i staging .*)$", page, re.MULTILINE)
    argv = ["lab" if word == "staging" else word for word in shlex.split(line)]
    ended = call(argv, reports, environ(reports, DUALWRITE_LAB=str(lab.dir)))
    assert ended.rc == 0, ended.text
    assert held(lab) == ["true"] * PROCESSES
