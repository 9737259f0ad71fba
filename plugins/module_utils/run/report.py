# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Render a run's report from its record alone."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import InvalidInput
from ..core.translate import require
from .record import Chain
from .timeline import timeline
from .view import show, view

MARKDOWN = "incident.md"
NOTICE = "notice.md"
HTML = "incident.html"


def render(chain: Chain, template_dirs: Sequence[str], path: str) -> dict[str, str]:
    """Return {file name: text} of incident.md and incident.html.

    ``template_dirs`` are searched in turn for ``<name>.j2``, so that a folder that overrides one template is enough;
    ``path`` is the run's folder as named in the commands. Raises InvalidInput when a template is missing or wrong.
    """
    shown = view(chain)
    picture = timeline(shown["times"], shown["budget"])
    values = {**shown, "path": path, "timeline": picture}
    return {name: _rendered(name, template_dirs, values) for name in (MARKDOWN, HTML)}


def notice(chain: Chain, template_dirs: Sequence[str]) -> str:
    """Return the runbook's communication template, filled: the head of incident.md. Raises as ``render`` does."""
    return _rendered(NOTICE, template_dirs, view(chain))


def _rendered(name: str, template_dirs: Sequence[str], values: Mapping[str, Any]) -> str:
    require("jinja2", "jinja2", needed_for="rendering reports")
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([str(folder) for folder in template_dirs if folder]),
        autoescape=name.endswith(".html"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(md=markdown_text, shown=show, seconds=seconds, clock=clock)
    try:
        return environment.get_template(f"{name}.j2").render(values)
    except jinja2.TemplateError as error:
        place = f"{getattr(error, 'name', None) or name + '.j2'}:{getattr(error, 'lineno', None) or '?'}"
        raise InvalidInput(
            f"the report's template can't be rendered: {type(error).__name__}: {error}",
            where=place,
            hint="The record is complete; fix the template and run run_record with state=reported.",
        ) from error


def markdown_text(value: Any) -> str:
    """Return a value as text that can't break a Markdown table or become HTML."""
    text = html.escape(" ".join(show(value, 600).split()), quote=False)
    for char in "\\`|*_[]#":
        text = text.replace(char, "\\" + char) if char in "\\`|[]" else text
    return text


def clock(value: Any) -> str:
    """Return an ISO 8601 time to the second as a person reads it, other text as it is."""
    text = str(value or "")
    return f"{text[:10]} {text[11:19]} UTC" if len(text) > 19 and text[10] == "T" and text.endswith("Z") else text


def seconds(value: Any) -> str:
    """Return seconds as a person reads them."""
    if not value and value != 0:
        return "–"
    try:
        return f"{float(value):.1f} s" if float(value) < 100 else f"{float(value):.0f} s"
    except (TypeError, ValueError):
        return "–"
