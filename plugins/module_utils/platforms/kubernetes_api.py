# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask and command the API of a Kubernetes cluster; one that is away for a while is asked again.

The `kubernetes` client finds the cluster and authenticates; what goes over the wire is plain JSON, so that no object
loses a field that the client does not know.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from ..core.deadline import Deadline, wait_until
from ..core.errors import (
    CommandFailed,
    Conflict,
    DeadlinePassed,
    InvalidInput,
    NotFound,
    Refused,
    RollbackError,
    Unreachable,
)
from ..core.process import Finished
from ..core.redact import redact_text
from ..core.translate import require
from .kubernetes_objects import OURS

#: seconds for which an API that is away is asked again, to connect, and to answer
AGAIN, CONNECT, ANSWER = 6.0, 3.0, 8.0
RIGHTS = "See docs/kubernetes_rbac.md for the Role that it needs."
JSON, JSON_PATCH = "application/json", "application/json-patch+json"
_STDOUT, _STDERR, _STATUS = 1, 2, 3
_LOCK = threading.Lock()
_KNOWN: dict[tuple[str | None, str | None], Api] = {}


def connect(kubeconfig: str | None, context: str | None) -> Api:
    """Return the API of a cluster, one for all workloads of a call; nothing is sent yet."""
    with _LOCK:
        key = (kubeconfig, context)
        _KNOWN[key] = _KNOWN.get(key) or Api(kubeconfig, context)
        return _KNOWN[key]


