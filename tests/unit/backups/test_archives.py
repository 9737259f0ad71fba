"""An archive is read to its last byte by several processes, whatever lies where in it."""

from __future__ import annotations

import os
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.backups.archives import read_through, shares
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.deadline import Deadline
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import VerificationFailed

LISTED = """;
; Archive created at 2026-01-25 17:00:00 UTC
;
3; 3079 16386 EXTENSION - pg_trgm
219; 1259 16388 TABLE public teams deltacrown
3450; 0 16388 TABLE DATA public teams deltacrown
3451; 0 16399 TABLE DATA public members deltacrown
3452; 0 16401 TABLE DATA Public A B deltacrown
3453; 0 0 BLOB METADATA - 4711 deltacrown
3454; 0 0 BLOBS - 4711 deltacrown
3455; 0 0 SEQUENCE SET public teams_id_seq deltacrown
3300; 2606 16405 CONSTRAINT public teams teams_pkey deltacrown
"""


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 64])
def test_each_entry_is_in_one_list_and_data_is_spread(most: int) -> None:
    lists = [part.splitlines() for part in shares(LISTED, most)]
    assert sorted(line for part in lists for line in part) == sorted(LISTED.splitlines()[3:])
    data = [sum("DATA public" in line or "DATA Public" in line or "BLOBS" in line for line in part) for part in lists]
    assert (len(lists), sum(data), max(data) - min(data) <= 1) == (min(most, 4), 4, True)


def test_an_archive_without_data_is_one_list() -> None:
    assert shares(";\n;\n219; 1259 16388 TABLE public teams deltacrown\n", 8) == [
        "219; 1259 16388 TABLE public teams deltacrown\n"
    ]


@pytest.fixture
def read(shop: Any) -> Callable[..., None]:
    """Read a backup with so many processes."""

    def call(path: Path, processes: int) -> None:
        environ = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        read_through(str(path), f"{shop.bin_dir}/pg_restore", Deadline(60), environ, path.name, processes)

    return call


def streams(content: bytes) -> list[int]:
    """Return where the compressed data of each entry of an archive begins."""
    found, at = [], content.find(b"\x78\x01")
    while at >= 0:
        one = zlib.decompressobj()
        try:
            one.decompress(content[at : at + 4096])
            found.append(at)
        except zlib.error:
            pass
        at = content.find(b"\x78\x01", at + 2)
    return found


@pytest.mark.parametrize("processes", [1, 2, 8])
def test_a_flipped_byte_is_found_in_whichever_entry_it_is(shop: Any, read: Callable[..., None], processes: int) -> None:
    path = shop.dump("shop.dump", "-Fc", "-Z1")
    read(path, processes)
    whole = path.read_bytes()
    begins = streams(whole)
    assert len(begins) >= 3, "two tables and the large objects"
    for at in begins:
        path.write_bytes(whole[: at + 2] + bytes([whole[at + 2] | 0b110]) + whole[at + 3 :])
        with pytest.raises(VerificationFailed, match="the archive can't be read"):
            read(path, processes)


@pytest.mark.parametrize("processes", [1, 2])
def test_one_that_was_written_into_a_pipe_or_a_folder_is_read_too(
    shop: Any, read: Callable[..., None], processes: int
) -> None:
    """In the first the list does not tell where an entry's data lies, in the second each lies in a file."""
    piped, folder = shop.backups / "piped.dump", shop.backups / "folder"
    argv = [f"{shop.bin_dir}/pg_dump", "-h", "127.0.0.1", "-p", str(shop.server.port), "-U", shop.user, "-Fc", "-Z1"]
    environ = {**os.environ, "PGPASSWORD": shop.login["login_password"]}
    piped.write_bytes(subprocess.run([*argv, shop.name], env=environ, check=True, stdout=subprocess.PIPE).stdout)
    shop.dump("folder", "-Fd", "-Z1")
    for path in (piped, folder):
        read(path, processes)
    piped.write_bytes(piped.read_bytes()[:-40])
    largest = max(folder.glob("*.dat.gz"), key=lambda one: one.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-40])
    for path in (piped, folder):
        with pytest.raises(VerificationFailed, match="the archive can't be read"):
            read(path, processes)
