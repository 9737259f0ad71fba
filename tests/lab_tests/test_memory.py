"""What the modules take of a host's memory does not grow with the data: both go through as it comes."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.bench.__main__ import free_port
from tests.bench.cleanup import Cleanups
from tests.bench.restore import LIVE, Restores

#: MB of a process, Python and all libraries included, those for S3 too in a restore
CLEANUP, RESTORE = 75, 150
#: more than 100 MB as SQL, which gzip makes no more than half as long
NOISE = """
CREATE TABLE teams (id int PRIMARY KEY, note text);
ALTER TABLE teams ALTER note SET STORAGE EXTERNAL;
INSERT INTO teams
SELECT i, (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 1000) j) FROM generate_series(1, 3500) i;
"""


@pytest.fixture
def folder():
    """A folder that the server, which runs unprivileged, can pass through."""
    made = Path(tempfile.mkdtemp(prefix="dualwrite-memory-", dir="/var/tmp"))
    os.chmod(made, 0o755)
    yield made
    shutil.rmtree(made)


def test_a_cleanup_of_many_rows_takes_little_memory(folder):
    cleanups = Cleanups(100_000, folder, free_port())
    try:
        memory = cleanups.memory()
    finally:
        cleanups.close()
    assert 10 < memory < CLEANUP


def test_a_restore_of_much_sql_takes_little_memory(folder):
    restores = Restores(0, folder)
    backup = restores.backups / "bench.sql.gz"
    try:
        restores.start(NOISE)
        restores.run("pg_dump", "-Z1", "-f", str(backup), LIVE)
        assert backup.stat().st_size > 50_000_000
        restores.upload()
        memory = restores.memory(backup.name)
    finally:
        restores.down()
    assert 10 < memory < RESTORE
