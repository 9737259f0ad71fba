"""Restores into the server that Debian has, by the programs that Debian has: both are older than the wheel's."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import RollbackError


@pytest.mark.parametrize(("name", "arguments"), [("shop.dump", ["-Fc"]), ("shop.sql", [])])
def test_a_backup_is_restored_taken_back_and_dropped(debian_shop: Any, name: str, arguments: list[str]) -> None:
    shop = debian_shop
    version = shop.sql("SHOW server_version_num")[0][0]
    assert int(version) // 10000 == int(shop.server.programs.parts[-2])
    shop.dump(name, *arguments)
    shop.sql("DELETE FROM members; DELETE FROM teams WHERE id > 5")
    assert shop.restore(True)["changed"]
    assert shop.teams() == 5
    done = shop.restore()
    assert done["tables"]["teams"]["backup"] == 200
    assert shop.teams() == 200
    assert bytes(shop.sql("SELECT lo_get(4711)")[0][0]) == b"a large object"
    assert shop.restore(state="undone")["changed"]
    assert shop.teams() == 5
    again = shop.restore()
    assert shop.restore(state="dropped", replaced=again["replaced"])["changed"]
    assert shop.teams() == 200
    assert again["replaced"] not in shop.databases()


SERVER = (
    r"the backup is of PostgreSQL \d+\.\d+, this server is \d+\. Restore it into a server of that version or a later"
)
PROGRAMS = r"made by pg_dump \d+\.\d+, these programs are \d+\.\d+\. Install the client programs of PostgreSQL \d+, or"
KINDS = {"shop.dump": ["-Fc"], "shop.sql": [], "shop.sql.gz": ["-Z1"]}


def need_an_older_server(debian_shop: Any, shop: Any) -> None:
    if int(debian_shop.server.programs.parts[-2]) >= int(shop.sql("SHOW server_version")[0][0].partition(".")[0]):
        pytest.skip("Debian's server is not older than the wheel's")


def refused(shop: Any, words: str, **more: Any) -> None:
    """Assert one sentence, with and without check mode, and that nothing has changed."""
    for check in (True, False):
        with pytest.raises(RollbackError, match=words) as caught:
            shop.restore(check, **more)
        assert "\n" not in str(caught.value)
        assert "The database in use was not touched" not in str(caught.value)  # it is told before anything is begun
    assert shop.databases() == [shop.name]
    assert shop.teams() == 200


@pytest.mark.parametrize(
    ("name", "words"),
    [("shop.dump", "made by a newer pg_dump than this pg_restore"), ("shop.sql", PROGRAMS), ("shop.sql.gz", PROGRAMS)],
)
def test_a_backup_of_a_newer_server_is_refused(debian_shop: Any, shop: Any, name: str, words: str) -> None:
    need_an_older_server(debian_shop, shop)
    shop.dump(name, *KINDS[name])
    refused(debian_shop, words)
    refused(debian_shop, SERVER, bin_dir=shop.bin_dir)


def test_an_archive_of_this_server_is_not_loaded_by_programs_that_it_does_not_understand(
    debian_shop: Any, shop: Any
) -> None:
    """A pg_restore of version 17 or later sets what a server before that does not know, whatever the archive holds."""
    need_an_older_server(debian_shop, shop)
    debian_shop.dump("shop.dump", "-Fc")
    for mode in ("side", "in_place"):
        words = r"pg_restore \d+\.\d+ sets 'transaction_timeout', which PostgreSQL \d+ does not know\. Name "
        refused(debian_shop, words, bin_dir=shop.bin_dir, mode=mode)
    assert debian_shop.restore(bin_dir=None)[
        "changed"
    ]  # those of the server's version are found, though not on the path
