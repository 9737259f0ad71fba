"""An undo puts exactly the archived rows back: what triggers do besides is noticed, and may be allowed."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    InvalidInput,
    VerificationFailed,
)

TRIGGER = """
CREATE TABLE audit (what text);
CREATE FUNCTION spread() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {what}; RETURN NULL; END $$;
CREATE {kind}TRIGGER spread AFTER INSERT ON team {late}FOR EACH ROW EXECUTE FUNCTION spread();
"""


@pytest.mark.parametrize("late", ["", "DEFERRABLE INITIALLY DEFERRED "])
@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("INSERT INTO audit VALUES (NEW.name)", "audit: 3 rows inserted instead of 0"),
        ("INSERT INTO member (team_id, who) VALUES (NEW.id, 'owner')", "member: 9 rows inserted instead of 6"),
        ("UPDATE team SET name = 'Changed' WHERE id = 9", "team: 3 rows updated instead of 0"),
        ("DELETE FROM member WHERE team_id = 9", "member: 2 rows deleted instead of 0"),
    ],
)
def test_what_a_trigger_does_besides_is_noticed_and_rolled_back(
    database: Any, refused: Any, what: str, words: str, late: str
) -> None:
    done = database.clean()
    database.sql(TRIGGER.format(what=what, late=late, kind="CONSTRAINT " if late else ""))
    before = database.content("team", "member", "legacy_team", "legacy_member", "mapping", "audit")
    said = refused(VerificationFailed, lambda: database.undo(done["archive"], check=True))
    assert said == refused(VerificationFailed, lambda: database.undo(done["archive"]))
    assert words in said
    assert "Name the table in side_effects if what is done there may stay" in said
    assert "(team has triggers: spread)" in said
    left = database.content("team", "member", "legacy_team", "legacy_member", "mapping", "audit")
    assert {**left, "sequences": []} == {**before, "sequences": []}
    database.sql("DROP TRIGGER spread ON team")
    assert database.undo(done["archive"])["changed"]


def test_what_may_be_written_to_meanwhile_is_allowed(database: Any, refused: Any) -> None:
    before = database.content()
    done = database.clean()
    database.sql(TRIGGER.format(what="INSERT INTO audit VALUES (NEW.name)", late="", kind=""))
    assert "there is no table audits" in refused(
        InvalidInput, lambda: database.undo(done["archive"], side_effects=["audits"])
    )
    back = database.undo(done["archive"], side_effects=["audit"])
    assert "team has triggers: spread" in back["notes"]
    assert database.content() == before
    assert database.counts("audit") == {"audit": 3}


def test_rows_put_back_and_references_given_back_in_one_table_are_no_side_effect(database: Any) -> None:
    database.sql(
        "CREATE TABLE game (id int PRIMARY KEY, home int REFERENCES team ON DELETE SET NULL,"
        " away int REFERENCES team ON DELETE SET NULL); INSERT INTO game VALUES (1, 1, 2), (2, 3, 9), (3, 8, 9)"
    )
    before = database.content("game", "team")
    done = database.clean(detach=["game"])
    assert database.undo(done["archive"])["detached"] == {"game": 3}
    assert database.content("game", "team") == before
