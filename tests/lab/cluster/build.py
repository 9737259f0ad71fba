"""Kubernetes's programs, built from Debian's source package: Debian has no binary package of them.

Each step leaves its result in place only when it is whole, so a build that was killed goes on where it was.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from ..host.machine import KEYRING
from ..waiting import LabError
from . import machine

PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl")
OPENAPI = "pkg/generated/openapi"
MARK = "+k8s:openapi-gen=true"
SUITE = "bookworm"
VENDORED = "k8s.io/kubernetes/vendor/k8s.io"
SOURCES = {  # Debian's source package: (version, where its files belong in the tree)
    "kubernetes": (machine.VERSION, "."),
    "golang-github-modern-go-reflect2": (machine.REFLECT2, "vendor/github.com/modern-go/reflect2"),
}


def program(name: str) -> Path:
    """Return where a program lies, or will lie."""
    return machine.folder() / "bin" / name


def missing() -> list[str]:
    """Return the programs that are not built yet."""
    return [name for name in PROGRAMS if not program(name).exists()]


def unavailable() -> str:
    """Return the sentence that says why no cluster can be had here at this moment, and what to do, or nothing."""
    try:
        machine.require()
    except LabError as error:
        return str(error)
    if missing():
        return f"not built on this machine: {', '.join(missing())}; run: python -m tests.lab.cluster build"
    return ""


def build() -> Path:
    """Build the programs that are missing and return their folder; takes ten minutes when all are.

    Raises LabError when a package of the machine is missing, or the source can't be fetched or built.
    """
    if missing():
        machine.require()
        with machine.locked(machine.FOLDER_NAME):
            if missing():
                tree = _source()
                for name in missing():
                    begun = time.monotonic()
                    if name == "kube-apiserver":
                        _generate_openapi(tree)
                    _compile(tree, f"./cmd/{name}", program(name))
                    print(f"built {name} in {time.monotonic() - begun:.0f} s", flush=True)
                for left in ("go", "go-cache"):  # 2 GB that nobody needs any more
                    shutil.rmtree(machine.folder() / left)
                for stale in program("").glob(".building-*"):
                    stale.unlink()
    return program("")


def _source() -> Path:
    """Return the source tree, laid out as Go's GOPATH wants it; fetched and unpacked if it is not there."""
    tree = machine.folder() / "go/src/k8s.io/kubernetes"
    if tree.exists():
        return tree
    fetched = machine.folder() / "source"
    fetched.mkdir(parents=True, exist_ok=True)
    if not all(_archives(fetched, name) for name in SOURCES):
        _fetch(fetched)
    unpacking = fetched / "unpacking"
    shutil.rmtree(unpacking, ignore_errors=True)
    for name, (dummy, where) in SOURCES.items():
        shutil.rmtree(unpacking / where, ignore_errors=True)
        (unpacking / where).mkdir(parents=True)
        archive = str(_archives(fetched, name)[0])
        machine.call(["tar", "-xf", archive, "--strip-components=1", "-C", str(unpacking / where)])
    tree.parent.mkdir(parents=True, exist_ok=True)
    unpacking.rename(tree)
    return tree


def _archives(folder: Path, name: str) -> list[Path]:
    return list(folder.glob(f"{name}_*{SOURCES[name][0]}.orig.tar.*"))


def _fetch(target: Path) -> None:
    """Fetch the source packages by apt-get, whose state here is private: the machine's own lists stay as they are."""
    work = target / "apt"
    shutil.rmtree(work, ignore_errors=True)
    for name in ("lists/partial", "archives/partial", "fetched"):
        (work / name).mkdir(parents=True)
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""  # Ubuntu's apt doesn't trust Debian by itself
    (work / "sources.list").write_text(f"deb-src {signed}{_mirror()} {SUITE} main\n")
    options = {
        "Dir::State::Lists": work / "lists",
        "Dir::Cache": work,
        "Dir::Etc::SourceList": work / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "APT::Sandbox::User": "root",
    }
    command = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items())]
    machine.call([*command, "update"])
    _run([*command, "source", "--download-only", *SOURCES], work / "fetched")
    for name, (version, dummy) in SOURCES.items():
        found = _archives(work / "fetched", name)
        if len(found) != 1:
            raise LabError(f"Debian's source package {name} is not of version {version} any more")
        found[0].rename(target / found[0].name)
    shutil.rmtree(work)


