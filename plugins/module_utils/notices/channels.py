# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where notices go: an inventory's list of channels, checked, with their secrets read from files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ..core.errors import InvalidInput
from .contacts import LOW, URGENCIES

START, END, FAILURE = "start", "end", "failure"
EVENTS = (START, END, FAILURE)
FILE, SLACK, MAIL, WEBHOOK, GRAFANA, MODULE = "file", "slack", "mail", "webhook", "grafana", "module"
TIMEOUT = 5.0

_COMMON = ("kind", "name", "events", "urgency", "timeout")
_HTTP = ("url", "url_file", "ca_cert", "validate_certs")
#: kind -> what it takes besides the common keys
TAKES: Mapping[str, Sequence[str]] = {
    FILE: ("path",),
    SLACK: _HTTP,
    WEBHOOK: (*_HTTP, "token", "token_file", "header", "prefix"),
    GRAFANA: (*_HTTP, "token", "token_file", "tags", "dashboard"),
    MAIL: ("host", "port", "tls", "to", "from", "username", "password", "password_file", "ca_cert", "validate_certs"),
    MODULE: ("module", "arguments"),
}
_TLS_PORTS = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True)
class Channel:
    """One channel, ready to be used. ``options`` hold secrets, ``secrets`` what of them must be shown nowhere."""

    name: str
    kind: str
    events: Sequence[str]
    urgency: str
    timeout: float
    where: str
    options: Mapping[str, Any] = field(repr=False, default_factory=dict)
    secrets: Sequence[str] = field(repr=False, default=())

    def wants(self, event: str, urgency: str) -> bool:
        """Return whether a notice of this event and urgency goes here."""
        return event in self.events and URGENCIES.index(urgency) >= URGENCIES.index(self.urgency)


def channel(given: Mapping[str, Any], number: int) -> Channel:
    """Return one channel of the inventory's list; ``number`` counts from 1.

    Raises InvalidInput, whose words hold no value of the channel but its name and kind.
    """
    kind = str(given.get("kind") or "")
    name = str(given.get("name") or f"{kind or 'channel'}-{number}")
    if kind not in TAKES:
        raise _bad(name, f"its kind is '{kind[:20]}'", f"Kinds are: {', '.join(TAKES)}.")
    foreign = sorted(set(map(str, given)) - {*_COMMON, *TAKES[kind]})
    if foreign:
        raise _bad(name, f"a channel of kind {kind} has no '{foreign[0]}'", f"It takes: {', '.join(TAKES[kind])}.")
    events = given.get("events") or list(EVENTS)
    if isinstance(events, str) or set(events) - set(EVENTS):
        raise _bad(name, "its events are wrong", f"Give a list of: {', '.join(EVENTS)}.")
    if kind == MODULE and given.get("events") and START in events:
        raise _bad(
            name, "a channel of kind module can't tell the start of a run", "Give of events only end, failure or both."
        )
    urgency = str(given.get("urgency") or LOW)
    if urgency not in URGENCIES:
        raise _bad(name, f"its urgency is '{urgency[:20]}'", f"Urgencies are: {', '.join(URGENCIES)}.")
    try:
        timeout = float(given.get("timeout") or TIMEOUT)
    except (TypeError, ValueError):
        raise _bad(name, "its timeout is no number of seconds") from None
    options = {key: value for key, value in given.items() if key not in _COMMON and value is not None}
    for key in [key for key in options if key in ("url_file", "token_file", "password_file")]:
        options[key.removesuffix("_file")] = _one_line(str(options.pop(key)), name)
    secrets = [str(options[key]) for key in ("token", "password") if options.get(key)]
    where = _place(name, kind, options)
    if kind in (SLACK, WEBHOOK, GRAFANA):
        secrets += _parts(str(options["url"]))
    if kind == MODULE:
        secrets += list(_texts(options.get("arguments") or {}))
    return Channel(name, kind, list(events), urgency, timeout, where, options, tuple(secrets))


def _place(name: str, kind: str, options: Mapping[str, Any]) -> str:
    """Return where a channel leads, without anything secret; raises InvalidInput when it leads nowhere."""
    if kind in (SLACK, WEBHOOK, GRAFANA):
        parts = _url(str(options.get("url") or ""))
        if parts is None:
            raise _bad(
                name, "it has no URL of http or https", "Give url or url_file, without a user or password in it."
            )
        if kind == GRAFANA and not options.get("token"):
            raise _bad(name, "it has no token", "Give token_file, with the token of a service account.")
        return parts
    if kind == MAIL:
        lacking = [key for key in ("host", "to", "from") if not options.get(key)]
        if lacking:
            raise _bad(name, f"a channel of kind mail needs '{lacking[0]}'")
        if str(options.get("tls", "starttls")) not in _TLS_PORTS:
            raise _bad(name, "its tls is wrong", f"Give one of: {', '.join(_TLS_PORTS)}.")
        return f"{options['host']}:{mail_port(options)}"
    if kind == MODULE:
        if not re.fullmatch(r"\w+\.\w+\.\w+", str(options.get("module") or "")):
            raise _bad(name, "module is no full name", "Give for instance community.general.slack.")
        return str(options["module"])
    if not options.get("path"):
        raise _bad(name, "a channel of kind file needs 'path', a folder")
    return str(options["path"])


def mail_port(options: Mapping[str, Any]) -> int:
    """Return a mail channel's port; that of its kind of TLS when none is given."""
    return int(options.get("port") or _TLS_PORTS[str(options.get("tls", "starttls"))])


def _url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return None
    good = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc and url.isprintable()
    return f"{parts.scheme}://{parts.hostname}{port}" if good and " " not in url else None


def _parts(url: str) -> list[str]:
    """Return what of a URL may be secret: it whole, its path and query, and each long piece of them."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    pieces = [piece for piece in re.split(r"[/?&=]", target) if len(piece) >= 6]
    found = [url, target, parts.query, *pieces] if len(target) > 1 else [url]
    return list(dict.fromkeys(text for one in found if one for text in (one, unquote(one), quote(one, safe=""))))


def _texts(value: Any) -> list[str]:
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else []
    return (
        [str(value)] if isinstance(value, str) and len(value) >= 6 else [text for one in items for text in _texts(one)]
    )


def _one_line(path: str, name: str) -> str:
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read(64 * 1024).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise _bad(name, f"the file {path} can't be read: {reason}") from error
    if not text or not text.isprintable():
        raise _bad(name, f"the file {path} must hold one non-empty line")
    return text


def _bad(name: str, what: str, hint: str = "") -> InvalidInput:
    return InvalidInput(what, where=f"dualwrite_notices, channel '{name}'", hint=hint)
