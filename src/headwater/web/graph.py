"""A lineage graph as SVG: a column for each distance from the start, boxes that link to their pages."""

from __future__ import annotations

from datetime import UTC, datetime

from markupsafe import Markup, escape

from headwater.trace import Graph, Node

WIDTH, HEIGHT = 214, 54
GAP_X, GAP_Y = 84, 16
_MOST = 40


def draw(graph: Graph) -> Markup:
    """Return the SVG of a graph; of a distance with very many things the first are drawn."""
    columns: dict[int, list[Node]] = {}
    for node in graph.nodes:
        columns.setdefault(node.depth, []).append(node)
    columns = {depth: nodes[:_MOST] for depth, nodes in sorted(columns.items())}
    _order(columns, graph)
    places: dict[str, tuple[int, int]] = {}
    tallest = max((len(nodes) for nodes in columns.values()), default=1)
    for column, nodes in enumerate(columns.values()):
        top = (tallest - len(nodes)) * (HEIGHT + GAP_Y) // 2
        for row, node in enumerate(nodes):
            places[node.ref] = (column * (WIDTH + GAP_X) + 2, top + row * (HEIGHT + GAP_Y) + 2)
    width = len(columns) * (WIDTH + GAP_X) - GAP_X + 4
    height = tallest * (HEIGHT + GAP_Y) - GAP_Y + 4
    parts = [_edge(places, edge.child, edge.parent, edge.role, graph.direction == "up") for edge in graph.edges]
    parts += [_box(node, *places[node.ref], node.ref == graph.root) for nodes in columns.values() for node in nodes]
    label = escape(f"Lineage of {graph.root}: {len(graph.nodes)} things")
    return Markup(
        f'<svg class="graph" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="group" '
        f'aria-label="{label}">{"".join(parts)}</svg>'
    )


def _order(columns: dict[int, list[Node]], graph: Graph) -> None:
    """Put each thing near what it is linked to in the column before, so that fewer lines cross."""
    linked: dict[str, list[str]] = {}
    for edge in graph.edges:
        near, far = (edge.child, edge.parent) if graph.direction == "up" else (edge.parent, edge.child)
        linked.setdefault(far, []).append(near)
    rank: dict[str, float] = {}
    for nodes in columns.values():

        def middle(node: Node) -> float:
            before = [rank[ref] for ref in linked.get(node.ref, []) if ref in rank]
            return sum(before) / len(before) if before else 0.0

        nodes.sort(key=middle)
        rank.update({node.ref: float(row) for row, node in enumerate(nodes)})


def _edge(places: dict[str, tuple[int, int]], child: str, parent: str, role: str, up: bool) -> str:
    start, end = (child, parent) if up else (parent, child)
    if start not in places or end not in places:
        return ""
    (x1, y1), (x2, y2) = places[start], places[end]
    x1, y1, y2 = x1 + WIDTH, y1 + HEIGHT // 2, y2 + HEIGHT // 2
    if x2 < x1:  # within a column: around the right side
        line = f"M{x1} {y1} C{x1 + 40} {y1} {x2 + WIDTH + 40} {y2} {x2 + WIDTH} {y2}"
        return f'<path class="near" d="{line}"/>'
    middle = (x1 + x2) // 2
    text = f'<text class="role" x="{x2 - 6}" y="{y2 - 5}" text-anchor="end">{escape(role[:14])}</text>'
    return f'<path d="M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}"/>{text}'


def _box(node: Node, x: int, y: int, start: bool) -> str:
    facts = ", ".join(f"{key} {value}" for key, value in told(node))
    body = (
        f'<g class="{"start" if start else ""}"><title>{escape(node.ref)}\n{escape(facts)}</title>'
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
        f'<text class="kind" x="{x + 11}" y="{y + 18}">{escape(node.kind)}{" (missing)" if node.missing else ""}</text>'
        f'<text x="{x + 11}" y="{y + 38}">{escape(_cut(node.title))}</text></g>'
    )
    link = address(node)
    return (
        f'<a href="{escape(link)}" aria-label="{escape(node.kind)} {escape(node.title)}">{body}</a>' if link else body
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


def _cut(title: str) -> str:
    return title if len(title) <= 27 else title[:26] + "…"
