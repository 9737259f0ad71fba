"""A template in what a command is started with is never evaluated, however it is handed over and whatever is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.play import call, environ

HOSTS = "all:\n  children:\n    dualwrite:\n      hosts:\n        web-1: {ansible_connection: local}\n        web-2:\n"
LOOKUP = "lookup('pipe', 'touch {marker}')"


@pytest.mark.parametrize(
    ("playbook", "name", "given", "more"),
    [
        ("rollback_dual_write", "dualwrite_reason", 'dualwrite_reason="{{{{ ' + LOOKUP + ' }}}}"', []),
        (
            "restore_backup",
            "dualwrite_ticket",
            "dualwrite_ticket: '{{%- if " + LOOKUP.replace("'", "''") + " -%}}'",
            [],
        ),
        ("cleanup_test_data", "labels.deep[0]", '{{"labels": {{"deep": ["{{{{ ' + LOOKUP + ' }}}}"]}}}}', ["--check"]),
        ("status", "dualwrite_operator", '{{"dualwrite_operator": "{{{{ ' + LOOKUP + ' }}}}"}}', ["--tags", "none"]),
    ],
    ids=["key=value", "file", "a-label-of-an-alert", "with-tags"],
)
def test_it_is_refused_in_one_sentence_before_anything_reads_it(tmp_path: Path, playbook, name, given, more) -> None:
    (tmp_path / "hosts.yml").write_text(HOSTS)
    marker = tmp_path / "evaluated"
    text = given.format(marker=marker)
    if given.startswith("dualwrite_ticket:"):
        (tmp_path / "answers.yml").write_text(f"---\n{text}\n")
        text = f"@{tmp_path / 'answers.yml'}"
    reports = tmp_path / "reports"
    argv = ["ansible-playbook", f"{playbook}.yml", "-i", str(tmp_path / "hosts.yml"), "-e", text, *more]
    ended = call(argv, reports, environ(reports))
    assert ended.rc == 2, ended.text
    assert not marker.exists()
    (told,) = [line for line in ended.lines() if "never evaluated" in line]
    assert f"{name}: the answer holds '{{" in told
    assert "touch" not in ended.text
    assert "Traceback" not in ended.text
    assert not reports.exists()
