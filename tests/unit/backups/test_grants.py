"""The rights that docs/sql_grants.md lists are enough to restore beside the database in use, and each is needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import Refused

PAGE = Path(__file__).resolve().parents[3] / "docs" / "sql_grants.md"
ROLE = "rollback_restore"


@pytest.fixture
def role(shop: Any) -> Iterator[Callable[..., dict[str, Any]]]:
    """Make the page's role, all but one part of it; return the options that connect as it."""

    def make(without: str = "") -> dict[str, Any]:
        text = "".join(re.findall(r"^```sql\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
        lines = [line for line in text.splitlines() if ROLE in line]
        assert len(lines) == 3
        said = "\n".join(lines).replace("shop_owner", shop.user)
        if without:
            assert without in said
            said = "\n".join(line.replace(without, "") for line in said.splitlines() if not line.startswith(without))
        shop.admin("postgres", f"{said}; ALTER ROLE {ROLE} PASSWORD 'secret'")
        return {"login_user": ROLE, "login_password": "secret"}

    yield make
    for name in shop.databases():  # extensions belong to who has made them
        shop.admin(name, f"REASSIGN OWNED BY {ROLE} TO {shop.user}; DROP OWNED BY {ROLE}")
    shop.admin("postgres", f"DROP ROLE {ROLE}")


def test_who_restores_can_do_it_and_undo_it(shop: Any, role: Callable[..., dict[str, Any]]) -> None:
    shop.dump("shop.dump", "-Fc")
    login = role()
    shop.sql("DELETE FROM members")
    held = shop.server.connect(database=shop.name)  # a session of the application, which only the third right ends
    try:
        assert shop.restore(**login)["changed"]
    finally:
        held.close()
    assert shop.sql("SELECT count(*) FROM members") == [(200,)]
    assert shop.admin("postgres", f"SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = '{shop.name}'") == [
        (shop.user,)
    ]


@pytest.mark.parametrize(
    ("without", "said"), [(" CREATEDB", "may not create databases"), ("GRANT shop_owner", "is no member")]
)
def test_without_a_right_nothing_is_begun(
    shop: Any, role: Callable[..., dict[str, Any]], without: str, said: str
) -> None:
    shop.dump("shop.dump", "-Fc")
    login = role(without.replace("shop_owner", shop.user))
    with pytest.raises(Refused, match=said):
        shop.restore(**login)
    assert shop.databases() == [shop.name]
