# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: the picture of a run as inline SVG. Its colours come from the page's CSS classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from .budget import Budget
from .times import Bar, Times

WIDTH = 960
LEFT = 150
RIGHT = 24
LANE = 30
MOST_HOSTS = 12
RATE_HEIGHT = 120


def timeline(when: Times, budget: Budget) -> str:
    """Return the SVG: budget used, phases per host, dual-write lines per second, and the moments that matter."""
    start = _first_second(when)
    scale = _Scale(start, max(when.end, 1.0))
    hosts = _hosts(when.bars)
    shown = hosts[:MOST_HOSTS]
    parts: list[str] = []
    y = _budget(parts, budget)
    marks_top = y
    y = _marks_space(when, scale, y)
    lanes_top = y
    y = _lanes(parts, when.bars, shown, scale, y)
    if len(hosts) > len(shown):
        parts.append(_text(LEFT, y + 12, f"and {len(hosts) - len(shown)} more hosts, in the tables below", "t-soft"))
        y += 24
    y = _rate(parts, when, scale, y)
    _axis(parts, scale, lanes_top, y)
    _marks(parts, when, scale, marks_top, y)
    height = y + 30
    return (
        f'<svg class="timeline" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-labelledby="tl-title tl-desc" '
        f'xmlns="http://www.w3.org/2000/svg"><title id="tl-title">Timeline of the run</title>'
        f'<desc id="tl-desc">{escape(describe(when, budget))}</desc>{"".join(parts)}</svg>'
    )


def describe(when: Times, budget: Budget) -> str:
    """Return in words what the picture shows, for those who can't see it."""
    said = [f"Budget: {budget.sentence()}."]
    for span in when.bars[:40]:
        name = f"{span.phase} on {span.host}" if span.host else span.phase
        said.append(f"{name} from {span.start:.1f} s to {span.end:.1f} s{f', {span.trouble}' if span.trouble else ''}.")
    said += [f"{text} at {moment:.1f} s." for moment, kind, text in sorted(when.marks)]
    if when.series:
        most, last = max(count for second, count in when.series), when.series[-1][1]
        said.append(f"Dual-write lines: at most {most} per second, {last} at the end.")
    return " ".join(said)


class _Scale:
    """Seconds to x."""

    def __init__(self, first: float, last: float) -> None:
        self.first, self.last = first, last

    def x(self, second: float) -> float:
        inside = min(max(second, self.first), self.last)
        return LEFT + (inside - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT)

    def steps(self) -> list[float]:
        rough = (self.last - self.first) / 8
        size = 10 ** math.floor(math.log10(rough))
        step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough)
        first = math.ceil(self.first / step)
        return [number * step for number in range(first, math.floor(self.last / step) + 1)]


def _first_second(when: Times) -> float:
    # a little of the time before the command, so that the rate that falls can be seen
    before = [second for second, count in when.series if second < 0]
    return max(min(before), -0.35 * when.end) if before else 0.0


def _hosts(bars: Sequence[Bar]) -> list[str]:
    named = [span.host for span in sorted(bars, key=lambda span: not span.trouble) if span.host]
    return list(dict.fromkeys(["", *named]))


def _names(hosts: Sequence[str]) -> dict[str, str]:
    """Return what the lanes are called: host names without their domain where that tells them apart."""
    short = {host: host.partition(".")[0] for host in hosts}
    clear = len(set(short.values())) == len(short) and not any(name.isdigit() for name in short.values())
    return {host: (short[host] if clear else host) or "controller" for host in hosts}


def _text(x: float, y: float, text: str, kind: str = "t", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, kind: str, tip: str = "", radius: float = 3) -> str:
    inner = f"<title>{escape(tip)}</title>" if tip else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1.5):.1f}" height="{height:.1f}" rx="{radius}" '
        f'class="{kind}">{inner}</rect>'
    )


def _budget(parts: list[str], budget: Budget) -> float:
    whole = max(budget.seconds, budget.spent, 1.0)
    width = WIDTH - LEFT - RIGHT
    used, limit = budget.spent / whole * width, budget.seconds / whole * width
    parts.append(_text(LEFT - 12, 21, "budget", "t-name", "end"))
    parts.append(_rect(LEFT, 8, width, 18, "b-track", radius=9))
    parts.append(_rect(LEFT, 8, max(used, 6), 18, "b-over" if budget.overrun else "b-used", budget.sentence(), 9))
    if budget.overrun:
        parts.append(f'<line x1="{LEFT + limit:.1f}" x2="{LEFT + limit:.1f}" y1="3" y2="31" class="b-limit"/>')
    said = f"{budget.spent:.1f} s used" if not budget.overrun else f"{budget.overrun:.1f} s over"
    inside = used > width * 0.8
    parts.append(
        _text(LEFT + used + (-10 if inside else 8), 21, said, "t-in" if inside else "t", "end" if inside else "start")
    )
    if not inside:
        parts.append(_text(LEFT + width - 10, 21, f"{budget.seconds:.0f} s", "t-soft", "end"))
    return 46


