"""A backup of another encoding is turned into that of the database, or refused where the server can't."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import Refused


@pytest.fixture
def latin(shop: Any) -> Iterator[str]:
    """A database in LATIN1 beside the shop's, which is in UTF8."""
    name = f"{shop.name}_latin"
    made = f"CREATE DATABASE {name} OWNER {shop.user} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
    shop.admin("postgres", made)
    shop.sql("UPDATE teams SET name = 'Les Éléphants' WHERE id = 7")
    shop.sql("DROP EXTENSION pg_trgm")
    return name


@pytest.mark.parametrize(("name", "form"), [("shop.dump", "-Fc"), ("shop.sql", "-Fp")])
def test_what_can_be_turned_is_and_what_can_not_is_refused(shop: Any, latin: str, name: str, form: str) -> None:
    shop.dump(name, form, "--encoding=EUC_JP", "--exclude-table=teams", "--exclude-table=members")
    before = shop.databases()
    with pytest.raises(Refused, match="written in EUC_JP, which the server can't turn into the LATIN1") as caught:
        shop.restore(login_db=latin)
    assert "pg_dump --encoding" in str(caught.value)
    assert shop.databases() == before
    shop.dump(name, form)
    assert shop.restore(login_db=latin)["changed"]
    assert shop.sql("SELECT name FROM teams WHERE id = 7", latin) == [("Les Éléphants",)]
    assert shop.sql("SELECT octet_length(name) FROM teams WHERE id = 7", latin) == [(13,)]
