"""Walking the lineage, level by level: two questions to the ledger for each, however many things stand on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from headwater.errors import InvalidInputError, NotFoundError
from headwater.ids import is_id
from headwater.operation import operation
from headwater.project import Project

from .describing import About, describe, kind_of
from .predictions import about_prediction, parents_of_prediction, served_by_version
from .values import Direction, Graph, Link, Node

if TYPE_CHECKING:
    from headwater.ledger import Tx

_EDGES = {
    "up": "SELECT child, role, parent FROM edges WHERE child IN (??)",
    "down": "SELECT child, role, parent FROM edges WHERE parent IN (??)",
}


@operation("trace.walk", needs="trace:read")
def trace(project: Project, ref: str, direction: Direction = "up", *, depth: int = 20, most: int = 2000) -> Graph:
    """Return what a thing came from (``up``) or what came from it (``down``), at most ``most`` things.

    ``ref`` is any ref that names one thing: ``prediction:ID``, ``modelversion:ID``, ``delay@v3``, ``flights@v12``,
    ``run:ID``, ``alarm:ID``... Up ends at ``source:`` refs, and at versions whose files and rows are listed.

    Raises:
        NotFoundError: there is no such thing.
        InvalidInputError: the text names nothing that has a lineage.
    """
    root = full_ref(project, ref)
    walk = _Walk(project, direction, most)
    walk.run(root, depth)
    known = describe(project, [each for each in walk.depths if kind_of(each) not in ("prediction", "predictions")])
    known |= walk.abouts
    if known.get(root) is None:
        raise NotFoundError(f"there is no {kind_of(root)} '{root.partition(':')[2]}' in this project.", ref=root)
    return Graph(
        root=root,
        direction=direction,
        nodes=tuple(_node(each, at, known.get(each)) for each, at in walk.depths.items()),
        edges=tuple(Link(child=child, role=role, parent=parent) for child, role, parent in walk.edges),
        truncated=walk.truncated,
    )


def full_ref(project: Project, ref: str) -> str:
    """Return the ref with its kind and id in front, for the short names that people use.

    Raises:
        NotFoundError: a short name that names nothing.
        InvalidInputError: a bare id, which could be anything's.
    """
    from headwater import lake, model

    kind, colon, rest = ref.partition(":")
    if kind == "model" and colon:
        return model.get_model_version(project, rest).ref
    if colon:
        if kind == "version" and not is_id(rest):
            return f"version:{lake.resolve(project, rest).id}"
        return f"{kind}:{rest.upper()}" if is_id(rest) else ref
    if "@" not in ref:
        raise InvalidInputError(
            f"'{ref}' does not say what it is: write prediction:ID, run:ID, delay@v3, flights@v12, ...", ref=ref
        )
    found = model.find_model_version(project, ref)
    return found.ref if found is not None else f"version:{lake.resolve(project, ref).id}"


class _Walk:
    """A walk in progress: things by distance, edges in the order found."""

    def __init__(self, project: Project, direction: Direction, most: int) -> None:
        self.project = project
        self.direction = direction
        self.most = most
        self.depths: dict[str, int] = {}
        self.edges: dict[tuple[str, str, str], None] = {}
        self.abouts: dict[str, About | None] = {}
        self.truncated = False

    def run(self, root: str, depth: int) -> None:
        """Walk from a root, at most ``depth`` steps."""
        self.depths[root] = 0
        level = [root]
        for distance in range(1, depth + 1):
            level = self._step(level, distance)
            if not level:
                return
        self.truncated = self.truncated or bool(self._beyond(level))

    def _step(self, level: list[str], distance: int) -> list[str]:
        reached: list[str] = []
        for child, role, parent in self._beyond(level):
            target = parent if self.direction == "up" else child
            if target not in self.depths:
                if len(self.depths) >= self.most:
                    self.truncated = True
                    continue
                self.depths[target] = distance
                reached.append(target)
            self.edges[(child, role, parent)] = None
        return reached

    def _beyond(self, level: list[str]) -> list[tuple[str, str, str]]:
        with self.project.ledger.read() as tx:
            found = _recorded(tx, self.direction, level)
        return found + self._derived(level)

    def _derived(self, level: Iterable[str]) -> list[tuple[str, str, str]]:
        """Return the edges of predictions, which are events: they are told by the events and not recorded."""
        found: list[tuple[str, str, str]] = []
        for ref in level:
            if kind_of(ref) == "prediction":
                self.abouts[ref] = about_prediction(self.project, ref)
                if self.direction == "up":
                    found += parents_of_prediction(self.project, ref)
            elif kind_of(ref) == "modelversion" and self.direction == "down":
                summary = served_by_version(self.project, ref)
                if summary is not None:
                    self.abouts[summary[0]] = summary[1]
                    found.append((summary[0], "model", ref))
        return found


def _recorded(tx: Tx, direction: Direction, level: list[str]) -> list[tuple[str, str, str]]:
    rows = tx.all_in(_EDGES[direction], level)
    return sorted((row.child, row.role, row.parent) for row in rows)


def _node(ref: str, depth: int, about: About | None) -> Node:
    if about is None:
        return Node(ref=ref, kind=kind_of(ref), title=ref, depth=depth, missing=True)
    return Node(ref=ref, kind=kind_of(ref), title=about.title, depth=depth, facts=about.facts)
