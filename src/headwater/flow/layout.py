"""A graph as SVG: a column for each distance, boxes that may link to pages, lines that bend between."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import msgspec

WIDTH, HEIGHT = 214, 54
GAP_X, GAP_Y = 84, 16
MOST = 40
"""Boxes that are drawn of one column."""

STYLE = (
    "svg{background:#fff}text{fill:#1b1f24;font:13px system-ui,sans-serif}.kind,.role{fill:#656d76;font-size:11px}"
    "rect{fill:#f6f8fa;stroke:#d0d7de}.start rect{stroke:#0969da;stroke-width:2.5}"
    "path{fill:none;stroke:#656d76;stroke-width:1.4}path.near{stroke-dasharray:3 3}"
)
"""What the pages' own style sheet says of a graph, for a file that stands by itself."""


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """A box: what it is called, the small line above that, what a pointer shows, and the page it links to."""

    id: str
    title: str
    kind: str
    column: int
    hover: str = ""
    link: str = ""
    start: bool = False


class Line(msgspec.Struct, frozen=True):
    """A line from one box to another, with what stands at its end."""

    start: str
    end: str
    text: str = ""
    near: bool = False


def svg(boxes: Sequence[Box], lines: Sequence[Line], label: str, *, styled: bool = False) -> str:
    """Return the SVG of a graph; ``label`` is read to those who hear. ``styled``: it brings its own style along."""
    columns: dict[int, list[Box]] = {}
    for box in boxes:
        columns.setdefault(box.column, []).append(box)
    columns = {number: found[:MOST] for number, found in sorted(columns.items())}
    _order(columns, lines)
    places: dict[str, tuple[int, int]] = {}
    tallest = max((len(found) for found in columns.values()), default=1)
    for column, found in enumerate(columns.values()):
        top = (tallest - len(found)) * (HEIGHT + GAP_Y) // 2
        for row, box in enumerate(found):
            places[box.id] = (column * (WIDTH + GAP_X) + 2, top + row * (HEIGHT + GAP_Y) + 2)
    width = max(1, len(columns)) * (WIDTH + GAP_X) - GAP_X + 4
    height = tallest * (HEIGHT + GAP_Y) - GAP_Y + 4
    parts = [f"<style>{STYLE}</style>"] if styled else []
    parts += [_line(places, line) for line in lines]
    parts += [_box(box, *places[box.id]) for found in columns.values() for box in found]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="group" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def columns_of(names: Sequence[str], lines: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return for each name the column it is drawn in: one after the last that a line comes from; circles are cut."""
    before: dict[str, list[str]] = {}
    known = set(names)
    for start, end in lines:
        if start in known and start != end:
            before.setdefault(end, []).append(start)
    found: dict[str, int] = {}

    def place(name: str, above: frozenset[str]) -> int:
        if name not in found:
            earlier = [place(each, above | {name}) for each in before.get(name, ()) if each not in above | {name}]
            found[name] = 1 + max(earlier, default=-1)
        return found[name]

    for name in names:
        place(name, frozenset())
    return found


def _order(columns: dict[int, list[Box]], lines: Sequence[Line]) -> None:
    """Put each box near what it is linked to in the column before, so that fewer lines cross."""
    linked: dict[str, list[str]] = {}
    for line in lines:
        linked.setdefault(line.end, []).append(line.start)
    rank: dict[str, float] = {}
    for boxes in columns.values():

        def middle(box: Box) -> float:
            before = [rank[name] for name in linked.get(box.id, []) if name in rank]
            return sum(before) / len(before) if before else 0.0

        boxes.sort(key=middle)
        rank.update({box.id: float(row) for row, box in enumerate(boxes)})


def _line(places: dict[str, tuple[int, int]], line: Line) -> str:
    if line.start not in places or line.end not in places:
        return ""
    (x1, y1), (x2, y2) = places[line.start], places[line.end]
    x1, y1, y2 = x1 + WIDTH, y1 + HEIGHT // 2, y2 + HEIGHT // 2
    if x2 < x1:  # within a column: around the right side
        bend = f"M{x1} {y1} C{x1 + 40} {y1} {x2 + WIDTH + 40} {y2} {x2 + WIDTH} {y2}"
        return f'<path class="near" d="{bend}"/>'
    middle = (x1 + x2) // 2
    text = f'<text class="role" x="{x2 - 6}" y="{y2 - 5}" text-anchor="end">{escape(line.text[:14])}</text>'
    kind = ' class="near"' if line.near else ""
    return f'<path{kind} d="M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}"/>{text if line.text else ""}'


def _box(box: Box, x: int, y: int) -> str:
    body = (
        f'<g class="{"start" if box.start else ""}"><title>{escape(box.hover or box.title)}</title>'
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
        f'<text class="kind" x="{x + 11}" y="{y + 18}">{escape(_cut(box.kind, 34))}</text>'
        f'<text x="{x + 11}" y="{y + 38}">{escape(_cut(box.title, 27))}</text></g>'
    )
    if not box.link:
        return body
    return f'<a href="{escape(box.link)}" aria-label="{escape(box.kind)} {escape(box.title)}">{body}</a>'


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
