"""A load balancer: a port of this machine whose connections go to the ready pods of a Service.

It stands in for kube-proxy and what is in front of it: new connections go to pods that are ready by the API's word,
open ones stay where they are, and nothing is tried twice. What the API said last holds while it is silent.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import threading
from typing import Any

from .. import parts
from ..waiting import wait_until
from .cluster import Cluster

SILENCE_S = 2.0  # then the pods are asked for anew
BLOCK = 65536


class Balancer:
    """One port for one Service; `start` and `stop` are called once."""

    def __init__(self, cluster: Cluster, namespace: str, service: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.service = service
        self.port = parts.free_port()
        self.ready: tuple[tuple[str, int], ...] = ()
        self._turns = itertools.count()
        self._ending = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._listens = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._follow, self._serve)]

    def start(self) -> Balancer:
        """Begin, and return self once somebody can connect. Raises LabError when the port can't be had."""
        for thread in self._threads:
            thread.start()
        wait_until(self._listens.is_set, f"the load balancer to listen on port {self.port}", 10)
        return self

    def stop(self) -> None:
        """End, and every connection with it."""
        self._ending.set()
        self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in self._threads:
            thread.join(SILENCE_S * 2)

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

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connect, "127.0.0.1", self.port))
        self._listens.set()
        self._loop.run_forever()
        server.close()
        under_way = asyncio.all_tasks(self._loop)
        for task in under_way:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*under_way, return_exceptions=True))
        self._loop.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join a connection with one to the next pod; refuse it when there is none or that one refuses."""
        ready = self.ready
        try:
            if not ready:
                raise ConnectionRefusedError
            there, back = await asyncio.open_connection(*ready[next(self._turns) % len(ready)])
        except OSError:
            writer.transport.abort()
            return
        try:
            await asyncio.gather(_pour(reader, back), _pour(there, writer))
        finally:
            back.transport.abort()
            writer.close()


async def _pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Hand on what comes, and its end."""
    with contextlib.suppress(OSError):
        while block := await source.read(BLOCK):
            target.write(block)
            await target.drain()
        target.write_eof()
