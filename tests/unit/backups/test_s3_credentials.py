"""Where the credentials for S3 come from when the inventory gives none: a profile, or the role of the machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput
from ansible_collections.dualwrite.rollback.plugins.module_utils.stores.s3 import S3Store

ROLE = "/latest/meta-data/iam/security-credentials/"


class Metadata(ThreadingHTTPServer):
    """A stand-in for the metadata service of a cloud's machine, which can't be had here; the store it leads to is real.

    It knows one role. Its session token is empty: the lab's object store knows the role's keys as an ordinary user's.
    """

    def __init__(self, access: str, secret: str) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        expires = datetime.now(timezone.utc) + timedelta(hours=6)
        self.role = {
            "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": access, "SecretAccessKey": secret, "Token": "",
            "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }  # fmt: skip


class Answers(BaseHTTPRequestHandler):
    """IMDSv2: a token is asked for first, and wanted with every question."""

    server: Metadata

    def do_PUT(self) -> None:
        self._say("a-token")

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != "a-token":
            self.send_error(401)
        elif self.path == ROLE:
            self._say("rollback")
        else:
            self._say(json.dumps(self.server.role))

    def _say(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def bare(objects: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The bucket without any key, where nothing of this machine's own gives one."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return {name: value for name, value in objects.store().items() if name not in ("access_key", "secret_key")}


@pytest.fixture
def role(objects: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    """A machine that has the operator's role."""
    with Metadata(*objects.state["keys"]["operator"]) as service:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{service.server_address[1]}")
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield service
        service.shutdown()


def test_the_role_of_the_machine_gives_the_keys(bare: dict[str, str], role: Metadata) -> None:
    store = S3Store(bare)
    store.put("by-the-role", b"written")
    assert store.read("by-the-role") == b"written"


def test_a_profile_gives_the_keys_and_wins_over_the_role(
    objects: Any, bare: dict[str, str], role: Metadata, tmp_path: Path
) -> None:
    access, secret = objects.state["keys"]["operator"]
    role.role |= {"AccessKeyId": "NOBODYS", "SecretAccessKey": "nobody's"}
    (tmp_path / "AWS_SHARED_CREDENTIALS_FILE").write_text(
        f"[restores]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n"
    )
    store = S3Store({**bare, "profile": "restores"})
    store.put("by-a-profile", b"written")
    assert store.read("by-a-profile") == b"written"


def test_without_any_it_is_said_what_to_do(bare: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(InvalidInput, match="no credentials for S3 were found") as told:
        S3Store(bare).read("anything")
    assert "or run on a machine that has a role" in str(told.value)
