# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find and edit one value in an env file; every other byte stays. Pure: bytes in, bytes out.

Two dialects. ``systemd`` is what EnvironmentFile= reads (systemd.exec(5), src/basic/env-file.c): ``#`` and ``;`` start
a comment only at the start of a line, ``export X=`` assigns nothing, a backslash continues a line. ``dotenv`` is what
python-dotenv and a shell's ``. file`` both read: ``export``, quotes, and comments after a value. In both, the last
assignment of a name wins. Real readers take a byte order mark as part of the first name, and so does this one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..core.errors import InvalidInput
from ..core.files import decode
from ..core.redact import secret_values

SYSTEMD = "systemd"
#: before version 254 a comment line that ends in a backslash went on in the next line
SYSTEMD_BEFORE_254 = "systemd<254"
DOTENV = "dotenv"
DIALECTS = (SYSTEMD, SYSTEMD_BEFORE_254, DOTENV)

_BLANK = " \t"
_PLAIN = re.compile(r"[A-Za-z0-9_.,:/+@%-]*")
_QUOTABLE = re.compile(r"[^\"'\\$`\x00-\x1f\x7f\x85\u2028\u2029]*")
_DOTENV_KEY = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=([ \t]*)")
#: what a shell would not take as the plain end of an assignment
_SHELL_SPECIAL = re.compile(r"[ \t;&|<>()\"'\\$`]")
_DOTENV_ESCAPE = re.compile(r"\\([\"\\$`\n])")


@dataclass(frozen=True)
class Assignment:
    """One assignment: name, value as a reader sees it, its line (from 1), where its scalar stands (characters).

    ``quote`` is the quote around the whole scalar; empty when it has none or is put together from pieces. ``plain``
    is whether the scalar can be replaced where it stands; if not, a later assignment has to win over it.
    """

    key: str
    value: str
    line: int
    start: int
    end: int
    quote: str = ""
    plain: bool = True


def assignments(content: bytes, dialect: str, where: str = "") -> list[Assignment]:
    """Return every assignment in the order of the file.

    Raises InvalidInput when the bytes are not UTF-8 or a quote is never closed.
    """
    return _scan(decode(content, where), dialect, where)


def read(content: bytes, key: str, dialect: str, where: str = "") -> Assignment | None:
    """Return the assignment of ``key`` that wins (the last), None when there is none; raises as ``assignments``."""
    found = [item for item in assignments(content, dialect, where) if item.key == key]
    return found[-1] if found else None


def secrets(content: bytes, dialect: str, where: str = "") -> list[str]:
    """Return the values under names of secrets, to be hidden wherever they turn up; raises as ``assignments``."""
    return secret_values({item.key: item.value for item in assignments(content, dialect, where)})


def assign(content: bytes, key: str, value: str, dialect: str, where: str = "") -> bytes:
    """Return ``content`` in which ``key`` has ``value``: the scalar that wins is replaced, or a line is added.

    Quote style, blanks, comments, line ends, a missing last line end and a byte order mark stay as they are.
    Raises InvalidInput as ``assignments``, and for a value that needs escapes (quotes, ``$``, line ends).
    """
    if not _QUOTABLE.fullmatch(value):
        raise InvalidInput("a flag's word must not hold quotes, backslashes, '$' or control characters", where=where)
    text = decode(content, where)
    before = _scan(text, dialect, where)
    winner = next((item for item in reversed(before) if item.key == key), None)
    if winner is not None and winner.value == value:
        return content
    candidates = [_replaced(text, winner, value)] if winner and winner.plain else _added(text, key, value)
    expected = [(item.key, value if item is winner and item.plain else item.value) for item in before]
    if not (winner and winner.plain):
        expected.append((key, value))
    for edited in candidates:
        if expected == [(item.key, item.value) for item in _scan(edited, dialect, where)]:
            return edited.encode("utf-8")
    raise InvalidInput(f"'{key}' can't be set without touching its neighbours", where=where, hint="Edit it by hand.")


def _scalar(value: str, quote: str) -> str:
    quote = quote or ("" if _PLAIN.fullmatch(value) else '"')
    return f"{quote}{value}{quote}"


def _replaced(text: str, winner: Assignment, value: str) -> str:
    return text[: winner.start] + _scalar(value, winner.quote) + text[winner.end :]


def _added(text: str, key: str, value: str) -> list[str]:
    """Return the texts with one more line, the one to prefer first."""
    newline = _newline(text)
    ends_open = bool(text) and not text.endswith(("\n", "\r"))
    line = f"{key}={_scalar(value, '')}" + ("" if ends_open else newline)
    # a last line that ends in a backslash would swallow what follows it: an empty line in between ends it
    gaps = [newline, newline * 2] if ends_open else ["", newline, newline * 2]
    return [text + gap + line for gap in gaps]


def _newline(text: str) -> str:
    """Return the line end that the file uses (that of its first line)."""
    end = text.find("\n")
    return "\r\n" if end > 0 and text[end - 1] == "\r" else "\n"


def _line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _never_closed(text: str, position: int, where: str) -> InvalidInput:
    return InvalidInput(
        f"the quote opened in line {_line_of(text, position)} is never closed", where=where, hint="Close it first."
    )


