"""Container images as files, written here: there is no registry in the lab."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def layer(
    sources: Iterable[tuple[Path, str]], links: Mapping[str, str] | None = None, empty: Sequence[str] = ()
) -> bytes:
    """Return a layer: sources are (file or folder here, name in the image), links {name: target}, empty folders.

    A folder in sources is taken with all that is in it when it ends with /. in the name, else alone.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in empty:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(entry)
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
        for source, name in sources:
            tar.add(source, arcname=name.removesuffix("/."), recursive=name.endswith("/."), filter=_neutral)
    return buffer.getvalue()


def write(
    target: Path, name: str, layers: Sequence[bytes], command: Sequence[str], environment: Sequence[str] = ()
) -> None:
    """Write an image of these layers, the lowest first, as `docker save` would."""
    digests = [hashlib.sha256(content).hexdigest() for content in layers]
    config = {
        "architecture": MACHINES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Env": [f"PATH={PATH}", *environment], "Cmd": list(command), "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }
    described = json.dumps(config).encode()
    files = {f"{digest}.tar": content for digest, content in zip(digests, layers)}
    config_name = f"{hashlib.sha256(described).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": list(files)}]
    files |= {config_name: described, "manifest.json": json.dumps(manifest).encode()}
    building = target.with_name(f".building-{target.name}")
    with tarfile.open(building, "w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    building.rename(target)


def _neutral(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Give an entry to root and no date, so that the same files give the same layer; leave out what isn't files."""
    if entry.name.endswith(("/__pycache__", ".pyc")) and "site-packages" not in entry.name:
        return None
    if not (entry.isreg() or entry.isdir() or entry.issym() or entry.islnk()):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = 0
    return entry
