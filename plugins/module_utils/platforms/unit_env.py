# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find and edit Environment= in a unit file or drop-in; every other byte stays. Pure: bytes in, bytes out.

Follows systemd.syntax(7) and systemd.exec(5): words split at blanks, quotes around words or parts of them, lines that
go on after a backslash (comment lines in between are skipped), and an empty assignment that forgets those before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..core.errors import InvalidInput
from ..core.files import decode

_SECTION = re.compile(r"\[([^\]\n]*)\]")
_SETTING = re.compile(r"([A-Za-z]+)[ \t]*=[ \t]*")
_WORD = re.compile(r"(?:[^\s\"'\\]|\\.|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')+", re.S)
_PIECE = re.compile(r"\\(.)|\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'", re.S)
_GOES_ON = re.compile(r"\\\r?\n(?:[ \t]*[#;][^\n]*\n)*")
_PLAIN = re.compile(r"[A-Za-z0-9_.,:/+@-]*")

UNSET, PASS = "UnsetEnvironment", "PassEnvironment"


@dataclass(frozen=True)
class Place:
    """One word of Environment= in a [Service] section; ``key`` is empty for the assignment that forgets the others."""

    key: str
    value: str
    line: int
    start: int
    end: int


def places(content: bytes, where: str = "") -> list[Place]:
    """Return the words of all Environment= lines in order; raises InvalidInput when the bytes are not UTF-8."""
    text = decode(content, where)
    found: list[Place] = []
    for setting, start, end in _settings(text):
        if setting != "Environment":
            continue
        words = list(_words(text, start, end))
        if not words:
            found.append(Place("", "", _line_of(text, start), start, start))
        for first, last in words:
            key, equals, value = _plain(text[first:last]).partition("=")
            if equals:
                found.append(Place(key, value, _line_of(text, first), first, last))
    return found


def assign(content: bytes, place: Place, value: str, where: str = "") -> bytes:
    """Return ``content`` in which the word at ``place`` has ``value``, its quotes kept where that can be."""
    text = decode(content, where)
    raw = text[place.start : place.end]
    word = _quoted(place.key, value)
    quoted = re.fullmatch(r"([\"']?)" + re.escape(place.key) + r"=([\"']?)[^\"'\\]*\2\1", raw)
    if quoted and (_PLAIN.fullmatch(value) or quoted[1] or quoted[2]):
        word = f"{quoted[1]}{place.key}={quoted[2]}{value.replace('%', '%%')}{quoted[2]}{quoted[1]}"
    return (text[: place.start] + word + text[place.end :]).encode("utf-8")


def add(content: bytes | None, key: str, value: str, where: str = "") -> bytes:
    """Return a drop-in with one more assignment at its end; a new drop-in when there is no content."""
    text = "# Written by dualwrite.rollback.\n" if content is None else decode(content, where)
    if text and not text.endswith("\n"):
        text += "\n"
    last = [match[1] for match in re.finditer(r"^[ \t]*\[([^\]\n]*)\]", text, re.M)][-1:]
    section = "" if last == ["Service"] else "[Service]\n"
    return f"{text}{section}Environment={_quoted(key, value)}\n".encode()


def _quoted(key: str, value: str) -> str:
    if re.search(r"[\"'\\\x00-\x1f\x7f]", value):
        raise InvalidInput("a flag's word must not hold quotes, backslashes or control characters", where=key)
    return f'"{key}={value}"'.replace("%", "%%")


def _line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _settings(text: str) -> Iterator[tuple[str, int, int]]:
    """Walk through the settings of [Service]: name, where its value starts and ends."""
    section, place = "", 0
    while place < len(text):
        place += len(text[place:]) - len(text[place:].lstrip())
        if text[place : place + 1] in ("", "#", ";"):
            end = text.find("\n", place)
            place = len(text) if end < 0 else end + 1
            continue
        end = place
        while end < len(text) and text[end] != "\n":
            more = _GOES_ON.match(text, end)
            end = more.end() if more else end + 1
        header = _SECTION.match(text, place)
        setting = _SETTING.match(text, place)
        if header:
            section = header[1]
        elif setting and section == "Service":
            yield setting[1], setting.end(), end
        place = end + 1


def _words(text: str, place: int, end: int) -> Iterator[tuple[int, int]]:
    while place < end:
        more = _GOES_ON.match(text, place)
        if more or text[place].isspace():
            place = more.end() if more else place + 1
            continue
        word = _WORD.match(text, place, end)
        if word is None:
            return  # an open quote: systemd drops the rest of the line
        first, last = word.span()
        gap = _GOES_ON.search(text, first, last)
        if gap and not re.search(r"[\"']", text[first : gap.start()]):
            last = gap.start()
        yield first, last
        place = last


def _plain(word: str) -> str:
    """Return the word without quotes and escapes, specifiers left as they are but for %%."""
    word = _GOES_ON.sub(" ", word)

    def unquoted(match: re.Match[str]) -> str:
        inner = match[1] or match[2] or match[3] or ""
        return inner if match[1] else re.sub(r"\\(.)", r"\1", inner)

    return _PIECE.sub(unquoted, word).replace("%%", "%")
