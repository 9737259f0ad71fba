"""Which backup is taken, by its name and time, and what can be named."""

from __future__ import annotations

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.backups.choose import backups, choose
from ansible_collections.dualwrite.rollback.plugins.module_utils.backups.names import Pattern, safe
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput, NotFound
from ansible_collections.dualwrite.rollback.plugins.module_utils.stores.base import Stat

LATE = "2026-02-01T00:00:00.000Z"
LISTED = [
    Stat("deltacrown_staging_20260125_1800.sql.gz", 100, LATE),
    Stat("deltacrown_staging_20260125_1800.sql.gz.sha256", 90, LATE),
    Stat("deltacrown_staging_20260125_0600.dump", 100, LATE),
    Stat("deltacrown_staging_20260124_1800.sql.zst", 100, LATE),
    Stat("old/folder_20260120_0000/toc.dat", 50, LATE),
    Stat("old/folder_20260120_0000/1.dat.gz", 60, LATE),
    Stat("notes.txt", 5, LATE),
    Stat("deltacrown_staging_20261332_9999.sql", 5, LATE),
]
PATTERN = Pattern("deltacrown_staging_%Y%m%d_%H%M*")


def test_backups_are_found_newest_first_with_the_time_of_their_name() -> None:
    found = backups(LISTED, PATTERN)
    assert [(one.name, str(one.format), one.time, one.time_from) for one in found] == [
        ("deltacrown_staging_20261332_9999.sql", "plain", LATE, "modified"),
        ("deltacrown_staging_20260125_1800.sql.gz", "plain, gzip", "2026-01-25T18:00:00.000Z", "name"),
        ("deltacrown_staging_20260125_0600.dump", "custom", "2026-01-25T06:00:00.000Z", "name"),
        ("deltacrown_staging_20260124_1800.sql.zst", "plain, zstd", "2026-01-24T18:00:00.000Z", "name"),
    ]
    assert found[1].sidecar == "deltacrown_staging_20260125_1800.sql.gz.sha256"


def test_a_folder_in_the_directory_format_is_one_backup() -> None:
    (one,) = backups(LISTED, Pattern("old/folder_%Y%m%d_%H%M"))
    assert (one.name, str(one.format), one.size) == ("old/folder_20260120_0000", "directory", 110)


def test_the_newest_before_a_time_is_taken_and_why_not_the_others_is_said() -> None:
    (taken, older), others = choose(backups(LISTED, PATTERN), "", "2026-01-25T18:00:00Z", "store")
    assert taken.name == "deltacrown_staging_20260125_0600.dump"
    assert older.name == "deltacrown_staging_20260124_1800.sql.zst"
    reasons = {one.name: one.not_taken for one in others}
    assert reasons["deltacrown_staging_20260125_1800.sql.gz"] == "it was not taken before 2026-01-25T18:00:00.000Z"
    assert reasons[older.name] == f"{taken.name} is newer"


def test_a_time_without_an_offset_is_utc_and_names_have_a_zone_of_their_own() -> None:
    berlin = Pattern("deltacrown_staging_%Y%m%d_%H%M*", "Europe/Berlin")
    assert berlin.time("deltacrown_staging_20260125_1800.sql") == "2026-01-25T17:00:00.000Z"
    assert berlin.time("deltacrown_staging_20260725_1800.sql") == "2026-07-25T16:00:00.000Z"
    (taken, *dummy), dummy_others = choose(backups(LISTED, berlin), "", "2026-01-25T17:30:00", "store")
    assert taken.name == "deltacrown_staging_20260125_1800.sql.gz"


def test_a_named_backup_must_be_old_enough_too() -> None:
    known = backups(LISTED, PATTERN)
    name = "deltacrown_staging_20260125_1800.sql.gz"
    (taken,), dummy = choose(known, name, "2026-01-25T18:00:01Z", "store")
    assert taken.name == name
    with pytest.raises(InvalidInput, match="was taken at 2026-01-25T18:00:00.000Z, not before"):
        choose(known, name, "2026-01-25T12:00:00Z", "store")
    with pytest.raises(NotFound, match="there is no backup 'other.dump'"):
        choose(known, "other.dump", "", "store")


@pytest.mark.parametrize("before", ["2020-01-01T00:00:00Z", ""])
def test_no_backup_is_not_found(before: str) -> None:
    with pytest.raises(NotFound):
        choose(backups(LISTED, PATTERN) if before else [], "", before, "store")


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../x.dump", "a/../../b.dump", "-f", "a\nb.dump", "a\0b", "~root/x"]
)
def test_a_name_that_could_lead_out_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="is no name of a backup"):
        safe(name)


@pytest.mark.parametrize(
    ("text", "zone", "words"),
    [("x_%Q", "UTC", "'%Q' is not known"), ("x_%H%M", "UTC", "needs %Y"), ("x", "Mars/Base", "is no time zone")],
)
def test_a_wrong_pattern_is_said(text: str, zone: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        Pattern(text, zone)


def test_a_wrong_time_is_said() -> None:
    with pytest.raises(InvalidInput, match="'yesterday' is no time"):
        choose(backups(LISTED, PATTERN), "", "yesterday", "store")


def test_letters_that_mean_something_elsewhere_mean_themselves() -> None:
    assert Pattern("a.b+(c)_%Y%m%d%%*").matches("a.b+(c)_20260101%x")
    assert not Pattern("a.b").matches("axb")
