"""A plain dump that flows past in chunks of any size: what it says, what goes on to psql, whether it is whole."""

from __future__ import annotations

import gzip
import hashlib
import io
import tracemalloc
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


FUNCTION = rb"""CREATE FUNCTION public.make() RETURNS void
    LANGUAGE plpgsql
    AS $_X$
CREATE TABLE in_a_body (id int);
COPY in_a_body FROM stdin;
    ADD CONSTRAINT in_a_body PRIMARY KEY (id);
it''s $$ and $_$;
$_X$;
ALTER FUNCTION public.make() OWNER TO "it's $$";
-- Name: FUNCTION it's(); Type: COMMENT
COMMENT ON FUNCTION public.make() IS 'As in:
CREATE TABLE in_a_comment (id int);
COPY in_a_comment FROM stdin;';
COMMENT ON TABLE public.teams IS E'It''s \\ \' "
CREATE TABLE in_an_escaped_comment (id int);
';
CREATE TABLE public."it's" (id integer DEFAULT '1'::integer);
COPY public."it's" (id) FROM stdin;
it's $$ "
\.
"""


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_what_reads_like_a_statement_in_a_body_or_a_literal_is_none(size: int) -> None:
    text = DUMP.replace(b"COPY public.teams", FUNCTION + b"COPY public.teams")
    dump = PlainDump("x")
    passed = b"".join(dump.passed(cut(text, size)))
    assert FUNCTION in passed
    assert b"this_is_a_row" in passed
    assert (dump.facts.tables, dump.facts.constraints) == (2, 1)
    assert dump.facts.owners == {"Delta Crown", "it's $$"}


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


def zstd(*parts: bytes) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    return b"".join(zstandard.ZstdCompressor().compress(part) for part in parts)


def test_zstd_of_several_frames_is_read_to_its_end_and_whole_frames_only() -> None:
    content = zstd(DUMP[:300], b"", DUMP[300:])
    for size in (11, 256, 10_000):
        assert b"".join(decompressed(cut(content, size), "zstd", "x")) == DUMP
    for end in (-1, -5, 10):
        with pytest.raises(VerificationFailed, match="ends in the middle"):
            list(decompressed([content[:end]], "zstd", "x"))
    with pytest.raises(VerificationFailed, match="the zstd data is damaged"):
        list(decompressed([content + b"rubbish and more of it"], "zstd", "x"))


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("width", [1000, 1 << 27])
def test_rows_that_compress_to_nothing_take_no_memory(compression: str, width: int) -> None:
    text = DUMP.replace(b"restrict abcDEF123", b"echo")
    head, tail = text.split(b"1\tCREATE", maxsplit=1)[0], b"\\.\n" + text.split(b"\n\\.\n")[1]
    content = head + (b"1\t" + b"0" * width + b"\n") * ((1 << 27) // width) + tail
    wanted = hashlib.sha256(content + b"\n").hexdigest()
    packed = io.BytesIO(zstd(content) if compression == "zstd" else gzip.compress(content, 6))
    del content
    found = hashlib.sha256()
    tracemalloc.start()
    try:
        for piece in PlainDump("x").passed(decompressed(iter(lambda: packed.read(1 << 20), b""), compression, "x")):
            found.update(piece)
        dummy, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.hexdigest() == wanted
    assert peak < 48 << 20


@pytest.mark.parametrize("content", [bytes(1 << 24), DUMP.replace(b"this_is", bytes(7)), b"PGDMP" + bytes(100) + DUMP])
def test_what_holds_zeros_is_no_plain_dump_and_is_not_collected(content: bytes) -> None:
    """As a block that a disk has lost, or an archive in gzip."""
    pieces = decompressed([gzip.compress(content)], "gzip", "x")
    tracemalloc.start()
    try:
        with pytest.raises(VerificationFailed, match="holds a zero byte, which pg_dump does not write"):
            list(PlainDump("x").passed(pieces))
        dummy, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 << 20


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