class Api:
    """The API of one cluster, as a kubeconfig or the pod that we run in reaches it.

    Every method raises InvalidInput when the configuration can't be used, Refused when a right is missing, NotFound,
    Conflict when the object has changed since it was read, CommandFailed when the API turns the request down
    otherwise, and Unreachable when it is and stays away.
    """

    def __init__(self, kubeconfig: str | None, context: str | None) -> None:
        self.kubeconfig = kubeconfig
        self.context = context
        self._lock = threading.Lock()
        self._configuration: Any = None
        self._pool: Any = None

    @property
    def where(self) -> str:
        """The cluster's address, or where it should be told."""
        return str(self._configuration.host) if self._configuration else self._told()

    def _told(self) -> str:
        place = self.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
        return f"{place}, context {self.context}" if self.context else place

    def server(self) -> str:
        """Return the cluster's address."""
        return str(self._connected().host)

    def _connected(self) -> Any:
        with self._lock:
            if self._configuration is None:
                require("kubernetes", "kubernetes", needed_for="the platform kubernetes")
                from kubernetes import client, config

                load: Any = config  # the client has no types
                configuration = client.Configuration()
                try:
                    if self._in_a_pod():
                        load.load_incluster_config(client_configuration=configuration)
                    else:
                        path = os.path.expanduser(self.kubeconfig) if self.kubeconfig else None
                        load.load_kube_config(path, context=self.context, client_configuration=configuration)
                except (config.ConfigException, OSError, ValueError, TypeError, AttributeError) as error:
                    raise InvalidInput(
                        f"the kubeconfig can't be used: {redact_text(str(error))}",
                        where=self._told(),
                        hint="Give kubeconfig and context as kubectl takes them.",
                    ) from error
                configuration.retries = False
                configuration.connection_pool_maxsize = 256
                self._pool = client.ApiClient(configuration).rest_client.pool_manager
                self._configuration = configuration
            return self._configuration

    def _in_a_pod(self) -> bool:
        given = self.kubeconfig or self.context or os.environ.get("KUBECONFIG")
        usual = os.path.exists(os.path.expanduser("~/.kube/config"))
        return not given and not usual and "KUBERNETES_SERVICE_HOST" in os.environ

    def _headers(self) -> dict[str, str]:
        auth = self._connected().auth_settings().get("BearerToken")
        return {"accept": JSON, **({"authorization": auth["value"]} if auth and auth["value"] else {})}

    def get(self, path: str, deadline: Deadline | None = None, **query: Any) -> dict[str, Any]:
        """Return an object or a list, in full (no page is left out)."""
        return dict(self._json("GET", path, deadline=deadline, query=query))

    def items(self, path: str, deadline: Deadline | None = None, **query: Any) -> list[dict[str, Any]]:
        """Return the items of a list."""
        return list(self.get(path, deadline, **query).get("items") or [])

    def text(self, path: str, deadline: Deadline | None = None, **query: Any) -> str:
        """Return an answer that is no JSON."""
        return self._asked("GET", path, None, {}, query, deadline).decode("utf-8", "replace")

    def patch(self, path: str, operations: Sequence[Mapping[str, Any]], deadline: Deadline | None = None) -> Any:
        """Change an object by a JSON patch (RFC 6902), whose `test` operations guard it, and return it."""
        query = {"fieldManager": OURS}
        return self._json("PATCH", path, list(operations), {"content-type": JSON_PATCH}, query=query, deadline=deadline)

    def create(self, path: str, body: Mapping[str, Any], deadline: Deadline | None = None) -> Any:
        """Create an object, or ask a question that is asked by creating one (an access review)."""
        return self._json("POST", path, dict(body), {"content-type": JSON}, deadline=deadline)

    def replace(self, path: str, body: Mapping[str, Any], deadline: Deadline | None = None) -> Any:
        """Write an object anew; the resourceVersion in ``body`` must still be that of the object."""
        return self._json("PUT", path, dict(body), {"content-type": JSON}, deadline=deadline)

    def remove(self, path: str, thing: Mapping[str, Any], deadline: Deadline | None = None) -> None:
        """Delete an object as it was read: if it has changed since, or is another one now, it stays."""
        as_read = {key: thing["metadata"][key] for key in ("uid", "resourceVersion")}
        self._asked("DELETE", path, {"preconditions": as_read}, {"content-type": JSON}, {}, deadline)

    def delete(self, path: str, deadline: Deadline | None = None, **query: Any) -> None:
        """Delete an object."""
        self._asked("DELETE", path, None, {}, query, deadline)

    def _json(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        deadline: Deadline | None = None,
    ) -> Any:
        content = self._asked(method, path, body, headers or {}, query or {}, deadline)
        try:
            return json.loads(content)
        except ValueError as error:
            raise CommandFailed("the answer is no JSON: is it a Kubernetes API?", where=self.where) from error

    def _asked(
        self,
        method: str,
        path: str,
        body: Any,
        headers: Mapping[str, str],
        query: Mapping[str, Any],
        deadline: Deadline | None,
    ) -> bytes:
        """Send a request until it is answered; a lost connection and an overloaded server are tried again."""
        import urllib3

        patience = deadline or Deadline(AGAIN)
        configuration = self._connected()
        url = _url(configuration.host, path, query)
        content = None if body is None else json.dumps(body).encode()
        last: list[RollbackError] = []

        def answered() -> tuple[int, bytes] | None:
            try:
                timeout = urllib3.Timeout(connect=CONNECT, read=ANSWER)
                given = {**self._headers(), **headers}
                answer = self._pool.request(method, url, body=content, headers=given, timeout=timeout, retries=False)
            except urllib3.exceptions.HTTPError as error:
                last[:] = [self._away(error)]
                return None
            if answer.status == 429 or answer.status >= 500:
                last[:] = [Unreachable(f"the API answers {answer.status}: {_message(answer.data)}", where=self.where)]
                return None
            return answer.status, answer.data

        try:
            status, data = wait_until(answered, patience, what="an answer of the API", longest_pause=0.5)
        except DeadlinePassed as error:
            raise (last[0] if last else error) from error
        if status >= 400:
            raise self._turned_down(status, path, _message(data))
        return data

    def _away(self, error: Exception) -> RollbackError:
        """Return the error for a connection that failed; raises InvalidInput when it will never succeed."""
        import urllib3

        if isinstance(error, (urllib3.exceptions.SSLError, urllib3.exceptions.LocationParseError)):
            raise InvalidInput(
                f"the API can't be trusted: {redact_text(str(error))}",
                where=self.where,
                hint="Check the cluster's address and certificate authority in the kubeconfig.",
            ) from error
        return Unreachable(
            f"the Kubernetes API does not answer ({type(error).__name__})",
            where=self.where,
            hint="Check the kubeconfig and the way to the cluster.",
        )

    def _turned_down(self, status: int, path: str, message: str) -> RollbackError:
        kinds: dict[int, type[RollbackError]] = {404: NotFound, 409: Conflict, 422: Conflict}
        if status == 401:
            return InvalidInput(
                "the API does not accept the credentials", where=self.where, hint="Renew them in the kubeconfig."
            )
        if status == 403:
            return Refused(f"a right is missing: {message}", where=self.where, hint=RIGHTS)
        kind = kinds.get(status, CommandFailed)
        return kind(f"the API answers {status}: {message}", where=f"{self.where}{path}")

    def watch(self, path: str, seconds: float, **query: Any) -> Iterator[dict[str, Any]]:
        """Walk through the events of a watch, ``{type, object}``, for as long as it lasts, ``seconds`` at most."""
        import urllib3

        configuration = self._connected()
        query = {**query, "watch": "1", "timeoutSeconds": max(int(seconds), 1)}
        url = _url(configuration.host, path, query)
        timeout = urllib3.Timeout(connect=CONNECT, read=seconds + 1)
        try:
            answer = self._pool.request(
                "GET", url, headers=self._headers(), timeout=timeout, retries=False, preload_content=False
            )
            if answer.status >= 400:
                raise self._turned_down(answer.status, path, _message(answer.data))
            rest = b""
            for chunk in answer.stream(65536, decode_content=True):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (json.loads(line) for line in lines if line.strip())
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            raise Unreachable(f"the watch was cut ({type(error).__name__})", where=self.where) from error

    def execute(
        self, namespace: str, pod: str, container: str, argv: Sequence[str], deadline: Deadline | None = None
    ) -> Finished:
        """Run a command in a container and return how it ended.

        Raises NotFound when the pod or its container is gone, and Unreachable when the command's end is not known.
        """
        require("websocket", "kubernetes", needed_for="the platform kubernetes")
        import websocket
        from kubernetes.stream import ws_client

        made: Any = ws_client.WSClient  # the client has no types

        deadline = deadline or Deadline(ANSWER)
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/exec"
        query = [("container", container), ("stdout", "true"), ("stderr", "true")]
        query += [("command", word) for word in argv]
        address = f"{self._connected().host}{path}?{urlencode(query, quote_via=quote)}"
        # the client opens its socket without a limit of time: an API that is silent would hold us for ever
        websocket.setdefaulttimeout(ANSWER)
        try:
            socket = made(self._connected(), address.replace("http", "ws", 1), self._headers(), capture_all=False)
            try:
                while socket.is_open() and not deadline.passed():
                    socket.update(timeout=min(deadline.left(), 1.0))
                if socket.is_open():
                    raise DeadlinePassed(
                        f"the command '{argv[0]}' still ran after {deadline.seconds:.0f} s", where=f"pod {pod}"
                    )
                told = [socket.read_channel(number) for number in (_STDOUT, _STDERR, _STATUS)]
            finally:
                socket.close()
        except websocket.WebSocketBadStatusException as error:
            raise self._not_executed(error, path) from error
        except (websocket.WebSocketException, OSError) as error:
            raise Unreachable(f"the way into pod {pod} was cut ({type(error).__name__})", where=self.where) from error
        return Finished(tuple(argv), exit_code(told[2], pod), told[0], told[1])

    def _not_executed(self, error: Any, path: str) -> RollbackError:
        body = getattr(error, "resp_body", None) or b""
        message = _message(body if isinstance(body, bytes) else str(body).encode())
        status = int(getattr(error, "status_code", 0) or 0)
        # the kubelet has no word of its own for a container that has just ended
        if "container not found" in message or "not found in pod" in message or "cannot exec" in message:
            return NotFound(message, where=f"{self.where}{path}")
        if status >= 500:
            return Unreachable(f"the API answers {status}: {message}", where=self.where)
        return self._turned_down(status, path, message)


