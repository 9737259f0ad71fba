"""The lab's image, without a registry: Debian's Python out of the host's image, what the application needs, itself."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ..host import app as host_app
from ..host import image as host_image
from ..host import machine
from ..waiting import LabError
from .engine import Engine

#: Debian packages whose files make up the image
PACKAGES = (
    "base-files",
    "coreutils",
    "dash",
    "libacl1",
    "libattr1",
    "libbz2-1.0",
    "libc6",
    "libcrypt1",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "libgmp10",
    "liblzma5",
    "libpcre2-8-0",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libselinux1",
    "libssl3",
    "libuuid1",
    "python3-minimal",
    "python3.11-minimal",
    "zlib1g",
)
SITE = "usr/local/lib/python3.11/dist-packages"
APP = "opt/deltacrown/app"
LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
REPOSITORY = "dwr-lab"


def build(engine: Engine) -> str:
    """Return the image's name in the engine, imported first unless it is there; the tar is made once per machine.

    Raises LabError when a part of it can't be had.
    """
    app = host_app.LAB / "app"
    sources = sorted(path for path in app.rglob("*.py"))
    recipe = [host_image.digest(), str(host_app.dependencies().name), *PACKAGES]
    recipe += [f"{path.relative_to(app)} {path.read_text()}" for path in sources]
    digest = hashlib.sha256("\n".join(recipe).encode()).hexdigest()[:12]
    name = f"{REPOSITORY}:{digest}"
    if not engine.docker("images", "--quiet", name).strip():
        with _tar(digest).open("rb") as content:
            engine.docker("import", "--change", 'ENV PATH="/usr/bin:/bin" PYTHONDONTWRITEBYTECODE="1"', "-", name,
                          stdin=content.fileno())  # fmt: skip
    return name


def _tar(digest: str) -> Path:
    target = machine.cache_dir() / "images" / f"docker-{digest}.tar"
    with machine.locked(f"docker-image-{digest}"):
        if not target.exists():
            work = Path(tempfile.mkdtemp(prefix=".building-", dir=host_image.build().parent))
            try:
                _fill(work / "root")
                machine.call(["tar", "-C", str(work / "root"), "--numeric-owner", "-cf", str(work / "tar"), "."])
                for older in target.parent.glob("docker-*.tar"):
                    older.unlink()
                (work / "tar").rename(target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return target


def _fill(root: Path) -> None:
    source = host_image.build()
    for folder in ("tmp", "run", "proc", "sys", "dev", "var/log/deltacrown", APP, SITE, *LINKS.values()):
        (root / folder).mkdir(parents=True)
    for link, target in LINKS.items():
        (root / link).symlink_to(target)
    (root / "tmp").chmod(0o1777)
    listed = machine.call(["dpkg-query", f"--admindir={source}/var/lib/dpkg", "--listfiles", *PACKAGES])
    names = {line[1:] for line in listed.splitlines() if line.startswith("/")}
    copied = [name for name in sorted(names) if _is_file(source / name) and not name.startswith("usr/share/doc")]
    if not any(name.endswith("python3.11") for name in copied):
        raise LabError(f"the host's image has no Python 3.11: remove {source} and try again")
    _copy(source, copied, root)
    shutil.copytree(host_app.dependencies(), root / SITE, dirs_exist_ok=True, symlinks=True)
    shutil.copytree(host_app.LAB / "app", root / APP, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def _copy(source: Path, names: list[str], root: Path) -> None:
    """Copy files with their links by one tar, in which /lib and the like lie below /usr."""
    usr = tuple(f"{link}/" for link in LINKS)
    argv = ["tar", "-C", str(source), "-c", "--no-recursion", "--null", "-T", "-"]
    moved = sorted({f"usr/{name}" if name.startswith(usr) else name for name in names})
    with tempfile.TemporaryFile() as listing, tempfile.TemporaryFile() as archive:
        listing.write(b"\0".join(map(os.fsencode, moved)))
        listing.seek(0)
        packed = subprocess.run(argv, stdin=listing, stdout=archive, stderr=subprocess.PIPE, check=False)
        archive.seek(0)
        unpacked = subprocess.run(["tar", "-C", str(root), "-x"], stdin=archive, stderr=subprocess.PIPE, check=False)
    if packed.returncode or unpacked.returncode:
        raise LabError(f"the image's files can't be copied: {(packed.stderr + unpacked.stderr).decode()[-300:]}")
