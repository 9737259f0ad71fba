# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands where in one Compose file: services, their environment and env_file, with places. Pure: text in.

PyYAML's nodes know where a scalar stands, and an alias is the very node that its anchor names, so that a value shared
by an anchor or a merge key (``<<``) has one place.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.errors import InvalidInput
from ..core.files import decode
from ..core.translate import require

#: what stands before a node's text and is not it: an anchor or a tag
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)+")
_BOOLEANS = re.compile(r"true|false", re.IGNORECASE)
_NOTHING = ("", "~", "null", "Null", "NULL")
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Scalar:
    """A text that stands in a file: what a reader sees, and the characters from ``start`` to ``end`` that say it.

    ``value`` is None for a name without a value (the value is that of the shell then). ``exact`` is whether the
    characters are the value itself, without escapes, so that a part of them can be replaced.
    """

    path: str
    value: str | None
    line: int
    start: int
    end: int
    exact: bool
    plain: bool = False


@dataclass(frozen=True)
class Entry:
    """One variable of a service's environment, in map or list syntax."""

    key: str
    scalar: Scalar


@dataclass(frozen=True)
class Insertion:
    """Where one more variable can be put into a service's own environment: before its first entry."""

    path: str
    line: int
    start: int
    column: int
    syntax: str  # "map" or "list"
    flow: bool  # {A: 1} or [A=1]


@dataclass(frozen=True)
class Extended:
    """What a service extends: another one, of the same file or of the one that ``file`` names, as it is written."""

    service: str
    file: str | None
    line: int


class ComposeFile:
    """One file. Raises InvalidInput when it is not UTF-8 or no YAML mapping."""

    def __init__(self, path: str, content: bytes) -> None:
        self.path = path
        self.text = decode(content, path)
        self.root = self._composed()
        found = self._child(self.root, "services")
        self.services: dict[str, Any] = {}
        if found is not None:
            self.services = {key: value for key, dummy, value in self._pairs(found)}

    def _composed(self) -> Any:
        require("yaml", "PyYAML", needed_for="the platform compose")
        import yaml

        try:
            root = _root(yaml, self.text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = f" in line {mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or "it can't be read"
            raise InvalidInput(f"the file is no YAML{place}: {problem}", where=self.path) from error
        if root is None or root.id != "mapping":
            raise InvalidInput("the file is no Compose file: it has no services", where=self.path)
        return root

    def extended(self, service: str) -> Extended | None:
        """Return what the service extends, None when it extends nothing."""
        node = self._child(self.services.get(service), "extends")
        base = node if node is None or node.id == "scalar" else self._child(node, "service")
        if node is None or base is None:
            return None
        other = self._child(node, "file")
        return Extended(str(base.value), None if other is None else str(other.value), int(node.start_mark.line) + 1)

    def environment(self, service: str) -> list[Entry]:
        """Return the variables that the service's own environment gives here, the one that wins last."""
        node = self._child(self.services.get(service), "environment")
        if node is None or (node.id == "scalar" and node.value in _NOTHING):
            return []
        if node.id == "mapping":
            return [Entry(key, self._scalar(value)) for key, dummy, value in self._pairs(node)]
        if node.id != "sequence":
            raise self._wrong(node, f"the environment of '{service}' is neither a mapping nor a list")
        return [self._item(item) for item in node.value]

    def env_files(self, service: str) -> list[str]:
        """Return the texts of the service's own env_file entries in their order, as they are written."""
        node = self._child(self.services.get(service), "env_file")
        if node is None:
            return []
        listed = node.value if node.id == "sequence" else [node]
        found = []
        for item in listed:
            one = self._child(item, "path") if item.id == "mapping" else item
            if one is None or one.id != "scalar":
                raise self._wrong(item, f"an env_file of '{service}' has no path")
            found.append(str(one.value))
        return found

    def insertion(self, service: str) -> Insertion | None:
        """Return where the service's own environment takes one more variable; None when it has none to add to."""
        node = self._child(self.services.get(service), "environment")
        if node is None or node.id == "scalar" or not node.value:
            return None
        first = node.value[0][0] if node.id == "mapping" else node.value[0]
        syntax = "map" if node.id == "mapping" else "list"
        start, column = first.start_mark.index, first.start_mark.column
        if syntax == "list" and not node.flow_style:
            begin = self.text.rindex("-", 0, start)
            start, column = begin, column - (start - begin)
        return Insertion(self.path, first.start_mark.line + 1, start, column, syntax, bool(node.flow_style))

    # --- nodes -----------------------------------------------------------------------------------------------------

    def _child(self, node: Any, name: str) -> Any:
        """Return the value that wins for a key of a mapping; None when there is none."""
        if node is None or node.id != "mapping":
            return None
        found = None
        for key, dummy, value in self._pairs(node):
            found = value if key == name else found
        if found is not None and name != "services":
            self._refuse_tag(found)
        return found

    def _pairs(self, node: Any, depth: int = 0) -> Iterator[tuple[str, Any, Any]]:
        """Walk through a mapping: (key, its node, value's node), what merge keys bring in first, so that it loses."""
        if node.id != "mapping" or depth > 20:
            raise self._wrong(node, "there is no mapping where one is expected")
        self._refuse_tag(node)
        merges = [value for key, value in node.value if key.tag == _MERGE]
        for value in merges:
            for one in reversed(value.value) if value.id == "sequence" else [value]:
                yield from self._pairs(one, depth + 1)
        for key, value in node.value:
            if key.tag != _MERGE:
                yield str(key.value), key, value

    def _refuse_tag(self, node: Any) -> None:
        if str(node.tag).startswith("!"):
            raise self._wrong(node, f"the tag {node.tag} is not followed")

    def _wrong(self, node: Any, what: str) -> InvalidInput:
        return InvalidInput(
            what,
            where=f"{self.path}:{node.start_mark.line + 1}",
            hint="Set the flag there by hand, or write it plainly.",
        )

    def _item(self, node: Any) -> Entry:
        whole = self._scalar(node)
        key, equals, value = (whole.value or "").partition("=")
        start = whole.start + len(key) + 1
        if not equals:
            return Entry(key, Scalar(self.path, None, whole.line, whole.end, whole.end, False))
        return Entry(key, Scalar(self.path, value, whole.line, start, whole.end, whole.exact))

    def _scalar(self, node: Any) -> Scalar:
        if node.id != "scalar":
            raise self._wrong(node, "a variable of an environment is no text")
        self._refuse_tag(node)
        start, end = node.start_mark.index, node.end_mark.index
        properties = _PROPERTIES.match(self.text, start, end)
        start = properties.end() if properties else start
        style = node.style or None  # the loader in C has an empty text for none
        value, plain = str(node.value), style is None
        if not plain:
            start, end = start + 1, end - 1
        told: str | None = value
        if plain and value in _NOTHING:
            told = None
        elif plain and _BOOLEANS.fullmatch(value) and value in (value.lower(), value.upper(), value.title()):
            told = value.lower()
        exact = self.text[start:end] == value and style in (None, '"', "'")
        return Scalar(self.path, told, node.start_mark.line + 1, start, end, exact, plain)


def _root(yaml: Any, text: str) -> Any:
    """Return the root node, by the loader in C where there is one: sixty times as quick, scalars at the same places.

    It doesn't count a byte order mark, and tells a mistake's line less well: these are left to the other one.
    """
    if not text.startswith("\ufeff") and hasattr(yaml, "CSafeLoader"):
        with contextlib.suppress(yaml.YAMLError):
            return yaml.compose(text, Loader=yaml.CSafeLoader)
    return yaml.compose(text, Loader=yaml.SafeLoader)
