"""A file is replaced whole or not at all, and stays what it was."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import (
    InvalidInput,
    NotFound,
    RollbackError,
)
from ansible_collections.dualwrite.rollback.plugins.module_utils.core.files import read_bytes, write_atomically


def test_mode_owner_and_attributes_stay(tmp_path):
    path = tmp_path / "app.env"
    path.write_bytes(b"A=1\n")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 65534, 65533)
    # a user attribute stands in for security.selinux, which this kernel may not have; both travel the same way
    os.setxattr(path, "user.context", b"system_u:object_r:etc_t:s0")
    before = path.stat()

    write_atomically(str(path), b"A=2\n")

    after = path.stat()
    assert path.read_bytes() == b"A=2\n"
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert os.getxattr(path, "user.context") == b"system_u:object_r:etc_t:s0"


def test_a_symlink_is_kept_and_its_target_replaced(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    target = folder / "real.env"
    target.write_bytes(b"old")
    link = tmp_path / "app.env"
    link.symlink_to("shared/real.env")

    write_atomically(str(link), b"new")

    assert link.is_symlink()
    assert os.readlink(link) == "shared/real.env"
    assert target.read_bytes() == b"new"
    assert [entry.name for entry in folder.iterdir()] == ["real.env"]


def test_a_new_file_gets_the_mode_that_was_asked_for(tmp_path):
    write_atomically(str(tmp_path / "new"), b"x", mode=0o600)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(RollbackError) as caught:
        write_atomically(str(tmp_path / "gone" / "app.env"), b"x")
    assert str(caught.value).startswith(
        f"{tmp_path}/gone/app.env: the file can't be written: No such file or directory"
    )
    assert "The old content is untouched" in str(caught.value)


def test_a_killed_writer_leaves_the_old_or_the_new_bytes(tmp_path):
    path = tmp_path / "app.env"
    old, new = b"A=1\n" * 50_000, b"A=2\n" * 50_000
    path.write_bytes(old)
    code = (
        "import sys\n"
        "from ansible_collections.dualwrite.rollback.plugins.module_utils.core.files import write_atomically\n"
        f"new = {new[:4]!r} * 50_000\n"
        "while True:\n"
        "    write_atomically(sys.argv[1], new)\n"
        "    print('written', flush=True)\n"
    )
    writers = 0
    while writers < 5:
        writers += 1
        argv = [sys.executable, "-c", code, str(path)]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        writer = subprocess.Popen(argv, stdout=subprocess.PIPE, env=environ)
        assert writer.stdout is not None
        for line in [writer.stdout.readline() for number in range(writers)]:
            assert line == b"written\n"
        writer.kill()
        writer.wait()
        writer.stdout.close()
        assert path.read_bytes() in (old, new)
    for left in tmp_path.glob(".app.env.*"):
        os.utime(left, (0, 0))
    write_atomically(str(path), old)
    assert [entry.name for entry in tmp_path.iterdir()] == ["app.env"]


def test_reading_what_can_not_be_read_says_which_file(tmp_path):
    with pytest.raises(NotFound, match="gone: the file does not exist"):
        read_bytes(str(tmp_path / "gone"))
    with pytest.raises(InvalidInput, match="the file can't be read: Is a directory"):
        read_bytes(str(tmp_path))
