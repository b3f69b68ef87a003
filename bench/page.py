"""The report page: one small file that asks nothing of any host."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from .runner import Result
from .summary import Line, number

_STYLE = """
:root { color-scheme: light dark; --line: light-dark(#d5d9de, #3a4048); --us: light-dark(#0b62a4, #6cb6ff);
 --other: light-dark(#6b7280, #9aa4b2); --bad: light-dark(#a4161a, #ff8a80); --good: light-dark(#1b6e3c, #7ddc9a) }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.05rem; margin: 2rem 0 .3rem } .scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100% } th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line);
 text-align: left; white-space: nowrap } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
td:last-child { white-space: normal; min-width: 9rem }
tr.us td { font-weight: 600 } .missed, .failed { color: var(--bad) } .met { color: var(--good) }
svg { width: 12rem; height: 1rem; vertical-align: middle } .us svg { color: var(--us) } svg { color: var(--other) }
small, .about { color: var(--other) }
"""


def page(results: Sequence[Result], about: dict[str, Any]) -> str:
    """Return the report as HTML."""
    facts = " · ".join(f"{escape(key)}: {escape(str(value))}" for key, value in about.items())
    body = "".join(_section(result) for result in results)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Headwater beside its peers</title><style>{_STYLE}</style>"
        f'<h1>Headwater beside its peers</h1><p class="about">{facts}</p>'
        "<p>Medians over rounds; in each round everybody does the same work, one after the other. The range is the"
        " least and the greatest round: where ranges overlap, there is no difference to speak of. “Ours ÷ this” is the"
        f" median of the ratio within a round.</p>{body}</html>\n"
    )


def _section(result: Result) -> str:
    quantity = result.quantity
    better = "less is better" if quantity.better == "lower" else "more is better"
    spans = [each for line in result.lines for each in (line.least, line.greatest) if each is not None and each > 0]
    low, high = (math.log(min(spans)), math.log(max(spans))) if spans else (0.0, 1.0)
    rows = "".join(_row(line, quantity.cpu_unit, low, high) for line in result.lines)
    return (
        f"<h2>{escape(quantity.name)} <small>{escape(quantity.unit)}, {better}</small></h2>"
        '<div class="scroll"><table><thead><tr><th>who<th>what<th class="n">median<th class="n">range<th>on a log'
        ' scale<th class="n">rounds<th class="n">CPU<th class="n">ours ÷ this<th>goal</thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(line: Line, cpu_unit: str, low: float, high: float) -> str:
    head = f'<tr class="{line.role}"><td>{line.role}<td>{escape(line.name)}'
    goal = f'<td class="{"met" if ": met" in line.goal else "missed"}">{escape(line.goal)}</tr>'
    if line.failed:
        return f'{head}<td colspan="6" class="failed">failed: {escape(line.failed)}{goal}'
    assert line.median is not None and line.least is not None and line.greatest is not None
    cpu = "" if line.cpu is None else f"{number(line.cpu)} {escape(cpu_unit)}"
    ratio = "" if line.ratio is None else number(line.ratio)
    return (
        f'{head}<td class="n">{number(line.median)}<td class="n">{number(line.least)} – {number(line.greatest)}'
        f"<td>{_mark(line, low, high)}"
        f'<td class="n">{line.rounds}<td class="n">{cpu}<td class="n">{ratio}{goal}'
    )


def _mark(line: Line, low: float, high: float) -> str:
    """Return a drawing of the range and the median, 2 to 98 of 100 wide."""
    wide = max(high - low, 1e-9)
    places = [
        2 + 96 * (math.log(each) - low) / wide
        for each in (line.least, line.median, line.greatest)
        if each is not None and each > 0
    ]
    if len(places) < 3:
        return ""
    left, middle, right = places
    return (
        '<svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="M{left:.1f} 4H{right:.1f}" stroke="currentColor" stroke-width="2"/>'
        f'<path d="M{middle:.1f} 0V8" stroke="currentColor" stroke-width="1.5"/></svg>'
    )
