# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: what a plain dump says of itself, found while it flows past; and what of it psql may be given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..core.errors import VerificationFailed
from .formats import NOT_WHOLE

TRAILER = b"PostgreSQL database dump complete"
_DUMPED_FROM = re.compile(rb"^-- Dumped from database version (\d+(?:\.\d+)?)", re.M)
_DUMPED_BY = re.compile(rb"^-- Dumped by pg_dump version (\d+(?:\.\d+)?)", re.M)
_STARTED = re.compile(rb"^-- Started on (.+)$", re.M)
#: what is no statement though it may read like one: literals, bodies of functions, rows; ``open``: its end is to come
_TOKEN = re.compile(
    rb"""(?=[CE'"$-])(?:(?P<rows>^COPY\ .+\ FROM\ stdin;$)
    | (?P<kept>--.*|"[^"]*")
    | \bE'[^'\\]*(?:(?:\\(?s:.)|'')[^'\\]*)*' | '[^']*'
    | (\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$)(?s:.*?)\3
    | (?P<open>(?:\bE)?'|"|\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$))""",
    re.M | re.X,
)
_TABLE = re.compile(rb"^CREATE (?:UNLOGGED |FOREIGN )?TABLE ((?:\"[^\"]+\"|[^\s(\"]+)+)", re.M)
_CONSTRAINT = re.compile(rb"^ +ADD CONSTRAINT (?:\"[^\"]+\"|\S+)+ (?:PRIMARY|UNIQUE|EXCLUDE|FOREIGN) ?", re.M)
_EXTENSION = re.compile(rb"^CREATE EXTENSION (?:IF NOT EXISTS )?(\"[^\"]+\"|\S+?)(?: |;)", re.M)
_OWNER = re.compile(rb"^ALTER .+ OWNER TO (\"[^\"]+\"|\S+);$", re.M)
_ENCODING = re.compile(rb"^SET client_encoding = '([^']+)';$", re.M)
_SETTINGS = re.compile(rb"^SET (\w+) = ", re.M)
#: pg_dump keeps psql from commands of its own with a key that it writes down; ours is one that nobody knows before
_RESTRICT = re.compile(rb"^\\(?:un)?restrict [0-9A-Za-z]+\n", re.M)


@dataclass
class Facts:
    """What a backup holds; ``constraints`` are keys, foreign keys and exclusions, ``settings`` what it sets first."""

    server: str = ""
    client: str = ""
    started: str = ""
    database: str = ""
    encoding: str = ""
    extensions: set[str] = field(default_factory=set)
    owners: set[str] = field(default_factory=set)
    settings: set[str] = field(default_factory=set)
    tables: int = 0
    constraints: int = 0
    large_objects: bool = False

    def as_dict(self) -> dict[str, object]:
        """Return them as plain data."""
        return {
            "server_version": self.server,
            "pg_dump_version": self.client,
            "started": self.started,
            "database": self.database,
            "extensions": sorted(self.extensions),
            "owners": sorted(self.owners),
            "tables": self.tables,
            "constraints": self.constraints,
        }


class PlainDump:
    """A plain dump that flows past: feed it chunks, it gives back what may go to psql and keeps the facts.

    Rows of a COPY are passed on unread. Everything else is handed on in whole lines, and a literal or the body of a
    function in one.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.facts = Facts()
        self._held = b""
        self._in_rows = False
        self._end = b""

    def passed(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Walk through all of it; raises VerificationFailed at a zero byte, at its end without the trailer."""
        for chunk in chunks:
            if b"\0" in chunk:
                raise VerificationFailed(
                    "the dump holds a zero byte, which pg_dump does not write", where=self.name, hint=NOT_WHOLE
                )
            yield from self._feed(chunk)
        yield from self._feed(b"\n", last=True)
        if self._in_rows or TRAILER not in self._end:
            raise VerificationFailed(
                "the dump lacks its last line ('PostgreSQL database dump complete')", where=self.name, hint=NOT_WHOLE
            )

    def _feed(self, chunk: bytes, last: bool = False) -> Iterator[bytes]:
        text = self._held + chunk
        self._held = b""
        while text:
            if self._in_rows:
                # a row can't hold an unescaped backslash and dot alone on its line; text begins with COPY's line end
                end = text.find(b"\n\\.\n") + 4
                cut = end if end > 3 else max(len(text) - 3, 0)
                if cut:
                    yield text[:cut]
                if end < 4:
                    self._held = text[cut:]
                    return
                text, self._in_rows = text[cut:], False
                continue
            cut, self._in_rows = self._statements(text, last)
            if not cut:
                self._held = text
                return
            yield self._seen(text[:cut])
            text = text[cut:]

    def _statements(self, text: bytes, last: bool) -> tuple[int, bool]:
        """Return where the statements end that can be looked at, and whether rows follow there."""
        end = text.rfind(b"\n") + 1
        for token in _TOKEN.finditer(text, 0, end):
            if token["rows"]:
                return token.end(), True
            if token["open"] and not last:
                return text.rfind(b"\n", 0, token.start()) + 1, False
        return end, False

    def _seen(self, statements: bytes) -> bytes:
        facts = self.facts
        if not facts.server and (found := _DUMPED_FROM.search(statements)):
            facts.server = found[1].decode()
        if not facts.client and (found := _DUMPED_BY.search(statements)):
            facts.client = found[1].decode()
        if not facts.started and (found := _STARTED.search(statements)):
            facts.started = found[1].decode("utf-8", "replace")
        bare = _TOKEN.sub(rb"\g<kept>", statements)
        facts.tables += len(_TABLE.findall(bare))
        facts.constraints += len(_CONSTRAINT.findall(bare))
        facts.extensions |= {_name(one) for one in _EXTENSION.findall(bare)}
        facts.owners |= {_name(one) for one in _OWNER.findall(bare)}
        facts.settings |= {_name(one) for one in _SETTINGS.findall(bare)}
        if not facts.encoding and (written := _ENCODING.search(statements)):
            facts.encoding = written[1].decode()
        facts.large_objects = facts.large_objects or b"lo_create(" in bare
        self._end = (self._end + statements)[-2000:]
        return _RESTRICT.sub(b"", statements)


def _name(quoted: bytes) -> str:
    text = quoted.decode("utf-8", "replace")
    return text[1:-1].replace('""', '"') if text.startswith('"') else text
