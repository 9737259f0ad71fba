"""A load balancer: a port of this machine whose connections go to the ready pods of a Service.

It stands in for kube-proxy and what is in front of it: new connections go to pods that are ready by the API's word,
open ones stay where they are, and nothing is tried twice. What the API said last holds while it is silent.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import select
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from typing import Any

from .. import parts
from .cluster import Cluster

SILENCE_S = 2.0  # then the pods are asked for anew
CONNECT_S = 5.0
IDLE_S = 60.0
BLOCK = 65536


class Balancer:
    """One port for one Service, a free one unless it is given; `start` and `stop` are called once."""

    def __init__(self, cluster: Cluster, namespace: str, service: str, port: int | None = None) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.service = service
        self.port = port or parts.free_port()
        self.ready: tuple[tuple[str, int], ...] = ()
        self._turns = itertools.count()
        self._ending = threading.Event()
        self._follower = threading.Thread(target=self._follow, daemon=True)
        self._door: _Door | None = None

    def start(self) -> Balancer:
        """Begin, and return self; from now on somebody can connect. Raises OSError when the port can't be had."""
        self._door = _Door(self.port, self._hand_on)
        threading.Thread(target=self._door.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        self._follower.start()
        return self

    def stop(self) -> None:
        """Take no more connections, and forget the pods."""
        self._ending.set()
        if self._door is not None:
            self._door.shutdown()
            self._door.server_close()
            self._follower.join(SILENCE_S * 2)

    # -- which pods are ready ------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        collection = f"/api/v1/namespaces/{self.namespace}/endpoints"
        while not self._ending.is_set():
            try:
                found = self.cluster.get(f"{collection}/{self.service}")
                self._take(found)
                watch = f"watch=1&fieldSelector=metadata.name%3D{self.service}"
                watch += f"&resourceVersion={found['metadata']['resourceVersion']}"
                with self.cluster.open(f"{collection}?{watch}", timeout=SILENCE_S) as events:
                    for event in map(json.loads, events):
                        if event["type"] == "ERROR":
                            break
                        self._take(event["object"])
            except TimeoutError:
                continue
            except (OSError, ValueError):
                self._ending.wait(0.2)

    def _take(self, endpoints: dict[str, Any]) -> None:
        self.ready = tuple(
            (address["ip"], port["port"])
            for subset in endpoints.get("subsets") or []
            for address in subset.get("addresses") or []
            for port in subset["ports"][:1]
        )

    # -- connections ---------------------------------------------------------------------------------------------------

    def _hand_on(self, user: socket.socket) -> None:
        """Join a connection with one to the next pod; refuse it when there is none or that one refuses."""
        ready = self.ready
        try:
            if not ready:
                raise ConnectionRefusedError
            pod = socket.create_connection(ready[next(self._turns) % len(ready)], timeout=CONNECT_S)
        except OSError:
            user.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        with pod, contextlib.suppress(OSError):
            _pour({user: pod, pod: user})


def _pour(to: dict[socket.socket, socket.socket]) -> None:
    """Hand on what comes from each side to the other, and its end, until both have ended or nothing more comes."""
    sources = list(to)
    while sources:
        speaking = select.select(sources, [], [], IDLE_S)[0]
        if not speaking:
            return
        for source in speaking:
            block = source.recv(BLOCK)
            if block:
                to[source].sendall(block)
            else:
                sources.remove(source)
                to[source].shutdown(socket.SHUT_WR)


class _Door(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, hand_on: Callable[[socket.socket], None]) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                hand_on(self.request)

        super().__init__(("127.0.0.1", port), Handler)

    def shutdown_request(self, request: Any) -> None:
        request.close()
