"""A moment that can't be hit from outside: the API asks whether a Deployment may be changed, and gets no answer."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.lab.cluster import Cluster
from tests.lab.cluster.pki import Authority

HOOK = "hold-changes"


@contextlib.contextmanager
def held_changes(cluster: Cluster, user: str, folder: Path) -> Iterator[threading.Event]:
    """Hold what a user changes in Deployments, and refuse it at the end; the event is set when something is held.

    A validating webhook of the cluster, which everybody else's changes pass.
    """
    held, over = threading.Event(), threading.Event()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["request"]
            mine = asked["userInfo"]["username"] == user
            if mine:
                held.set()
                over.wait(30)
            answer = {"uid": asked["uid"], "allowed": not mine}
            told = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
            body = json.dumps(told).encode()
            with contextlib.suppress(OSError):  # whoever asked may be gone
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    authority = Authority(folder)
    authority.issue("hook", "hook", addresses=(cluster.gateway,))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "hook.crt", folder / "hook.key")
    server = ThreadingHTTPServer((cluster.gateway, 0), Hook)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    rules = [{"apiGroups": ["apps"], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["deployments"]}]
    hook = {
        "name": f"{HOOK}.example.org",
        "clientConfig": {
            "url": f"https://{cluster.gateway}:{server.server_address[1]}/",
            "caBundle": base64.b64encode((folder / "ca.crt").read_bytes()).decode(),
        },
        "rules": rules,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 30,
    }
    whole = {"kind": "ValidatingWebhookConfiguration", "metadata": {"name": HOOK}, "webhooks": [hook]}
    given = folder / "hook.json"
    given.write_text(json.dumps({"apiVersion": "admissionregistration.k8s.io/v1", **whole}))
    try:
        cluster.kubectl("apply", "--filename", str(given))
        yield held
    finally:
        over.set()
        cluster.kubectl("delete", "validatingwebhookconfiguration", HOOK, "--ignore-not-found")
        server.shutdown()
        server.server_close()
        thread.join()
