# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which file and which characters give a service's variable its value, and how to edit just them. Pure.

A service's ``environment`` (later files win, key by key) beats its ``env_file`` (later ones win); ``${NAME}`` and a
name without a value are looked up in the shell's environment, then in the project's env files (later ones win).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..core.errors import InvalidInput
from ..core.files import decode
from . import env_file
from .compose_file import ComposeFile, Extended, Insertion, Scalar

ENVIRONMENT, ENV_FILE, VARIABLE, SHELL = "environment", "env_file", "variable", "shell"

#: how far a service is followed that extends another one
_DEPTH = 20
_WORD = re.compile(r"[A-Za-z0-9_.-]+")
_REFERENCE = re.compile(
    r"\$(?:(?P<escape>\$)|(?P<bare>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?:(?P<how>:?[-?+])(?P<rest>[^{}]*))?\})"
)


@dataclass(frozen=True)
class Place:
    """One place that gives a variable of a service: its kind, file, line, and what a reader sees there.

    ``name`` is the variable's name in that file (of a project's env file it may be another one). ``scalar`` is what to
    replace in a Compose file; None when the place can't be edited there.
    """

    kind: str
    path: str
    line: int
    value: str | None
    name: str
    start: int = 0
    scalar: Scalar | None = None

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path

    def same_as(self, other: Place) -> bool:
        """Return whether both are one place, so that an edit of one is an edit of the other."""
        mine, theirs = ((one.kind, one.path, one.start, one.line) for one in (self, other))
        return mine == theirs and (self.name == other.name or self.kind == ENVIRONMENT)


@dataclass(frozen=True)
class Sources:
    """All that Compose reads: its files, the project's env files, each (path, content), and the shell's environment.

    ``read`` returns the content of a service's env_file, None when it is missing; ``folder`` is what its path is
    relative to.
    """

    files: Sequence[tuple[str, bytes]]
    env_files: Sequence[tuple[str, bytes]]
    shell: Mapping[str, str]
    folder: str
    read: Callable[[str], bytes | None]


