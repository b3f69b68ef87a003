"""Writing manifests: a tree of ranges built from left to right, and splicing changes into one that is there.

A level's ranges end where their last path says so; a range of an old tree may therefore be passed on as it is
wherever nothing below its level is begun. Only where changes fall is the old tree read. What is held at a time is one
unfinished range per level, whatever the number of files.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING

from .ranges import (
    Reference,
    Row,
    cut_leaves,
    decode_range,
    encode_leaf,
    encode_node,
    ends_leaf,
    ends_node,
    refer_to_leaf,
    refer_to_node,
)

if TYPE_CHECKING:
    from ..objects import ObjectStore

Put = Callable[[bytes], str]
Change = tuple[bytes, Row | None]
_ROWS_AT_ONCE = 10_000
_READ_AHEAD = 32
_FEW = 8  # where a leaf has more rows to a change than this, each change finds its place by itself
_path_of = itemgetter(0)


class Builder:
    """The right edge of a manifest that is being written, to which rows and whole ranges are added in order."""

    def __init__(self, put: Put) -> None:
        self._put = put
        self._rows: list[Row] = []
        self._lines: list[list[Reference]] = []  # per level: the ranges of the node above that is not yet written
        self._counts: list[int] = []  # per level: how many ranges there were so far
        self._nodes: dict[str, Reference | None] = {}  # those written here, with the range of one that has no other

    def add_rows(self, rows: Sequence[Row]) -> None:
        """Add files, in the order of their paths, all beyond those there are."""
        waiting = [*self._rows, *rows] if self._rows else rows
        self._rows = []
        for part in cut_leaves(waiting):
            if ends_leaf(part[-1].path):
                self.add_range(refer_to_leaf(part, self._put(encode_leaf(part))))
            else:
                self._rows = list(part)

    def takes(self, level: int) -> bool:
        """Tell whether a whole range of ``level`` may be added: no range below it is begun."""
        return not self._rows and not any(self._lines[:level])

    def add_range(self, reference: Reference) -> None:
        """Add a range that is written already, where ``takes`` holds for its level."""
        level = reference.level
        while len(self._lines) <= level:
            self._lines.append([])
            self._counts.append(0)
        self._lines[level].append(reference)
        self._counts[level] += 1
        if ends_node(reference.last, level + 1):
            self._close(level)

    def _close(self, level: int) -> None:
        line, self._lines[level] = self._lines[level], []
        node = refer_to_node(line, self._put(encode_node(line, level + 1)), level + 1)
        self._nodes[node.digest] = line[0] if len(line) == 1 else None
        self.add_range(node)

    def finish(self) -> Reference:
        """Write what is begun and return the lowest range that holds all files.

        Of nodes that were added whole it is not known whether they hold a single range: ``wrote`` tells them apart.
        """
        if self._rows or not self._lines:
            self.add_range(refer_to_leaf(self._rows, self._put(encode_leaf(self._rows))))
            self._rows = []
        level = 0
        while level < len(self._lines) - 1 or self._counts[level] > 1:
            if self._lines[level]:
                self._close(level)
            level += 1
        root = self._lines[level][0]
        while (only := self._nodes.get(root.digest)) is not None:
            root = only
        return root

    def wrote(self, node: Reference) -> bool:
        """Tell whether a node was written here."""
        return node.digest in self._nodes


def build(put: Put, rows: Iterable[Row]) -> Reference:
    """Write the manifest of files that come in the order of their paths, each path once; return its root.

    The rows are taken as they come: memory does not grow with their number.
    """
    builder = Builder(put)
    rest = iter(rows)
    while some := list(islice(rest, _ROWS_AT_ONCE)):
        builder.add_rows(some)
    return builder.finish()


def splice(store: ObjectStore, put: Put, root: str, changes: Sequence[Change]) -> Reference:
    """Write the manifest that ``root`` becomes by changes in the order of their paths; return its root."""
    builder = Builder(put)
    _Splice(store, builder, changes).over(root)
    new = builder.finish()
    while new.level and not builder.wrote(new):
        inside = references_in(store.get(new.digest), new.digest)
        if len(inside) > 1:
            break
        new = inside[0]
    return new


class _Splice:
    """A walk over an old tree from left to right, with the changes that are not made yet."""

    def __init__(self, store: ObjectStore, builder: Builder, changes: Sequence[Change]) -> None:
        self._store = store
        self._builder = builder
        self._changes = changes
        self._paths = [path for path, _ in changes]
        self._at = 0

    def over(self, root: str) -> None:
        level, items = decode_range(self._store.get(root), root)
        if level:
            self._over_node([item for item in items if isinstance(item, Reference)], last=True)
        else:
            self._over_leaf([item for item in items if isinstance(item, Row)], len(self._changes))

    def _over_node(self, inside: list[Reference], *, last: bool) -> None:
        """Walk the ranges of a node; the ``last`` node of a level takes what lies beyond all paths there are."""
        stops = [bisect_right(self._paths, each.last, self._at) for each in inside]
        if last:
            stops[-1] = len(self._changes)
        starts = [self._at, *stops]
        touched = [each.digest for each, start, stop in zip(inside, starts, stops, strict=False) if stop > start]
        read: dict[str, bytes] = {}
        passed = 0
        for index, (each, stop) in enumerate(zip(inside, stops, strict=True)):
            passed += stop > self._at
            if stop == self._at and self._builder.takes(each.level):
                self._builder.add_range(each)
                continue
            if each.digest not in read:
                read = dict(self._store.get_many([each.digest, *touched[passed : passed + _READ_AHEAD]]))
            data = read.pop(each.digest)
            if each.level:
                self._over_node(references_in(data, each.digest), last=last and index == len(inside) - 1)
            else:
                _, items = decode_range(data, each.digest)
                self._over_leaf([item for item in items if isinstance(item, Row)], stop)

    def _over_leaf(self, rows: list[Row], stop: int) -> None:
        self._builder.add_rows(_merged(rows, self._changes[self._at : stop]))
        self._at = stop


def _merged(rows: list[Row], changes: Sequence[Change]) -> list[Row]:
    if len(changes) * _FEW > len(rows):
        after: dict[bytes, Row | None] = {row.path: row for row in rows}
        after.update(changes)
        return [row for _, row in sorted(after.items()) if row is not None]
    merged: list[Row] = []
    start = 0
    for path, row in changes:
        at = bisect_left(rows, path, start, key=_path_of)
        merged += rows[start:at]
        if row is not None:
            merged.append(row)
        start = at + (at < len(rows) and rows[at].path == path)
    return merged + rows[start:]


def references_in(data: bytes, name: str) -> list[Reference]:
    """Return the ranges of a node."""
    _, items = decode_range(data, name)
    return [item for item in items if isinstance(item, Reference)]
