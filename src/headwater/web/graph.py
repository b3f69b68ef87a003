"""A lineage graph as SVG: a column for each distance from the start, boxes that link to their pages."""

from __future__ import annotations

from datetime import UTC, datetime

from markupsafe import Markup

from headwater.flow.layout import Box, Line, svg
from headwater.trace import Graph, Node


def draw(graph: Graph) -> Markup:
    """Return the SVG of a graph; of a distance with very many things the first are drawn."""
    boxes = [_box(node, node.ref == graph.root) for node in graph.nodes]
    up = graph.direction == "up"
    lines = [
        Line(*((edge.child, edge.parent) if up else (edge.parent, edge.child)), text=edge.role) for edge in graph.edges
    ]
    return Markup(svg(boxes, lines, f"Lineage of {graph.root}: {len(graph.nodes)} things"))


def _box(node: Node, start: bool) -> Box:
    facts = ", ".join(f"{key} {value}" for key, value in told(node))
    return Box(
        id=node.ref,
        title=node.title,
        kind=f"{node.kind}{' (missing)' if node.missing else ''}",
        column=node.depth,
        hover=f"{node.ref}\n{facts}",
        link=address(node),
        start=start,
    )


def address(node: Node) -> str:
    """Return the page of a node; sources have none of their own."""
    kind, _, rest = node.ref.partition(":")
    pages = {"run": f"/runs/{rest}", "prediction": f"/serving/{rest}", "alarm": f"/monitoring/alarms/{rest}"}
    if kind in pages:
        return pages[kind]
    return "" if kind in ("source", "row", "object") else f"/trace?ref={node.ref}"


def told(node: Node) -> list[tuple[str, str]]:
    """Return the facts of a node as words: times as dates, groups and empty ones left out."""
    found = []
    for key, value in node.facts.items():
        if value is None or value == "" or isinstance(value, dict | list | tuple):
            continue
        if isinstance(value, int) and (key == "at" or key.endswith("_at")):
            value = f"{datetime.fromtimestamp(value / 1e6, UTC):%Y-%m-%d %H:%M}"
        elif isinstance(value, float):
            value = f"{value:.6g}"
        text = str(value)
        found.append((key.replace("_", " "), text if len(text) <= 90 else text[:89] + "…"))
    return found
