# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong, as one small tree.

An error carries a fact (what), a place (where), a next step (hint) and the evidence gathered so far.
It is raised once, where the library is called, and becomes ``fail_json`` once, in ``edge.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class RollbackError(Exception):
    """Base of every error an operator may see.

    ``what`` is a sentence without its full stop, ``where`` names the file, host, process or URL, ``hint`` says what
    to do next, ``evidence`` is a plain dict of what was seen (merged into the module's result).
    """

    kind = "error"

    def __init__(
        self, what: str, *, where: str = "", hint: str = "", evidence: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint
        self.evidence: dict[str, Any] = dict(evidence or {})

    def __str__(self) -> str:
        """Return fact, place and hint as the text an operator reads."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.hint:
            text = f"{text.rstrip('.')}. {self.hint}"
        return text if text.endswith((".", "!", "?")) else text + "."

    def as_result(self) -> dict[str, Any]:
        """Return the keyword arguments for ``fail_json``: msg, error and the evidence."""
        error = {"kind": self.kind, "what": self.what, "where": self.where, "hint": self.hint}
        return {**self.evidence, "msg": str(self), "error": error}


class InvalidInput(RollbackError):
    """The operator's input can't be used; nothing was changed."""

    kind = "invalid_input"


class Refused(RollbackError):
    """A guard, a lock or a missing confirmation says no; nothing was changed."""

    kind = "refused"


class NotFound(RollbackError):
    """A file, process, unit or record that the input names does not exist."""

    kind = "not_found"


class Unreachable(RollbackError):
    """A component did not answer."""

    kind = "unreachable"


class DeadlinePassed(RollbackError):
    """The time given to a step ran out before its condition held."""

    kind = "deadline_passed"


class VerificationFailed(RollbackError):
    """The step was done, but what was observed afterwards is not what was promised."""

    kind = "verification_failed"


class Conflict(RollbackError):
    """Somebody or something else changed the same thing at the same time."""

    kind = "conflict"


class CommandFailed(RollbackError):
    """A child process ended with a non-zero code or could not be started."""

    kind = "command_failed"
