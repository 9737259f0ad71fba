"""The image of a host: Debian with systemd, sshd, sudo, Python and PostgreSQL, built once and cached."""

from __future__ import annotations

import hashlib
import platform
import shutil
import tempfile
from pathlib import Path

from ..waiting import LabError
from . import machine

SUITE = "bookworm"
PYTHON = "3.11"  # of SUITE; what is installed for the application must fit it
PACKAGES = (
    "ca-certificates",
    "curl",
    "dbus",
    "iproute2",
    "openssh-server",
    "postgresql-15",
    "procps",
    "python3",
    "python3-psycopg2",  # for modules that ask the database from the host
    "sudo",
    "systemd",
    "systemd-sysv",
)
EXCLUDED = (  # libLLVM serves PostgreSQL's JIT only (110 MB); the lab's database has jit = off
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/info/*",
    "/usr/lib/*/libLLVM*",
    "/usr/lib/postgresql/*/lib/bitcode/*",
)
# Runs inside the new root. Units that a machine under test has no use for are masked; names and keys come at boot.
CUSTOMIZE = r"""
set -eu
systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
  dpkg-db-backup.timer console-getty.service getty@tty1.service systemd-firstboot.service systemd-networkd.service \
  systemd-remount-fs.service systemd-update-utmp.service
systemctl --quiet disable postgresql.service
pg_lsclusters --no-header | grep --quiet '^15 main ' || pg_createcluster 15 main >/dev/null
cat > /etc/postgresql/15/main/conf.d/lab.conf <<'END'
jit = off
fsync = off
shared_buffers = 32MB
max_connections = 200
listen_addresses = '*'
END
echo 'host all all samenet scram-sha-256' >> /etc/postgresql/15/main/pg_hba.conf
useradd --create-home --shell /bin/bash deploy
echo 'deploy ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/deploy
chmod 0440 /etc/sudoers.d/deploy
cat > /etc/ssh/sshd_config.d/lab.conf <<'END'
UseDNS no
PasswordAuthentication no
PrintMotd no
PrintLastLog no
END
rm -f /etc/ssh/ssh_host_*
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id /etc/hostname /etc/resolv.conf
mkdir -p /var/log/journal /etc/deltacrown
"""


def digest() -> str:
    """Return the name of the image that this recipe gives on this kind of processor."""
    recipe = "\n".join([SUITE, *PACKAGES, *EXCLUDED, CUSTOMIZE, platform.machine()])
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


def path() -> Path:
    """Return where the image lies, or will lie."""
    return machine.cache_dir() / "images" / f"host-{digest()}"


def build() -> Path:
    """Return the image's folder, built first when the cache has none of this recipe.

    Raises LabError when a package of the machine is missing or mmdebstrap fails.
    """
    image = path()
    if image.exists():
        return image
    machine.require()
    with machine.locked(image.name):
        if not image.exists():
            image.parent.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".building-", dir=image.parent))
            try:
                _bootstrap(work / "root", work / "customize")
                (work / "root").rename(image)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return image


def _bootstrap(root: Path, customize: Path) -> None:
    """Make a Debian in the folder root."""
    customize.write_text(CUSTOMIZE)
    machine.call(
        [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            "--mode=root",
            "--format=directory",
            f"--include={','.join(PACKAGES)}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED),
            f'--customize-hook=chroot "$1" sh < {customize}',
            SUITE,
            str(root),
            *_mirror(),
        ],
    )


def _mirror() -> list[str]:
    """Return apt's lines for a mirror of Debian that this machine uses, or none: then mmdebstrap's own default."""
    try:
        listed = machine.call(
            ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"]
        ).splitlines()
    except LabError:
        return []
    uris = {line.split()[0].rstrip("/") for line in listed if line.split()[1:] == [SUITE]}
    mirrors = sorted(uri for uri in uris if uri.endswith("/debian"))
    if not mirrors or any("//deb.debian.org/" in uri for uri in mirrors):
        return []
    return [f"deb {mirrors[0]} {suite} main" for suite in (SUITE, f"{SUITE}-updates")]
