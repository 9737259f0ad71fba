# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep secrets out of text, dicts and diffs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

HIDDEN = "********"

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?|secret|token|api_?key|private_?key|credential|dsn|authorization", re.I
)
# every repetition before the telling part is bounded: a line of 100,000 letters must not take minutes
_URL_PASSWORD = re.compile(r"(?P<start>://[^\s/:@]{0,128}:)(?P<secret>[^\s@/]{1,512})(?P<end>@)")
_ASSIGNMENT = re.compile(
    r"(?P<name>(?:pass(?:word|wd|phrase)?(?![a-z])|secret|token|api_?key|private_?key|authorization)"
    r"[A-Za-z0-9_.-]{0,64})(?P<sep>[\"']?\s*[=:]\s*[\"']?)(?P<secret>(?:Bearer |Token |Basic )?[^\s\"',;&}]+)",
    re.I,
)


def is_secret_name(name: str) -> bool:
    """Return whether a variable of this name is likely to hold a secret."""
    return bool(_SECRET_NAME.search(name))


def secret_values(environ: Mapping[str, str]) -> list[str]:
    """Return the values under secret names: what to hide wherever it turns up. Short ones (true, 30) are none."""
    return [value for name, value in environ.items() if is_secret_name(name) and len(value) >= 8]


def redact_text(text: str, known: Iterable[str] = ()) -> str:
    """Return ``text`` with known secret values, passwords in URLs and ``name=secret`` assignments hidden."""
    for secret in sorted({value for value in known if value and len(value) >= 3}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = _URL_PASSWORD.sub(lambda m: m["start"] + HIDDEN + m["end"], text)
    return _ASSIGNMENT.sub(lambda m: m["name"] + m["sep"] + HIDDEN, text)


def redact(value: Any, known: Iterable[str] = ()) -> Any:
    """Return a copy of plain data in which every text is redacted and values under secret names are hidden."""
    known = tuple(known)
    if isinstance(value, str):
        return redact_text(value, known)
    if isinstance(value, Mapping):
        return {
            key: HIDDEN
            if isinstance(key, str) and is_secret_name(key) and isinstance(item, str) and item
            else redact(item, known)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redact(item, known) for item in value]
    return value
