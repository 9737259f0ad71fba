"""The rights that docs/sql_grants.md lists are enough to look and to clean up, and without them it is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import Refused, RollbackError
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.sql_baseline import sql_baseline

PAGE = Path(__file__).resolve().parents[3] / "docs" / "sql_grants.md"
NAMES = {"new_team": "team", "new_member": "member", "team_map": "mapping", "old_team": "legacy_team"}
NAMES |= {"old_member": "legacy_member"}
ROLES = ("rollback_look", "rollback_clean")


def statements(database: str, *beginnings: str) -> str:
    """Return the statements of the page that create these roles or grant them something, for this schema."""
    text = "".join(re.findall(r"^```sql\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
    for name, here in {**NAMES, r"DATABASE shop": f"DATABASE {database}"}.items():
        text, found = re.subn(rf"\b{name}\b", here, text)
        assert found
    chosen = [line for line in text.splitlines() if line.startswith(beginnings)]
    assert chosen
    return "\n".join(chosen)


def of(role: str, database: str, *without: str) -> str:
    """Return what the page says of a role, without the lines that begin so."""
    said = statements(database, "CREATE", "GRANT", "ALTER").splitlines()
    lines = [line for line in said if re.search(rf"\b{role}\b", line)]
    return "\n".join(line for line in lines if not line.startswith(without or ("-",)))


@pytest.fixture
def roles(database: Any) -> Iterator[Callable[..., dict[str, Any]]]:
    """Make one of the page's roles; return the options that connect as it."""
    database.sql(f"REVOKE ALL ON DATABASE {database.name} FROM PUBLIC", admin=True)

    def make(role: str, *without: str) -> dict[str, Any]:
        database.sql(of(role, database.name, *without), admin=True)
        database.sql(f"ALTER ROLE {role} PASSWORD 'secret'", admin=True)
        passfile = database.folder / role
        passfile.write_text(f"*:*:*:{role}:secret\n")
        passfile.chmod(0o600)
        return {"login_user": role, "passfile": str(passfile)}

    yield make
    for role in ROLES:
        if database.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]):
            database.sql(f"DROP OWNED BY {role}; DROP ROLE {role}", admin=True)


def test_who_looks_can_count_and_remove_nothing(database: Any, roles: Any, refused: Callable[..., str]) -> None:
    login = roles("rollback_look")
    given = {**database.options, **login, "baselines": str(database.folder), "name": "before", "tables": ["team"]}
    counted = sql_baseline({"state": "taken", **given}, check=False)
    assert counted["tables"] == {"team": 10}
    before = database.content()
    assert "lacks rights" in refused(Refused, lambda: database.clean(check=True, **login))
    assert database.content() == before


def test_who_cleans_can_plan_remove_and_put_back(database: Any, roles: Any) -> None:
    login = roles("rollback_clean")
    before = database.content()
    assert database.clean(check=True, **login)["rows"]["team"] == 3
    assert database.content() == before
    done = database.clean(**login)
    assert database.counts("team") == {"team": 7}
    database.undo(done["archive"], **login)
    assert database.content() == before


def test_without_a_right_it_is_named_and_nothing_is_touched(
    database: Any, roles: Any, refused: Callable[..., str]
) -> None:
    login = roles("rollback_clean", "GRANT SELECT, DELETE, UPDATE (team_id)")
    before = database.content()
    said = refused(Refused, lambda: database.clean(**login))
    assert "GRANT DELETE, SELECT, UPDATE (team_id) ON legacy_member TO rollback_clean" in said
    assert database.content() == before


def test_without_insert_there_is_a_cleanup_but_no_way_back(
    database: Any, roles: Any, refused: Callable[..., str]
) -> None:
    login = roles("rollback_clean", "GRANT INSERT")
    done = database.clean(**login)
    left = database.content()
    assert "permission denied" in refused(RollbackError, lambda: database.undo(done["archive"], **login))
    assert database.content() == left
