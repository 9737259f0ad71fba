"""What the diff of a cleanup shows of the rows: a few of each table, and nothing of what is sensitive."""

from __future__ import annotations

from typing import Any

import pytest


def test_the_diff_shows_the_rows_without_what_is_sensitive(database: Any) -> None:
    shown = database.clean(check=True, sensitive=["secret", "member.who"])["diff"][0]["before"]
    assert "team: id=1, name=Staging Test 1, slug=st-1, secret=********" in shown
    assert "key-1" not in shown
    assert "bob" not in shown
    assert "who=ann" in shown  # of legacy_member, which is not named


@pytest.mark.parametrize("check", [True, False])
def test_the_diff_shows_a_few_of_many_rows_and_masks_them_too(database: Any, check: bool) -> None:
    many = 47
    database.sql(
        f"INSERT INTO team (name, slug, secret) SELECT 'Staging Test many ' || n, 'many-' || n, 'canary-' || n"
        f" FROM generate_series(1, {many}) n;"
        " INSERT INTO member (team_id, who) SELECT id, 'canary' FROM team WHERE slug LIKE 'many-%'"
    )
    done = database.clean(check=check, sensitive=["secret", "member.who"], guards={"max_share": 1})
    assert done["rows"]["team"] == many + 3
    lines = done["diff"][0]["before"].splitlines()
    teams = [line for line in lines if line.startswith("team: ")]
    assert len(teams) == 21
    assert teams[-1] == "team: and 30 more"
    assert all("secret=********" in line for line in teams[:-1])
    members = [line for line in lines if line.startswith("member: ")]
    assert len(members) == 21
    assert members[-1] == "member: and 33 more"
    assert all("who=********" in line for line in members[:-1])
    assert len([line for line in lines if line.startswith("legacy_team: ")]) == 3  # few enough to be shown all
    assert "canary" not in str(done)
