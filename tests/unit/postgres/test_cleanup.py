"""A cleanup removes the test's rows and nothing else, on a real PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    InvalidInput,
    Refused,
    VerificationFailed,
)

REMOVED = {"team": 3, "member": 6, "legacy_team": 3, "legacy_member": 3, "mapping": 3}


def test_the_tests_rows_go_on_both_sides_and_nothing_else(database: Any) -> None:
    before = database.counts()
    done = database.clean()
    assert done["changed"]
    assert done["rows"] == REMOVED
    assert database.counts() == {name: count - REMOVED[name] for name, count in before.items()}
    assert database.sql("SELECT count(*) FROM team WHERE name LIKE '%%Test%%'", ()) == [(0,)]
    assert done["mappings"][0]["removed"] == 3
    assert done["mappings"][0]["only_unmapped"] == 0
    assert done["ids"] == ["1", "2", "3"]
    again = database.clean()
    assert not again["changed"]
    assert again["summary"] == "nothing to do: no row is meant"


def test_check_mode_tells_true_numbers_and_changes_nothing(database: Any) -> None:
    before = database.content()
    done = database.clean(check=True)
    assert done["rows"] == REMOVED
    assert done["archive"] == ""
    assert database.content() == before
    assert database.kept() == []


def test_the_rows_come_back_as_they_were(database: Any) -> None:
    before = database.content()
    done = database.clean()
    assert database.content()["team"] != before["team"]
    back = database.undo(done["archive"], archive_sha256=done["archive_sha256"])
    assert back["changed"]
    assert back["rows"] == REMOVED
    assert database.content() == before
    again = database.undo(done["archive"])
    assert not again["changed"]
    assert database.content() == before


# --- what hangs on the rows -----------------------------------------------------------------------------------------


def test_a_table_that_the_plan_does_not_know_stops_it(database: Any, refused: Any) -> None:
    database.sql("CREATE TABLE invite (team_id int REFERENCES team ON DELETE CASCADE); INSERT INTO invite VALUES (1)")
    before = database.content()
    said = refused(Refused, database.clean)
    assert "1 rows of invite, which the plan does not cover, reference rows of team" in said
    assert "on delete cascade" in said
    assert database.content() == before
    assert database.kept() == []
    database.sql("DELETE FROM invite")
    assert database.clean()["rows"] == REMOVED


def test_a_covered_table_goes_too_whatever_the_foreign_key_would_do(database: Any) -> None:
    database.sql(
        "CREATE TABLE invite (id int PRIMARY KEY, team_id int REFERENCES team ON DELETE SET NULL);"
        "CREATE TABLE click (invite_id int REFERENCES invite ON DELETE RESTRICT);"
        "INSERT INTO invite VALUES (1, 1), (2, 5); INSERT INTO click VALUES (1), (1), (2)"
    )
    before = database.content("invite", "click", "team")
    done = database.clean(tables=["member", "legacy_member", "invite", "click"])
    assert (done["rows"]["invite"], done["rows"]["click"]) == (1, 2)
    assert database.counts("invite", "click") == {"invite": 1, "click": 1}
    database.undo(done["archive"])
    assert database.content("invite", "click", "team") == before


def test_detached_rows_lose_the_reference_and_get_it_back(database: Any) -> None:
    database.sql(
        "CREATE TABLE game (id int PRIMARY KEY, home int REFERENCES team ON DELETE SET NULL, score int);"
        "INSERT INTO game VALUES (1, 1, 3), (2, 1, 4), (3, 9, 5)"
    )
    before = database.content("game", "team")
    done = database.clean(detach=["game"])
    assert done["detached"] == {"game_home_fkey": 2}
    assert database.sql("SELECT id, home, score FROM game ORDER BY 1") == [(1, None, 3), (2, None, 4), (3, 9, 5)]
    database.sql("UPDATE game SET home = 8 WHERE id = 2")
    with pytest.raises(Refused, match=r"game \(2\): it is gone or references something else"):
        database.undo(done["archive"])
    database.sql("UPDATE game SET home = NULL WHERE id = 2")
    database.undo(done["archive"])
    assert database.content("game", "team") == before


def test_circles_self_references_and_composite_keys(database: Any) -> None:
    database.sql(
        'CREATE SCHEMA "Odd %% Space";'
        'CREATE TABLE "Odd %% Space"."Root" (a int, b text, parent_a int, parent_b text, PRIMARY KEY (a, b),'
        '  FOREIGN KEY (parent_a, parent_b) REFERENCES "Odd %% Space"."Root");'
        'CREATE TABLE "Odd %% Space"."Left" (id int PRIMARY KEY, a int, b text, other int,'
        '  FOREIGN KEY (a, b) REFERENCES "Odd %% Space"."Root");'
        'CREATE TABLE "Odd %% Space"."Right" (id int PRIMARY KEY, other int REFERENCES "Odd %% Space"."Left", up int'
        '  REFERENCES "Odd %% Space"."Right");'
        'ALTER TABLE "Odd %% Space"."Left" ADD FOREIGN KEY (other) REFERENCES "Odd %% Space"."Right";'
        """INSERT INTO "Odd %% Space"."Root" VALUES (1, 'x''y', NULL, NULL), (1, 'z', 1, 'x''y');"""
        """INSERT INTO "Odd %% Space"."Root" VALUES (2, 'keep', NULL, NULL);"""
        """INSERT INTO "Odd %% Space"."Left" VALUES (1, 1, 'z', NULL), (2, 2, 'keep', NULL);"""
        'INSERT INTO "Odd %% Space"."Right" VALUES (1, 1, NULL), (2, NULL, 1), (3, NULL, 2), (4, 2, NULL);'
        'UPDATE "Odd %% Space"."Left" SET other = 1 WHERE id = 1',
        (),
    )
    names = ['"Odd %% Space"."Root"', '"Odd %% Space"."Left"', '"Odd %% Space"."Right"']
    literal = [name.replace("%%", "%") for name in names]
    before = database.content(*literal)
    done = database.clean(
        root={"table": literal[0], "match": {"ids": [[1, "x'y"], [1, "z"]]}},
        tables=literal[1:],
        linked=[],
        guards={"max_share": 1},
    )
    assert sorted(done["rows"].values()) == [1, 2, 3]
    assert database.counts(*literal) == dict(zip(literal, (1, 1, 1), strict=True))
    database.undo(done["archive"])
    assert database.content(*literal) == before


def test_a_child_team_of_a_customer_below_a_test_team_stops_it(database: Any, refused: Any) -> None:
    database.sql("ALTER TABLE team ADD parent int REFERENCES team; UPDATE team SET parent = 1 WHERE id = 5")
    assert "1 rows of team, which the plan does not cover, reference rows of team" in refused(Refused, database.clean)
    database.sql("UPDATE team SET parent = NULL; UPDATE team SET parent = 1 WHERE id = 2")
    assert database.clean()["rows"]["team"] == 3


def test_partitioned_tables(database: Any) -> None:
    database.sql(
        "CREATE TABLE event (id int, team_id int REFERENCES team, at date, PRIMARY KEY (id, at))"
        "  PARTITION BY RANGE (at);"
        "CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');"
        "CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');"
        "INSERT INTO event SELECT n, 1 + n %% 4, date '2026-01-01' + n FROM generate_series(1, 50) n",
        (),
    )
    before = database.content("event", "team")
    done = database.clean(tables=["member", "legacy_member", "event"])
    assert done["rows"]["event"] == 38
    assert database.sql("SELECT count(*), count(DISTINCT team_id) FROM event") == [(12, 1)]
    database.undo(done["archive"])
    assert database.content("event", "team") == before


def test_rows_named_without_a_foreign_key(database: Any) -> None:
    database.sql(
        "CREATE TABLE tag (id serial PRIMARY KEY, kind text, object_id text);"
        "INSERT INTO tag (kind, object_id) VALUES ('team', '1'), ('user', '1'), ('team', '9')"
    )
    reference = {
        "table": "tag",
        "columns": ["object_id"],
        "to": "team",
        "to_columns": ["id"],
        "where": {"kind": "team"},
    }
    with pytest.raises(Exception, match="operator does not exist"):
        database.clean(references=[reference], tables=["member", "legacy_member", "tag"])
    database.sql("ALTER TABLE tag ALTER object_id TYPE int USING object_id::int")
    with pytest.raises(Refused, match="1 rows of tag, which the plan does not cover"):
        database.clean(references=[reference])
    assert database.clean(references=[reference], tables=["member", "legacy_member", "tag"])["rows"]["tag"] == 1
    assert database.sql("SELECT kind, object_id FROM tag ORDER BY id") == [("user", 1), ("team", 9)]


# --- the other side -------------------------------------------------------------------------------------------------


def test_an_older_real_legacy_team_is_only_unmapped(database: Any) -> None:
    database.sql("UPDATE legacy_team SET name = 'Real Customer' WHERE name = 'Staging Test 2'")
    done = database.clean()
    assert done["rows"]["legacy_team"] == 2
    assert done["rows"]["mapping"] == 3
    assert done["mappings"][0]["only_unmapped"] == 1
    assert "1 linked rows stay, only their mapping goes" in done["summary"]
    assert database.sql("SELECT count(*) FROM legacy_member m JOIN legacy_team t ON t.id = m.team_id"
                        " WHERE t.name = 'Real Customer'") == [(1,)]  # fmt: skip


def test_mappings_with_nulls_and_of_several_teams_are_counted_and_spare_what_others_need(database: Any) -> None:
    database.sql(
        "INSERT INTO mapping (vnext_id, legacy_id) VALUES (1, NULL);"
        "INSERT INTO mapping (vnext_id, legacy_id) SELECT 7, id FROM legacy_team WHERE name = 'Staging Test 3';"
        "DELETE FROM mapping WHERE vnext_id = 2"
    )
    done = database.clean()
    told = done["mappings"][0]
    assert (told["rows"], told["null"], told["not_mapped"], told["removed"], told["only_unmapped"]) == (3, 1, 1, 1, 1)
    assert database.sql("SELECT count(*) FROM mapping WHERE vnext_id = 7 AND legacy_id IS NOT NULL") == [(2,)]


# --- guards ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"guards": {"max_rows": 5}}, "6 rows and more would be removed in all"),
        ({"guards": {"max_rows": 2}}, "3 rows of team are meant, at most 2 may be"),
        ({"guards": {"max_share": 0.2}}, "3 of 10 rows of team are meant, at most 20% may be"),
        ({"guards": {"expected_count": 4}}, "3 rows of team are meant, 4 were expected"),
        ({"guards": {"expected_ids": [1, 2, 4]}}, "not expected: 3; expected and not found: 4"),
        ({"guards": {"expected_plan": "0" * 16}}, "the data has changed since the plan was made"),
        (
            {"guards": {"every_row": [{"table": "team", "column": "created_at", "min": "2999-01-01"}]}},
            "3 rows of team have created_at outside min 2999-01-01: 1, 2, 3",
        ),
        ({"protected": True}, "a pattern alone chooses no rows there"),
    ],
)
def test_a_guard_says_no_before_anything_is_removed(database: Any, refused: Any, options: Any, words: str) -> None:
    before = database.content()
    assert words in refused(Refused, lambda: database.clean(**options))
    assert database.content() == before
    assert database.kept() == []


def test_a_pattern_that_means_everything_is_refused(database: Any, refused: Any) -> None:
    everything = {"table": "team", "match": {"patterns": [{"column": "name", "like": "%e%"}]}}
    assert "10 of 10 rows of team are meant" in refused(Refused, lambda: database.clean(root=everything))
    everything["match"] = {"patterns": [{"column": "name", "like": "%"}]}
    assert "is met by every row" in refused(InvalidInput, lambda: database.clean(root=everything))
    everything["match"] = {}
    assert "neither patterns nor ids are given" in refused(InvalidInput, lambda: database.clean(root=everything))


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE team; --", "Robert'); DELETE FROM team; --%", '"%s" %(x)s {y}', "a\\'b"]
)
def test_a_pattern_with_sql_in_it_is_only_text(database: Any, text: str) -> None:
    database.sql("INSERT INTO team (name, slug) VALUES (%s, 'sql')", (text,))
    done = database.clean(
        root={"table": "team", "match": {"patterns": [{"column": "name", "equals": text}]}},
        linked=[],
        tables=["member"],
    )
    assert done["rows"]["team"] == 1
    assert database.counts("team") == {"team": 10}


def test_all_that_match_gives_must_hold_and_exclude_spares(database: Any) -> None:
    root = {
        "table": "team",
        "match": {
            "patterns": [{"column": "name", "starts_with": "staging", "ignore_case": True}],
            "created": {"column": "created_at", "after": "2026-01-01"},
            "exclude": {"ids": [2], "patterns": [{"column": "slug", "like": "%-3"}]},
        },
    }
    assert database.clean(root=root, protected=True, guards={"expected_count": 1})["ids"] == ["1"]


def test_a_plan_that_was_looked_at_is_what_is_done(database: Any, refused: Any) -> None:
    seen = database.clean(check=True)["plan_digest"]
    database.sql("INSERT INTO member (team_id, who) VALUES (1, 'late')")
    assert "the data has changed" in refused(Refused, lambda: database.clean(guards={"expected_plan": seen}))
    seen = database.clean(check=True)["plan_digest"]
    assert database.clean(guards={"expected_plan": seen})["rows"]["member"] == 7


def test_a_foreign_key_without_an_index_is_told_and_refused_when_it_would_take_long(
    database: Any, refused: Any
) -> None:
    database.sql("DROP INDEX member_team_id_idx; INSERT INTO member (team_id, who) SELECT 5, n::text"
                 " FROM generate_series(1, 20000) n; ANALYZE member")  # fmt: skip
    said = refused(Refused, lambda: database.clean(guards={"max_unindexed": 1000}))
    assert 'CREATE INDEX CONCURRENTLY ON "public"."member" ("team_id")' in said
    notes = database.clean()["notes"]
    assert any('CREATE INDEX CONCURRENTLY ON "public"."member" ("team_id")' in note for note in notes)


def test_orphans_may_not_become_more(database: Any, refused: Any) -> None:
    orphans = {"name": "legacy teams without a mapping", "query": "SELECT count(*) FROM legacy_team l WHERE NOT EXISTS"
               " (SELECT FROM mapping m WHERE m.legacy_id = l.id)"}  # fmt: skip
    database.sql("UPDATE legacy_team SET name = 'Real' WHERE name = 'Staging Test 1'")
    said = refused(VerificationFailed, lambda: database.clean(invariants=[orphans]))
    assert "legacy teams without a mapping: 1, 0 before" in said
    assert database.counts("team") == {"team": 10}
    assert database.kept() == []
    done = database.clean(invariants=[orphans], baseline={"legacy teams without a mapping": 1})
    assert done["invariants"]["after"] == {"legacy teams without a mapping": 1}


# --- triggers and rights --------------------------------------------------------------------------------------------

TRIGGER = """
CREATE TABLE audit (what text);
CREATE FUNCTION spread() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {what}; RETURN OLD; END $$;
CREATE TRIGGER spread {when} DELETE ON team FOR EACH ROW EXECUTE FUNCTION spread();
"""


def test_what_a_trigger_removes_besides_is_noticed(database: Any, refused: Any) -> None:
    database.sql(TRIGGER.format(when="AFTER", what="DELETE FROM member WHERE team_id = 9"))
    before = database.content()
    said = refused(VerificationFailed, database.clean)
    assert "member: 8 rows deleted instead of 6" in said
    assert database.content() == before
    assert database.kept() == []


def test_an_audit_trigger_is_told_and_may_be_allowed(database: Any, refused: Any) -> None:
    database.sql(TRIGGER.format(when="BEFORE", what="INSERT INTO audit VALUES (OLD.name)"))
    assert "audit: 3 rows inserted instead of 0" in refused(VerificationFailed, database.clean)
    done = database.clean(side_effects=["audit"])
    assert "team has triggers: spread" in done["notes"]
    assert database.counts("audit") == {"audit": 3}


def test_a_trigger_that_prevents_the_removal_is_noticed(database: Any, refused: Any) -> None:
    database.sql(TRIGGER.format(when="BEFORE", what="IF OLD.id = 2 THEN RETURN NULL; END IF"))
    assert "team: 2 rows deleted instead of 3" in refused(VerificationFailed, lambda: database.clean(linked=[],
                                                          tables=["member", "mapping"]))  # fmt: skip
    assert database.counts("team") == {"team": 10}


def test_a_role_without_rights_is_told_which(database: Any, refused: Any) -> None:
    name = f"clean_{database.name}"
    grants = f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}; GRANT DELETE ON team TO {name}"
    database.sql(f"CREATE ROLE {name} LOGIN PASSWORD 'very-secret'; {grants}", admin=True)
    try:
        options = {"login_user": name, "login_password": "very-secret", "passfile": None}
        said = refused(Refused, lambda: database.clean(**options))
        assert f"GRANT UPDATE (id) ON team TO {name}" in said
        assert "very-secret" not in said
        assert f"GRANT DELETE, UPDATE (id) ON member TO {name}" in said
        for grant in said.partition("Run as the owner: ")[2].rstrip(".").split("; "):
            database.sql(grant)
        assert database.clean(**options)["rows"] == REMOVED
    finally:
        database.sql(f"DROP OWNED BY {name}; DROP ROLE {name}", admin=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"root": {"table": "teem", "match": {"ids": [1]}}}, "there is no table teem"),
        ({"root": {"table": "a.b.c", "match": {"ids": [1]}}}, "is no name of a table"),
        ({"root": {"table": "team", "match": {"ids": [[1, 2]]}}}, "is none of team, whose key is (id)"),
        ({"root": {"table": "team", "match": {"patterns": [{"column": "nam", "like": "x%"}]}}}, "no column 'nam'"),
        ({"root": {"table": "team", "match": {"patterns": [{"column": "name"}]}}}, "needs one of: like"),
        ({"tables": ["team"]}, "whose rows are chosen by match alone"),
        ({"tables": ["member", "legacy_member", "other"]}, "nothing leads to other"),
        ({"detach": ["member"]}, "member can't be detached"),
        ({"tables": ["seen"]}, "is no table but a view"),
        ({"timeout": 0}, "is no time to wait"),
        ({"guards": {"max_rows": -1}}, "max_rows is -1"),
    ],
)
def test_bad_input_is_one_sentence(database: Any, refused: Any, options: Any, words: str) -> None:
    database.sql("CREATE TABLE other (id int); CREATE VIEW seen AS SELECT * FROM team")
    assert words in refused(InvalidInput, lambda: database.clean(**options))
    assert database.counts("team") == {"team": 10}


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        ({"database": "production"}, "is not the database that the inventory means: its database is test_"),
        ({"system_identifier": "1"}, "its system_identifier is "),
        (
            {"sentinel": {"query": "SELECT 'staging'", "equals": "production"}},
            "its sentinel says staging, not production",
        ),
        ({"sentinel": {"query": "SELECT name FROM environment", "equals": "x"}}, "the sentinel can't be asked"),
        ({"cluster": "x"}, "identity knows no 'cluster'"),
    ],
)
def test_another_database_than_meant_is_left_alone(database: Any, refused: Any, identity: Any, words: str) -> None:
    assert words in refused(Refused, lambda: database.clean(identity=identity))
    assert database.counts("team") == {"team": 10}


def test_the_right_database_is_recognised(database: Any) -> None:
    told = database.clean(check=True)["identity"]
    sentinel = {"query": "SELECT count(*) FROM team WHERE name LIKE 'Latest%'", "equals": 7}
    known = {"system_identifier": told["system_identifier"], "database": database.name, "sentinel": sentinel}
    assert database.clean(identity=known)["changed"]
