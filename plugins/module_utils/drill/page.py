# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history of the drills as one HTML page that needs nothing but itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from typing import Any

from .ledger import Entry, Ledger

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 220, 56, 34, 18, 90
NEWEST = 200
#: the width that the name of a quarter needs
NAME = 64
STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --dim: #5d6878; --paper: #fff; --card: #f5f7fa; --line: #d5dbe3;
  --good: #1a7f4b; --bad: #b3261e; --some: #95620a; --mark: #2558b8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --dim: #9aa5b5; --paper: #14181f; --card: #1d232d;
  --line: #38414f; --good: #58c98d; --bad: #ff8a80; --some: #eab54c; --mark: #86aefa; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; } p { margin: .25rem 0 .75rem; color: var(--dim); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--dim); font-weight: 600; font-size: .85rem; } td.number, th.number { text-align: right; }
td { overflow-wrap: anywhere; } td.short { white-space: nowrap; }
figure { margin: 0; padding: .75rem; background: var(--card); border-radius: 6px; }
svg { display: block; width: 100%; height: auto; } svg text { fill: var(--dim); font: 12px system-ui, sans-serif; }
.good { color: var(--good); } .bad { color: var(--bad); } .some { color: var(--some); }
circle.good { fill: var(--good); } circle.bad { fill: var(--bad); } circle.some { fill: var(--some); }
.axis { stroke: var(--line); } .way { stroke: var(--mark); fill: none; stroke-width: 1.5; }
.budget { stroke: var(--bad); stroke-dasharray: 5 4; } svg text.budget { fill: var(--bad); stroke: none; }
ul { padding-left: 1.2rem; margin: .25rem 0; }
"""
KINDS = {"passed": "good", "recovered": "some", "issues found": "some", "failed": "bad", "refused": "some"}


def page(ledger: Ledger, rows: Sequence[Mapping[str, Any]], today: date) -> str:
    """Return the page; ``rows`` are those of ``status.rows`` as plain data."""
    overdue = sum(bool(row["overdue"]) for row in rows)
    body = [
        "<h1>Rollback drills</h1>",
        f"<p>{len(ledger.entries)} drills in the ledger, {overdue} overdue, as of {today}.</p>",
        _problems(ledger.problems),
        "<h2>What is due</h2>" + _due(rows) if rows else "",
    ]
    environments = sorted({str(one["environment"]) for one in ledger.entries})
    for environment in environments:
        body.append(f"<h2>{escape(environment)}</h2>")
        theirs = [one for one in ledger.entries if one["environment"] == environment]
        for exercise in dict.fromkeys(str(one["exercise"]) for one in theirs):
            runs = [one for one in theirs if one["exercise"] == exercise]
            body.append(f"<h3>{escape(exercise)}</h3>{_plot(exercise, runs)}")
        body.append("<h3>Every drill</h3>" + _table(theirs))
    if not environments:
        body.append("<p>No drill has been done yet.</p>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Rollback drills</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _problems(problems: Mapping[str, str]) -> str:
    if not problems:
        return ""
    lines = "".join(f"<li>{escape(name)}: {escape(words)}</li>" for name, words in problems.items())
    return f'<h2 class="bad">Files of the ledger that are not counted</h2><ul>{lines}</ul>'


def _due(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for row in rows:
        word = '<span class="bad">overdue</span>' if row["overdue"] else '<span class="good">in time</span>'
        quarter = f"Q{row['quarter']}" if row["quarter"] else "–"
        lines.append(
            _line(
                [escape(row["environment"]), escape(row["exercise"]), quarter, row["last_passed"] or "never",
                 row["due"] or "now", word, escape(row["why"])]
            )
        )  # fmt: skip
    return _rows(["Environment", "Drill", "Quarter", "Last passed", "Due", "", "Asked for"], lines)


def _table(entries: Sequence[Entry]) -> str:
    lines = []
    for one in list(reversed(entries))[:NEWEST]:
        kind = KINDS.get(str(one["result"]), "some")
        issues = "<br>".join(escape(str(issue)) for issue in one.get("issues") or [])
        lines.append(
            _line(
                [
                    f"{escape(str(one['started'])[:16].replace('T', ' '))}",
                    escape(str(one["exercise"])),
                    f'<span class="{kind}">{escape(str(one["result"]))}</span>',
                    _seconds(one.get("time_to_effect")),
                    _seconds(one.get("spent")),
                    _seconds(one.get("budget")),
                    escape(str(one.get("who") or "")),
                    issues,
                ],
                numbers=(3, 4, 5),
            )
        )
    heads = ["Begun (UTC)", "Drill", "Result", "Effect", "Response", "Budget", "By", "Issues"]
    return _rows(heads, lines, numbers=(3, 4, 5))


def _rows(heads: Sequence[str], lines: Sequence[str], numbers: Sequence[int] = ()) -> str:
    cells = "".join(f"<th{' class=number' if place in numbers else ''}>{head}</th>" for place, head in enumerate(heads))
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _line(cells: Sequence[str], numbers: Sequence[int] = ()) -> str:
    last = len(cells) - 1
    told = (
        f'<td class="{"number short" if place in numbers else "short" if place < last else "long"}">{cell}</td>'
        for place, cell in enumerate(cells)
    )
    return f"<tr>{''.join(told)}</tr>"


def _seconds(value: Any) -> str:
    return f"{float(value):.1f} s" if isinstance(value, (int, float)) else "–"


def _plot(exercise: str, entries: Sequence[Entry]) -> str:
    """Return the times of one exercise by quarter, as SVG: the response, and the budget as a line across.

    Drills that never came to a response have no time and are not in it.
    """
    timed = [one for one in entries if isinstance(one.get("spent"), (int, float))]
    if not timed:
        return "<p>No drill has come to a time yet.</p>"
    quarters = sorted({str(one["quarter"]) for one in timed})
    budget = max(float(one.get("budget") or 0) for one in timed)
    slowest = max(float(one["spent"]) for one in timed)
    # a budget far above every time would press them all flat: it is named then, not drawn
    drawn = 0 < budget <= 8 * slowest
    top = _round_up(max(slowest, budget if drawn else 0) * 1.1 or 1)
    step = (WIDTH - LEFT - RIGHT) / len(quarters)
    points = []
    for number, quarter in enumerate(quarters):
        theirs = [one for one in timed if str(one["quarter"]) == quarter]
        for turn, one in enumerate(theirs, start=1):
            x = LEFT + step * (number + turn / (len(theirs) + 1))
            points.append((x, _y(float(one["spent"]), top), one))
    every = math.ceil(NAME / step)
    named = enumerate(quarters[::-1])  # counted from the newest, whose name is always there
    parts = [_axis(top)]
    parts += [_name(WIDTH - RIGHT - step * (back + 0.5), name) for back, name in named if back % every == 0]
    if drawn:
        y = _y(budget, top)
        parts.append(f'<line class="budget" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="budget" x="{WIDTH - RIGHT + 6}" y="{y + 4:.1f}">budget {budget:g} s</text>')
    elif budget:
        parts.append(f'<text x="{WIDTH - 8}" y="{TOP - 5}" text-anchor="end">budget {budget:g} s, far above</text>')
    if len(points) > 1:
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y, dummy in points)
        parts.append(f'<polyline class="way" points="{way}"/>')
    for x, y, one in points:
        said = f"{str(one['started'])[:10]}: {one['result']}, {float(one['spent']):.1f} s"
        kind = KINDS.get(str(one["result"]), "some")
        parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{escape(said)}</title></circle>')
    title = f"Seconds of the response of {escape(exercise)} by quarter"
    view = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
    return f"<figure>{view}{''.join(parts)}</svg></figure>"


def _axis(top: float) -> str:
    lines = []
    for share in (0, 0.5, 1):
        y = _y(top * share, top)
        lines.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{top * share:g} s</text>')
    return "".join(lines)


def _name(x: float, quarter: str) -> str:
    return f'<text x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="middle">{escape(quarter)}</text>'


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top


def _round_up(value: float) -> float:
    """Return the next number that reads well on an axis: 1, 2, 4, 5 or 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return float(next((power * one for one in (1, 2, 4, 5, 8, 10) if power * one >= value), 10 * power))