def _lanes(parts: list[str], bars: Sequence[Bar], hosts: Sequence[str], scale: _Scale, y: float) -> float:
    names = _names(hosts)
    for host in hosts:
        mine = [span for span in bars if span.host == host]
        if not mine:
            continue
        name = names[host]
        parts.append(_text(LEFT - 12, y + 19, name if len(name) <= 16 else name[:15] + "…", "t-name", "end"))
        parts.append(_rect(LEFT, y + 4, WIDTH - LEFT - RIGHT, LANE - 8, "lane"))
        free = 0.0
        for span in sorted(mine, key=lambda span: span.start):
            left, right = scale.x(span.start), scale.x(span.end)
            tip = f"{span.phase} {span.start:.2f} s to {span.end:.2f} s, took {span.end - span.start:.2f} s"
            known = span.phase if span.phase in ("open", "flag", "verify", "lock") else "other"
            parts.append(_rect(left, y + 4, right - left, LANE - 8, "p-failed" if span.trouble else f"p-{known}", tip))
            for part, begun, ended in span.parts:
                if part == "roll" and not span.trouble:
                    width = scale.x(ended) - scale.x(begun)
                    parts.append(
                        _rect(scale.x(begun), y + 4, width, LANE - 8, "p-roll", f"roll {ended - begun:.2f} s", 0)
                    )
            label = f"{span.phase} {span.trouble} {span.end - span.start:.1f} s".replace("  ", " ")
            if right - left > 7.2 * len(label) + 8:
                parts.append(_text(left + 7, y + 19, label, "t-in"))
                free = right
            elif span.phase not in ("lock", "unlock") and left >= free - 1 and _room(mine, span, scale, len(label)):
                parts.append(_text(right + 6, y + 19, label, "t-soft"))
                free = right + 7.2 * len(label) + 6
            elif span.phase not in ("lock", "unlock") and left - 7.2 * len(label) - 6 > free:
                parts.append(_text(left - 6, y + 19, label, "t-soft", "end"))
                free = right
            else:
                free = max(free, right)
        y += LANE
    return y


def _room(bars: Sequence[Bar], span: Bar, scale: _Scale, letters: int) -> bool:
    right = scale.x(span.end)
    need = right + 7.2 * letters + 10
    return need < WIDTH - RIGHT and not any(right - 1 <= scale.x(one.start) < need for one in bars if one is not span)


def _rate(parts: list[str], when: Times, scale: _Scale, y: float) -> float:
    y += 14
    if not when.series:
        parts.append(_text(LEFT, y + 12, "no log probe returned a rate of dual-write lines", "t-soft"))
        return y + 24
    inside = [(second, count) for second, count in when.series if second + 1 > scale.first and second < scale.last]
    most = max((count for second, count in inside), default=1) or 1
    parts.append(_text(LEFT - 12, y + 14, "dual-write", "t-name", "end"))
    parts.append(_text(LEFT - 12, y + 30, "log lines / s", "t-soft", "end"))
    floor = y + RATE_HEIGHT
    for value in (most, 0):
        level = floor - value / most * (RATE_HEIGHT - 8)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{level:.1f}" y2="{level:.1f}" class="grid"/>')
        parts.append(
            _text(
                LEFT - 12,
                level + (4 if value == 0 else 44),
                str(value) if value == 0 else f"max {most}",
                "t-soft",
                "end",
            )
        )
    path, previous = [f"M{scale.x(inside[0][0]):.1f},{floor:.1f}" if inside else ""], None
    for second, count in inside:
        level = floor - count / most * (RATE_HEIGHT - 8)
        if previous is not None and second > previous:
            path.append(f"L{scale.x(previous):.1f},{floor:.1f}L{scale.x(second):.1f},{floor:.1f}")
        path.append(f"L{scale.x(second):.1f},{level:.1f}L{scale.x(second + 1):.1f},{level:.1f}")
        previous = second + 1
    if previous is not None:
        path.append(f"L{scale.x(previous):.1f},{floor:.1f}Z")
        tip = f"<title>dual-write log lines per second, at most {most}</title>"
        parts.append(f'<path d="{"".join(path)}" class="rate">{tip}</path>')
    return floor


def _axis(parts: list[str], scale: _Scale, top: float, bottom: float) -> None:
    lines = []
    for second in scale.steps():
        x = scale.x(second)
        lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" class="grid"/>')
        label = "command" if abs(second) < 1e-9 else f"{second:g} s"
        parts.append(_text(x, bottom + 18, label, "t-soft", "middle"))
    parts[0:0] = lines


def _rows(when: Times, scale: _Scale) -> list[tuple[float, str, str, int, str]]:
    """Return (x, kind, label, row, anchor) of the marks; labels that would overlap go to another row."""
    ends: list[float] = []
    placed = []
    for moment, kind, text in sorted(when.marks):
        label = f"{text} {moment:.1f} s"
        x, width = scale.x(moment), 6.6 * len(label)
        anchor = "end" if x + width > WIDTH - 4 else "start"
        left = x - width if anchor == "end" else x
        row = next((number for number, end in enumerate(ends) if left > end + 8), len(ends))
        ends[row : row + 1] = [left + width]
        placed.append((x, kind, label, row, anchor))
    return placed


def _marks_space(when: Times, scale: _Scale, y: float) -> float:
    placed = _rows(when, scale)
    return y + 17 * (max(mark[3] for mark in placed) + 1) + 6 if placed else y


def _marks(parts: list[str], when: Times, scale: _Scale, top: float, bottom: float) -> None:
    for x, kind, label, row, anchor in _rows(when, scale):
        y = top + 12 + 17 * row
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 9:.1f}" y2="{bottom:.1f}" class="m-{kind}"/>')
        parts.append(_text(x + (-5 if anchor == "end" else 5), y, label, f"t-mark t-{kind}", anchor))
