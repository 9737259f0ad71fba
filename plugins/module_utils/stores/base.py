# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where runs, archives, backups and the ledger are kept: one interface, one file per place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True)
class Stat:
    """What a store says about one object: its name, bytes and time of the last change (ISO 8601 UTC)."""

    name: str
    size: int
    modified: str


class Store(ABC):
    """A flat space of named objects; a name is a relative path with forward slashes."""

    #: where the store is, for a person to read
    place: str

    @abstractmethod
    def put(self, name: str, content: bytes) -> str:
        """Replace an object in one step and return where it lies; raises RollbackError when it can't be written."""

    @abstractmethod
    def write(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a stream for a new object of any size: ``with store.write(name) as stream: stream.write(...)``.

        The object appears whole and durable when the block ends, or not at all when the block raises. Raises Conflict
        when there is one of that name already, RollbackError when it can't be written.
        """

    @abstractmethod
    def append(self, name: str, extend: Callable[[bytes], bytes]) -> None:
        """Add what ``extend(content so far)`` returns to the object's end, durably, one writer at a time.

        A store without an append (an object store) reads, extends and replaces on the condition that nobody else
        did meanwhile. Raises RollbackError when it can't be written; nothing is added then.
        """

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """Return a stream of the object's bytes, to be closed by the caller; raises NotFound when there is none."""

    @abstractmethod
    def list(self, prefix: str = "") -> list[Stat]:
        """Return the objects whose name starts with ``prefix``, sorted by name."""

    @abstractmethod
    def stat(self, name: str) -> Stat | None:
        """Return what is known of one object, None when there is none."""

    def checksum(self, name: str) -> str:
        """Return a checksum that the store itself keeps of an object, as ``<kind>:<value>``; empty without any."""
        return ""

    def read(self, name: str) -> bytes:
        """Return the object's bytes; raises NotFound when there is none."""
        with self.open(name) as stream:
            return stream.read()
