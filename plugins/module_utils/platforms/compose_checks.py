# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be so before and after an edit of a Compose project, or nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..core.errors import InvalidInput, Refused
from .compose_containers import Container
from .compose_env import Place
from .compose_project import environment, other_files, others_changed


def require_same_files(containers: Iterable[Container], files: Sequence[str], where: str) -> None:
    """Raise Refused when the containers that run come of other files: new ones would be something else."""
    for one in containers:
        if one.running and not one.one_off and other_files(one.files, files):
            raise Refused(
                f"its container {one.name} was made from {', '.join(one.files)}, not from {', '.join(files)}, so a "
                "new one would differ in more than the flag; nothing was rolled",
                where=where,
                hint="Give the workload the option files as your deployment does.",
            )


def require_same_image(containers: Iterable[Container], reference: str, image: str, where: str) -> None:
    """Raise Refused when a new container would be of another image than those that run: that is a deployment."""
    for one in containers:
        if one.running and not one.one_off and one.image != image:
            now = f"names {_short(image)} now" if image else "is not on the engine any more"
            raise Refused(
                f"its container {one.name} is of the image {_short(one.image)}, but {reference} {now}, so a new "
                "container would differ in more than the flag; nothing was rolled",
                where=where,
                hint=f"Deploy first, or give the name back to the image that runs: docker tag {one.image} {reference}.",
            )


def _short(image: str) -> str:
    return image.partition(":")[2][:12] or image


def require_agreement(flag: str, value: str | None, places: Sequence[Place], files: Sequence[str], where: str) -> None:
    """Raise InvalidInput when Compose makes something else of a flag than we read in the files."""
    ours = places[-1].value if places else None
    if ours != value:
        raise InvalidInput(
            f"docker compose config gives {flag} as {_told(value)}, but the files say {_told(ours)}, so it can't "
            "be told which place to edit; nothing was changed",
            where=f"{where}, {places[-1] if places else files[-1]}",
            hint=f'Write it plainly in the service\'s environment, for instance {flag}: "true".',
        )


def require_meant(
    flags: Mapping[str, str],
    service: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    allowed: set[str],
    where: str,
) -> None:
    """Raise when what Compose makes of the edited files is not what was meant: InvalidInput, or Refused for others."""
    held = environment(after, service, where)
    wrong = [f"{flag} as {_told(held.get(flag))}" for flag, value in flags.items() if held.get(flag) != value]
    others = others_changed(before, after, allowed)
    if wrong:
        raise InvalidInput(
            f"with the edit, docker compose config gives {', '.join(wrong)}; it was taken back",
            where=where,
            hint="Write the flag plainly in the service's environment.",
        )
    if others:
        raise Refused(
            f"the edit would change {', '.join(others)} too; it was taken back",
            where=where,
            hint=f"List {', '.join(others)} as a workload too, or allow it by shared_with.",
        )


def _told(value: str | None) -> str:
    return "(missing)" if value is None else f"'{value}'"