def _mirror() -> str:
    """Return the mirror of Debian that this machine uses, whichever suite it takes from there.

    Raises LabError when it uses none.
    """
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"]
    listed = [line.split() for line in machine.call(command).splitlines()]
    found = sorted((words[1:] != [SUITE], words[0].rstrip("/")) for words in listed if words)
    mirror = next((uri for dummy, uri in found if uri.endswith("/debian")), None)
    if mirror is None:
        raise LabError("apt on this machine knows no mirror of Debian, whose source package is what is built")
    return mirror


def _generate_openapi(tree: Path) -> None:
    """Write the API's description, which the API server contains and the source package doesn't."""
    target = tree / OPENAPI / "zz_generated.openapi.go"
    if target.exists():
        return
    generator = machine.folder() / "bin/openapi-gen"
    if not generator.exists():
        _compile(tree, "./vendor/k8s.io/kube-openapi/cmd/openapi-gen", generator)
    output = machine.folder() / "openapi"
    shutil.rmtree(output, ignore_errors=True)
    command = [str(generator), "--logtostderr", "--go-header-file", "/dev/null", "--report-filename", "/dev/null"]
    command += ["--output-base", str(output), "--output-file-base", "zz_generated.openapi"]
    command += ["--output-package", f"k8s.io/kubernetes/{OPENAPI}", "--input-dirs", ",".join(_described(tree))]
    _run(command, tree)
    (output / "k8s.io/kubernetes" / OPENAPI / target.name).rename(target)
    shutil.rmtree(output)


def _described(tree: Path) -> Iterable[str]:
    """Yield the Go packages whose types the API's description has, as openapi-gen wants them named."""
    folders = set()
    for top in ("pkg", "staging/src/k8s.io", "vendor/k8s.io"):
        for walked, names, files in os.walk(tree / top):
            names[:] = [name for name in names if name not in ("testdata", "vendor") and not name.startswith("_")]
            for name in files:
                if name.endswith(".go") and not name.startswith("zz_generated"):
                    path = Path(walked, name)
                    if any(line.lstrip("/ \t").startswith(MARK) for line in _comments(path)):
                        folders.add(Path(walked).relative_to(tree).as_posix())
    for folder in sorted(folders):
        yield f"k8s.io/kubernetes/{folder.replace('staging/src/', 'vendor/')}"


def _comments(path: Path) -> list[str]:
    text = path.read_text(errors="replace")
    return [line for line in text.splitlines() if line.startswith("//")] if MARK in text else []


def _compile(tree: Path, package: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    building = target.with_name(f".building-{target.name}-{os.getpid()}")  # a killed build's compiler may go on
    major, minor, dummy = machine.VERSION.split(".")
    version = {"gitVersion": f"v{machine.VERSION}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    places = ("component-base/version", "client-go/pkg/version")
    said = " ".join(f"-X {VENDORED}/{place}.{key}={value}" for place in places for key, value in version.items())
    command = ["go", "build", "-trimpath", "-ldflags", f"-s -w {said}", "-o", str(building), package]
    _run(command, tree)
    building.rename(target)


def _run(command: list[str], folder: Path) -> None:
    """Run a command of the build in a folder. Raises LabError when it fails."""
    variables = {"GO111MODULE": "off", "CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    variables["GOPATH"] = str(machine.folder() / "go")
    variables["GOCACHE"] = str(machine.folder() / "go-cache")
    variables["GOROOT"] = machine.call(["go", "env", "GOROOT"]).strip()  # a program built by -trimpath has lost it
    done = subprocess.run(
        command,
        cwd=folder,
        env={**machine.env(), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = " | ".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise LabError(f"{' '.join(command)[:200]} in {folder} ended with {done.returncode}: {last}")
