"""Manifests: sorted tables of files, kept in ranges, changed and compared range by range.

A manifest is named by the digest of its root range. The same files give the same root, whatever way led there.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from .building import Put, build, splice
from .ranges import Cell, Leaf, Reference, Row, decode_range, refer_to_leaf, refer_to_node, row_of_cell

if TYPE_CHECKING:
    from ..objects import ObjectStore

Read = Callable[[str], tuple[int, list[Row] | list[Reference]]]
Difference = tuple[bytes, Row | None, Row | None]

_AT_ONCE = 16  # leaves of a side read at a time when two manifests are compared


def apply_changes(store: ObjectStore, put: Put, root: str | None, changes: Mapping[bytes, Row | None]) -> Reference:
    """Write the manifest that ``root`` becomes by ``changes`` (a row puts a path, None removes it); return its root.

    Only ranges that a change falls into are read and written, and the nodes above them; what lies between is passed
    on by its digest, whole subtrees at a time. Removing a path that is not there changes nothing. ``put`` takes the
    bytes of a range and returns their digest.
    """
    waiting = sorted(changes.items())
    if root is None:
        return build(put, (row for _, row in waiting if row is not None))
    return splice(store, put, root, waiting)


def leaves(store: ObjectStore, root: str) -> list[Reference]:
    """Return the leaves of a manifest in order."""
    level, items = decoded(store, root)
    if level == 0:
        rows = [item for item in items if isinstance(item, Row)]
        return [refer_to_leaf(rows, root)] if rows else []
    references = [item for item in items if isinstance(item, Reference)]
    while references and references[0].level > 0:
        references = _below(store, references)
    return references


def _below(store: ObjectStore, references: list[Reference]) -> list[Reference]:
    found = dict(store.get_many([r.digest for r in references]))
    below: list[Reference] = []
    for reference in references:
        _, items = decode_range(found[reference.digest], reference.digest)
        below.extend(item for item in items if isinstance(item, Reference))
    return below


def decoded(store: ObjectStore, name: str) -> tuple[int, list[Row] | list[Reference]]:
    """Return the level of a range of the store, and its rows (level 0) or references."""
    return decode_range(store.get(name), name)


def rows_after(
    store: ObjectStore, root: str, after: bytes = b"", prefix: bytes = b"", read: Read | None = None
) -> Iterator[Row]:
    """Yield the rows with paths beyond ``after`` that begin with ``prefix``, in order, one leaf in memory at a time.

    ``read`` gives the decoded range of a digest; who seeks often passes one that remembers a few.
    """
    read = read or partial(decoded, store)
    start = max(after, prefix)
    waiting = [root]
    while waiting:
        name = waiting.pop()
        level, items = read(name)
        if level:
            inside = [item.digest for item in items if isinstance(item, Reference) and item.last >= start]
            waiting.extend(reversed(inside))
            continue
        for item in items:
            if isinstance(item, Row) and item.path > after and item.path >= prefix:
                if not item.path.startswith(prefix):
                    return
                yield item


def find_row(store: ObjectStore, root: str, path: bytes) -> Row | None:
    """Return the row of one path, None where there is none; reads one range per level."""
    name = root
    while True:
        level, items = decoded(store, name)
        if not level:
            return next((item for item in items if isinstance(item, Row) and item.path == path), None)
        references = [item for item in items if isinstance(item, Reference)]
        place = bisect_left(references, path, key=lambda r: r.last)
        if place == len(references):
            return None
        name = references[place].digest


def differences(store: ObjectStore, a: str, b: str) -> Iterator[Difference]:
    """Yield (path, row in ``a``, row in ``b``) where they differ, in order of paths.

    Ranges that both have are never read: a path in a shared range is the same in both.
    """
    left, right = (_Side(store, references) for references in _unshared(store, a, b))
    while left.more or right.more:
        if left.next_end is not None and left.next_end == right.next_end:
            # Both go on with a leaf that ends at the same path: mostly with the same paths, and few that differ.
            one, other = left.pop(), right.pop()
            changed = one.changed(other)
            if changed is not None:
                yield from ((row.path, row, new) for row, new in changed)
                continue
            left.open(one)
            right.open(other)
        left.load()
        right.load()
        ends = [side.end for side in (left, right) if side.end is not None]
        end = min(ends) if ends else None
        old, new = left.take(end), right.take(end)
        differing = [path for path, cell in new.items() if old.get(path) != cell]
        differing += old.keys() - new.keys()
        for path in sorted(differing):
            # Rows are made of what differs alone: making them costs more than all the rest.
            yield path, _row_at(old, path), _row_at(new, path)


def _row_at(cells: dict[bytes, Cell], path: bytes) -> Row | None:
    cell = cells.get(path)
    return None if cell is None else row_of_cell(path, cell)


class _Side:
    """The files of one manifest's leaves in order, a few leaves in memory at a time."""

    def __init__(self, store: ObjectStore, leaves: list[Reference]) -> None:
        self._store = store
        self._leaves = deque(leaves)
        self._read: dict[str, bytes] = {}
        self._paths: list[bytes] = []
        self._cells: list[Cell] = []
        self.end: bytes | None = None
        """The path up to which all files are loaded; None: there are no more."""

    @property
    def more(self) -> bool:
        return bool(self._paths or self._leaves)

    @property
    def next_end(self) -> bytes | None:
        """The path with which the next leaf ends; None where there is none, or files are loaded still."""
        return None if self._paths or not self._leaves else self._leaves[0].last

    def pop(self) -> Leaf:
        """Return the next leaf, and let go of it."""
        leaf = self._leaves.popleft()
        if leaf.digest not in self._read:
            ahead = [leaf.digest, *(each.digest for each in islice(self._leaves, _AT_ONCE - 1))]
            self._read = dict(self._store.get_many(ahead))
        self.end = leaf.last if self._leaves else None
        return Leaf(self._read.pop(leaf.digest), leaf.digest)

    def open(self, leaf: Leaf) -> None:
        """Load the files of a leaf that was popped, where all that was loaded was taken."""
        self._paths, self._cells = leaf.paths(), leaf.cells()

    def load(self) -> None:
        """Load the files of the next leaf, where all that was loaded was taken."""
        if not self._paths and self._leaves:
            self.open(self.pop())

    def take(self, end: bytes | None) -> dict[bytes, Cell]:
        """Return what is said of the paths up to ``end``, and let go of them."""
        cut = len(self._paths) if end is None else bisect_right(self._paths, end)
        taken = dict(zip(self._paths[:cut], self._cells[:cut], strict=True))
        del self._paths[:cut], self._cells[:cut]
        return taken


def _unshared(store: ObjectStore, a: str, b: str) -> tuple[list[Reference], list[Reference]]:
    """Return the leaves that only one of two manifests has, comparing digests level by level."""
    sides = [_top(store, a), _top(store, b)] if a != b else [[], []]
    while True:
        names_a, names_b = ({r.digest for r in side} for side in sides)
        shared = names_a & names_b
        sides = [[r for r in side if r.digest not in shared] for side in sides]
        highest = max((r.level for side in sides for r in side), default=0)
        if highest == 0:
            return sides[0], sides[1]
        sides = [_below(store, side) if side and side[0].level == highest else side for side in sides]


def _top(store: ObjectStore, root: str) -> list[Reference]:
    level, items = decoded(store, root)
    if level == 0:
        return [refer_to_leaf([item for item in items if isinstance(item, Row)], root)]
    return [refer_to_node([item for item in items if isinstance(item, Reference)], root, level)]
