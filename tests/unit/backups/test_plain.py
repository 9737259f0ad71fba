"""A plain dump that flows past in chunks of any size: what it says, what goes on to psql, whether it is whole."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.backups.formats import by_content, decompressed
from ansible_collections.dualwrite.rollback.plugins.module_utils.backups.plain import PlainDump
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import VerificationFailed

DUMP = rb"""--
-- PostgreSQL database dump
--

\restrict abcDEF123

-- Dumped from database version 17.4 (Debian)
-- Dumped by pg_dump version 18.1

-- Started on 2026-01-25 18:00:00 UTC

SET statement_timeout = 0;
SET transaction_timeout = 0;
CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;
CREATE TABLE public.teams (
    id integer NOT NULL
);
ALTER TABLE public.teams OWNER TO "Delta Crown";
COPY public.teams (id, name) FROM stdin;
1	CREATE TABLE in_a_row (
2	\\.
\restrict this_is_a_row
3	-- Dumped from database version 99
\.

ALTER TABLE ONLY public.teams
    ADD CONSTRAINT teams_pkey PRIMARY KEY (id);
--
-- PostgreSQL database dump complete
--

\unrestrict abcDEF123

"""


def cut(text: bytes, size: int) -> Iterator[bytes]:
    return (text[start : start + size] for start in range(0, len(text), size))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_facts_and_rows_are_the_same_whatever_the_chunks(size: int) -> None:
    dump = PlainDump("x")
    passed = b"".join(dump.passed(cut(DUMP, size)))
    wanted = DUMP.replace(b"\\restrict abcDEF123\n", b"").replace(b"\\unrestrict abcDEF123\n", b"")
    assert passed.rstrip(b"\n") == wanted.rstrip(b"\n")
    facts = dump.facts
    assert (facts.server, facts.client, facts.started) == ("17.4", "18.1", "2026-01-25 18:00:00 UTC")
    assert (facts.tables, facts.constraints) == (1, 1)
    assert (facts.extensions, facts.owners) == ({"pg_trgm"}, {"Delta Crown"})
    assert facts.settings == {"statement_timeout", "transaction_timeout"}


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7, 0.9])
def test_a_dump_that_was_cut_is_not_whole(share: float) -> None:
    with pytest.raises(VerificationFailed, match="lacks its last line"):
        list(PlainDump("x").passed([DUMP[: int(len(DUMP) * share)]]))


@pytest.mark.parametrize("end", [10, -1, -5, -9])
def test_gzip_that_was_cut_is_not_whole(end: int) -> None:
    with pytest.raises(VerificationFailed, match="ends in the middle"):
        list(decompressed([gzip.compress(DUMP)[:end]], "gzip", "x"))


def test_gzip_of_several_members_is_read_to_its_end() -> None:
    content = gzip.compress(DUMP[:300]) + gzip.compress(DUMP[300:])
    assert b"".join(decompressed(cut(content, 11), "gzip", "x")) == DUMP
    with pytest.raises(VerificationFailed):
        list(decompressed([gzip.compress(DUMP) + b"rubbish"], "gzip", "x"))


def test_a_flipped_bit_in_gzip_is_damage() -> None:
    content = bytearray(gzip.compress(DUMP))
    content[len(content) // 2] ^= 4
    with pytest.raises(VerificationFailed):
        list(decompressed([bytes(content)], "gzip", "x"))


def test_what_is_no_backup_is_said() -> None:
    with pytest.raises(VerificationFailed, match="is empty"):
        by_content(b"", "x")
    with pytest.raises(VerificationFailed, match="no backup made by pg_dump"):
        by_content(b"\x7fELF\0\0\0", "x")