def _url(host: str, path: str, query: Mapping[str, Any]) -> str:
    pairs = [(name, value) for name, value in query.items() if value is not None]
    return f"{host.rstrip('/')}{path}" + (f"?{urlencode(pairs)}" if pairs else "")


def _message(body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    try:
        told = json.loads(text)
        text = str(told.get("message") or told.get("reason") or text)
    except (ValueError, AttributeError):
        pass
    return redact_text(" ".join(text.split()))[:400]


def exit_code(status: str, pod: str) -> int:
    """Return the exit code that the last message of an exec tells; without one its end is not known."""
    try:
        told = json.loads(status)
        if told["status"] == "Success":
            return 0
        causes = (told.get("details") or {}).get("causes") or []
        codes = [one["message"] for one in causes if one.get("reason") == "ExitCode"]
        if codes:
            return int(codes[0])
        message = str(told.get("message", ""))
    except (ValueError, KeyError, TypeError) as error:
        raise Unreachable("the way into the pod was cut before the command's end", where=f"pod {pod}") from error
    if "executable file not found" in message or "no such file or directory" in message:
        return 127
    if "container not found" in message or "not running" in message:
        raise NotFound(message, where=f"pod {pod}")
    raise Unreachable(f"the command could not be run: {redact_text(message)[:300]}", where=f"pod {pod}")
