"""The images that pods of the lab run: pause, a Python with a shell, and the reference application.

Their files come from the image of the lab's hosts (tests/lab/host/image.py), a Debian with that Python.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from ..host import app, image
from . import archives, machine

PAUSE = "dualwrite/pause:lab"
PYTHON = "dualwrite/python:lab"
APP = "dualwrite/app:lab"
TOP = Path(__file__).resolve().parents[3]
TINY = TOP / "tests/unit/platforms/tiny.py"
FROM_DEBIAN = ("python3", "coreutils", "dash", "grep", "sed", "procps")
WITHOUT = {"debconf", "dpkg", "media-types", "tzdata", "init-system-helpers", "python3-distutils", "python3-lib2to3"}
MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
EMPTY = ("app", "dev", "etc", "opt", "proc", "root", "run", "sys", "tmp", "usr", "var", "var/tmp")


def names() -> tuple[str, ...]:
    """Return the names of the images, as a pod's `image` has them."""
    return PAUSE, PYTHON, APP


def build() -> list[Path]:
    """Return the archives of all images for `ctr images import`; those that are not in the cache are made first.

    Raises LabError when the host's image, the application's dependencies or gcc can't be had.
    """
    folder = machine.folder() / "images"
    targets = [folder / f"{name.replace('/', '-').replace(':', '-')}-{_digest()}.tar" for name in names()]
    if not all(target.exists() for target in targets):
        lower, dependencies = image.build(), app.dependencies()
        with machine.locked(f"{machine.FOLDER_NAME}-images"):
            folder.mkdir(parents=True, exist_ok=True)
            _build(targets, lower, dependencies)
            for old in set(folder.glob("*.tar")) - set(targets):
                old.unlink()
    return targets


def _build(targets: list[Path], lower: Path, dependencies: Path) -> None:
    binary = targets[0].with_name("pause")
    source = Path(__file__).with_name("pause.c")
    machine.call(["gcc", "-static", "-Os", "-s", "-o", str(binary), str(source)])
    archives.write(targets[0], PAUSE, [archives.layer([(binary, "pause")])], ["/pause"])
    binary.unlink()
    debian = archives.layer(_files(lower), MERGED, EMPTY)
    tiny = archives.layer([(TINY, "opt/tiny.py")])
    archives.write(targets[1], PYTHON, [debian, tiny], ["python3", "/opt/tiny.py"])
    opt = app.OPT.lstrip("/")
    application = archives.layer(
        [(app.LAB / "app", f"{opt}/app/."), (dependencies, f"{opt}/site-packages/.")], {}, [opt]
    )
    variables = [f"PYTHONPATH={app.OPT}/site-packages:{app.OPT}/app", "PYTHONUNBUFFERED=1", "WEB_BIND=0.0.0.0:8000"]
    command = [
        "python3",
        "-m",
        "gunicorn",
        "--config",
        f"{app.OPT}/app/gunicorn.conf.py",
        "deltacrown.wsgi:application",
    ]
    archives.write(targets[2], APP, [debian, tiny, application], command, variables)


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files of the packages that the Python image has, and (file in the host's image, name)."""
    seen = set()
    for package in sorted(_closure((root / "var/lib/dpkg/status").read_text())):
        for path in _listed(root, package):
            name = path.lstrip("/")
            first, slash, rest = name.partition("/")
            if first in MERGED:
                name = f"{MERGED[first]}{slash}{rest}"
            if len(Path(name).parts) < 2 or name in seen or not (root / name).exists():
                continue
            if not name.startswith(("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info")):
                seen.add(name)
                yield root / name, name
    for name in ("etc/passwd", "etc/group", "etc/ld.so.cache"):
        yield root / name, name


def _listed(root: Path, package: str) -> list[str]:
    """Return the paths of a package's files, by dpkg's list of the host's image."""
    info = root / "var/lib/dpkg/info"
    lists = [info / f"{package}.list", *info.glob(f"{package}:*.list")]
    return next(one for one in lists if one.exists()).read_text().split("\n")


def _closure(status: str) -> set[str]:
    """Return the packages wanted and all that they depend on, by dpkg's list of the host's image."""
    needs = {}
    for entry in status.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Depends|Pre-Depends): (.*)$", entry, re.MULTILINE))
        every = ",".join(fields.get(key, "") for key in ("Depends", "Pre-Depends")).split(",")
        needs[fields.get("Package")] = {re.split(r"[ :(|]", one.strip())[0] for one in every} - {""}
    found, left = set(), set(FROM_DEBIAN)
    while left:
        found |= left
        left = {other for name in left for other in needs[name] if other in needs} - found - WITHOUT
    return found


def _digest() -> str:
    """Return what changes when any of the images would."""
    content = hashlib.sha256(image.digest().encode())
    here = Path(__file__)
    sources = [here, here.with_name("pause.c"), here.with_name("archives.py"), TINY, app.REQUIREMENTS / "dev.lock"]
    sources += sorted(path for path in (app.LAB / "app").rglob("*.py"))
    for path in sources:
        content.update(path.read_bytes())
    return content.hexdigest()[:16]