def _scan(text: str, dialect: str, where: str) -> list[Assignment]:
    if dialect == DOTENV:
        return _scan_dotenv(text, where)
    return _scan_systemd(text, where, comments_go_on=dialect == SYSTEMD_BEFORE_254)


# --- systemd -----------------------------------------------------------------------------------------------------


def _scan_systemd(text: str, where: str, *, comments_go_on: bool) -> list[Assignment]:
    found: list[Assignment] = []
    place, end = 0, len(text)
    while place < end:
        letter = text[place]
        if letter in " \t\r\n":
            place += 1
        elif letter in "#;":
            place = _skip_comment(text, place, comments_go_on)
        else:
            start = place
            place += 1
            while place < end and text[place] not in "=\r\n":
                place += 1
            if place < end and text[place] == "=":
                key = text[start:place].rstrip(_BLANK)
                value, first, last, quote, place = _systemd_value(text, place + 1, where)
                found.append(Assignment(key, value, _line_of(text, start), first, last, quote))
    return found


def _skip_comment(text: str, place: int, comments_go_on: bool) -> int:
    while place < len(text) and text[place] not in "\r\n":
        place += 2 if comments_go_on and text[place] == "\\" else 1
    return place


def _systemd_value(text: str, place: int, where: str) -> tuple[str, int, int, str, int]:
    """Return (value, start and end of the scalar, its quote, where to go on) of what follows the ``=``."""
    out: list[str] = []
    pieces: list[str] = []  # the quote of each quoted piece; "" for anything else
    first = last = -1
    bare = False  # inside an unquoted piece, where quotes are letters
    while place < len(text) and text[place] not in "\r\n":
        letter, begun = text[place], place
        if not bare and letter in "\"'":
            piece, place = _quoted(text, place, where)
            out.append(piece)
            pieces.append(letter)
        elif letter == "\\":
            bare = True
            pieces.append("")
            if place + 1 < len(text) and text[place + 1] not in "\r\n":
                out.append(text[place + 1])
            place += 2
        elif letter in _BLANK and not bare:
            place += 1
            continue
        elif letter in _BLANK:
            blanks = place
            while place < len(text) and text[place] in _BLANK:
                place += 1
            if place < len(text) and text[place] not in "\r\n":
                out.append(text[blanks:place])
            continue
        else:
            bare = True
            pieces.append("")
            out.append(letter)
            place += 1
        first = begun if first < 0 else first
        last = min(place, len(text))
    if first < 0:
        first = last = place
    return "".join(out), first, last, pieces[0] if len(pieces) == 1 else "", place


def _quoted(text: str, place: int, where: str) -> tuple[str, int]:
    """Return what a quoted piece that opens at ``place`` stands for, and the place after its closing quote."""
    quote, opened = text[place], place
    out: list[str] = []
    place += 1
    while place < len(text):
        letter = text[place]
        if letter == quote:
            return "".join(out), place + 1
        if letter == "\\" and quote == '"' and place + 1 < len(text):
            escaped = text[place + 1]
            if escaped in '"\\`$':
                out.append(escaped)
            elif escaped != "\n":
                out.append(letter + escaped)
            place += 2
            continue
        out.append(letter)
        place += 1
    raise _never_closed(text, opened, where)


# --- dotenv ------------------------------------------------------------------------------------------------------


def _scan_dotenv(text: str, where: str) -> list[Assignment]:
    found: list[Assignment] = []
    place = 0
    while place < len(text):
        match = _DOTENV_KEY.match(text, place)
        if match is None:
            place = _next_line(text, place)
            continue
        start = match.end()
        quote = text[start : start + 1]
        closed = False
        if quote and quote in "\"'":
            value, end = _dotenv_quoted(text, start, where)
            closed = text[end : end + 1] in ("", " ", "\t", "\r", "\n")  # else it is put together from pieces: "a"b
        if not closed:
            quote, end = "", _bare_end(text, start)
            value = text[start:end]
            if not value:
                start = end = match.start(2)
        plain = closed or not _SHELL_SPECIAL.search(value)
        found.append(Assignment(match[1], value, _line_of(text, match.start(1)), start, end, quote, plain))
        place = _next_line(text, end)
    return found


def _next_line(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end + 1


def _bare_end(text: str, start: int) -> int:
    """Return where an unquoted value ends: at a blank and ``#``, or at the line's end; blanks before it are not it."""
    end = text.find("\n", start)
    line = text[start : len(text) if end < 0 else end]
    if line.startswith("#"):
        return start
    comment = re.search(r"[ \t]+#", line)
    return start + len((line[: comment.start()] if comment else line).rstrip(" \t\r"))


def _dotenv_quoted(text: str, start: int, where: str) -> tuple[str, int]:
    quote, place = text[start], start + 1
    while place < len(text) and text[place] != quote:
        place += 2 if quote == '"' and text[place] == "\\" else 1
    if place >= len(text):
        raise _never_closed(text, start, where)
    raw = text[start + 1 : place]
    if quote == '"':
        raw = _DOTENV_ESCAPE.sub(lambda match: "" if match[1] == "\n" else match[1], raw)
    return raw, place + 1
