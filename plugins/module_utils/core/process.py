# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a child process: argv as a list, an environment of its own, a deadline, the exit code read."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .deadline import Deadline
from .errors import CommandFailed, DeadlinePassed


@dataclass(frozen=True)
class Finished:
    """How a child ended: exit code and its two outputs as text (undecodable bytes replaced)."""

    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str

    def last_words(self, limit: int = 300) -> str:
        """Return the end of stderr, or of stdout when stderr is empty, on one line."""
        text = self.stderr.strip() or self.stdout.strip()
        return " ".join(text.split())[-limit:]


def run(
    argv: Sequence[str],
    deadline: Deadline,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: str | None = None,
    user: int | None = None,
    group: int | None = None,
    groups: Sequence[int] | None = None,
    ok: Sequence[int] | None = (0,),
    where: str = "",
) -> Finished:
    """Run ``argv`` to its end and return how it ended.

    ``environ`` replaces the whole environment when given. ``ok`` lists the exit codes that are no failure, None
    accepts all. The child runs in its own session, so that on a passed deadline its whole group is killed.
    Raises CommandFailed (can't be started, or bad exit code) and DeadlinePassed.
    """
    name = where or os.path.basename(argv[0])
    as_other: dict[str, object] = {}
    if user is not None and user != os.geteuid():
        as_other = {"user": user, "group": group, "extra_groups": list(groups or ())}
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if environ is None else dict(environ),
            cwd=cwd,
            start_new_session=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            **as_other,  # type: ignore[call-overload]
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CommandFailed(f"the command '{argv[0]}' can't be started: {reason}", where=name) from error
    try:
        stdout, stderr = child.communicate(stdin, timeout=max(deadline.left(), 0.001))
    except subprocess.TimeoutExpired as expired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        raise DeadlinePassed(
            f"the command '{argv[0]}' was still running after {deadline.seconds:.0f} s and was killed", where=name
        ) from expired
    finished = Finished(tuple(argv), child.returncode, stdout, stderr)
    if ok is not None and finished.rc not in ok:
        words = finished.last_words()
        raise CommandFailed(
            f"the command '{argv[0]}' ended with {finished.rc}" + (f": {words}" if words else ""),
            where=name,
            evidence={"rc": finished.rc},
        )
    return finished