class Project:
    """The services of one project, as the files describe them. Raises InvalidInput for a file that can't be read."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.files = [ComposeFile(path, content) for path, content in sources.files]
        self._others: dict[str, ComposeFile] = {}
        self.variables: dict[str, Place] = {}
        for path, content in sources.env_files:
            for item in env_file.assignments(content, env_file.DOTENV, path):
                self.variables[item.key] = Place(VARIABLE, path, item.line, item.value, item.key, item.start)
        self.services = sorted({name for file in self.files for name in file.services})

    def places(self, service: str, key: str) -> list[Place]:
        """Return every place that gives the variable to the service, the one that wins last.

        Raises InvalidInput when the service is in none of the files, or extends one of a file that can't be read.
        """
        return self._all(service).get(key, [])

    def sharing(self, place: Place) -> list[tuple[str, str]]:
        """Return every (service, variable) that gets its value from this place."""
        return [
            (service, key)
            for service in self.services
            for key, places in self._all(service).items()
            if places[-1].same_as(place)
        ]

    def _all(self, service: str) -> dict[str, list[Place]]:
        if service not in self.services:
            known = f"Its services are: {', '.join(self.services)}." if self.services else ""
            raise InvalidInput(
                f"there is no service '{service}' in the project's files",
                where=", ".join(file.path for file in self.files),
                hint=f"What is included from elsewhere is not followed. {known}".strip(),
            )
        found: dict[str, list[Place]] = {}
        for path in self.env_files(service):
            content = self.sources.read(path)
            for item in env_file.assignments(content or b"", env_file.DOTENV, path):
                found.setdefault(item.key, []).append(
                    Place(ENV_FILE, path, item.line, item.value, item.key, item.start)
                )
        for file, name in self._said_of(service):
            for entry in file.environment(name):
                found.setdefault(entry.key, []).append(self._place(entry.key, entry.scalar))
        return found

    def env_files(self, service: str) -> list[str]:
        """Return the paths of the service's env_file entries, the one that wins last."""
        return [self._path(text, file) for file, name in self._said_of(service) for text in file.env_files(name)]

    def other_files(self) -> list[str]:
        """Return the paths of the files out of which a service is extended."""
        said = (file for service in self.services for file, dummy in self._said_of(service))
        return sorted({file.path for file in said if file not in self.files})

    def _said_of(self, service: str) -> list[tuple[ComposeFile, str]]:
        """Return (file, service) of everything that says something of the service, what wins last."""
        return [one for file in self.files for one in self._chain(file, service)]

    def _chain(self, file: ComposeFile, service: str) -> list[tuple[ComposeFile, str]]:
        """Return what a file says of a service after what it extends, there or in other files, the farthest first."""
        found = [(file, service)]
        while len(found) < _DEPTH:
            here, name = found[0]
            base = here.extended(name)
            if base is None:
                break
            other = here if base.file is None else self._other(here, name, base)
            if (other, base.service) in found:
                break
            found.insert(0, (other, base.service))
        return found

    def _other(self, here: ComposeFile, service: str, base: Extended) -> ComposeFile:
        path = self._path(base.file or "", here)
        if path not in self._others:
            content = self.sources.read(path)
            if content is None:
                raise InvalidInput(
                    f"the service '{service}' extends one of {path}, which can't be read",
                    where=f"{here.path}:{base.line}",
                    hint=f"Put the file there, or give '{service}' the value under its own environment.",
                )
            self._others[path] = ComposeFile(path, content)
        return self._others[path]

    def _path(self, text: str, file: ComposeFile) -> str:
        """Return the path that a file means: relative to the project, or to itself when it is only extended."""
        folder = self.sources.folder if file in self.files else os.path.dirname(file.path)
        return os.path.normpath(os.path.join(folder, self._interpolated(text)))

    def insertions(self, service: str) -> list[Insertion]:
        """Return where a variable can be added to the service's own environment, the last file's first."""
        found = [file.insertion(service) for file in reversed(self.files) if service in file.services]
        return [one for one in found if one]

    # --- interpolation ---------------------------------------------------------------------------------------------

    def _place(self, key: str, scalar: Scalar) -> Place:
        """Return the place that a scalar of an environment leads to."""
        here = Place(ENVIRONMENT, scalar.path, scalar.line, scalar.value, key, scalar.start, scalar)
        if scalar.value is None:
            return self._variable(key) or Place(VARIABLE, self._new_env_file(), 0, None, key)
        if "$" not in scalar.value:
            return here
        whole = _REFERENCE.fullmatch(scalar.value)
        if whole is None or whole["escape"]:
            value = self._interpolated(scalar.value)
            return Place(ENVIRONMENT, scalar.path, scalar.line, value, key, scalar.start)
        name, how = whole["bare"] or whole["name"], whole["how"] or ""
        given = self._variable(name)
        if "+" in how:
            value = self._interpolated(scalar.value)
            return Place(ENVIRONMENT, scalar.path, scalar.line, value, key, scalar.start)
        if given is not None and (given.value or not how.startswith(":")):
            return given
        if "-" not in how:
            return Place(VARIABLE, self._new_env_file(), 0, "", name)
        if not scalar.exact or "$" in whole["rest"]:
            value = self._interpolated(scalar.value)
            return Place(ENVIRONMENT, scalar.path, scalar.line, value, key, scalar.start)
        start, end = whole.span("rest")
        inner = Scalar(scalar.path, whole["rest"], scalar.line, scalar.start + start, scalar.start + end, True)
        return Place(ENVIRONMENT, scalar.path, scalar.line, whole["rest"], key, inner.start, inner)

    def _variable(self, name: str) -> Place | None:
        if name in self.sources.shell:
            return Place(SHELL, "the shell's environment", 0, self.sources.shell[name], name)
        return self.variables.get(name)

    def _new_env_file(self) -> str:
        """Return the project's env file that gets a variable which stands nowhere."""
        if self.sources.env_files:
            return self.sources.env_files[-1][0]
        return os.path.join(self.sources.folder, ".env")

    def _interpolated(self, text: str) -> str:
        """Return a text with its references looked up; a nested one is left, and the cross-check will tell."""

        def looked_up(found: re.Match[str]) -> str:
            if found["escape"]:
                return "$"
            place = self._variable(found["bare"] or found["name"])
            value, how = place.value if place else None, found["how"] or ""
            there = bool(value) if how.startswith(":") else value is not None
            if "+" in how:
                return found["rest"] if there else ""
            return (value or "") if there else found["rest"] if "-" in how else ""

        return _REFERENCE.sub(looked_up, text)


def replaced(content: bytes, place: Place, value: str) -> bytes:
    """Return the file's content in which this place says ``value``; every other byte stays.

    Raises InvalidInput when the place can't be edited, and for a value that would need quotes.
    """
    _require_word(value, str(place))
    if place.kind in (ENV_FILE, VARIABLE):
        return env_file.assign(content, place.name, value, env_file.DOTENV, place.path)
    if place.kind == SHELL:
        raise InvalidInput(
            f"{place.name} comes from the environment of the shell that runs this, which is no file",
            where=place.name,
            hint="Unset it there; then the project's files decide.",
        )
    scalar = place.scalar
    if scalar is None or not scalar.exact:
        raise InvalidInput(
            f"{place.name} is put together from pieces, so its value can't be edited",
            where=str(place),
            hint="Write it plainly, for instance " + f'{place.name}: "{value}".',
        )
    text = decode(content, place.path)
    word = f'"{value}"' if scalar.plain and not value[0].isalnum() or value.lower() == "null" else value
    return (text[: scalar.start] + word + text[scalar.end :]).encode("utf-8")


def inserted(content: bytes, place: Insertion, key: str, value: str) -> bytes:
    """Return the file's content with one more variable before the first one of an environment."""
    _require_word(value, f"{place.path}:{place.line}")
    text = decode(content, place.path)
    entry = f'{key}: "{value}"' if place.syntax == "map" else f"{key}={value}"
    if place.flow:
        entry += ", "
    else:
        newline = "\r\n" if "\r\n" in text else "\n"
        dash = "- " if place.syntax == "list" else ""
        entry = f"{dash}{entry}{newline}{' ' * place.column}"
    return (text[: place.start] + entry + text[place.start :]).encode("utf-8")


def _require_word(value: str, where: str) -> None:
    if not _WORD.fullmatch(value):
        raise InvalidInput(
            "a flag's word in a Compose file must be of letters, digits, '_', '.' and '-'",
            where=where,
            hint="Give other boolean_words.",
        )
