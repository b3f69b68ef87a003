"""Manifests: sorted tables of files, kept in ranges, changed and compared range by range.

A manifest is named by the digest of its root range. The same files give the same root, whatever way led there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from .ranges import (
    Reference,
    Row,
    cut_leaves,
    cut_nodes,
    decode_range,
    encode_leaf,
    encode_node,
    ends_leaf,
    refer_to_leaf,
    refer_to_node,
)

if TYPE_CHECKING:
    from ..objects import ObjectStore

Put = Callable[[bytes], str]
Read = Callable[[str], tuple[int, list[Row] | list[Reference]]]
Difference = tuple[bytes, Row | None, Row | None]


def apply_changes(store: ObjectStore, put: Put, root: str | None, changes: Mapping[bytes, Row | None]) -> Reference:
    """Write the manifest that ``root`` becomes by ``changes`` (a row puts a path, None removes it); return its root.

    Only ranges that a change falls into are read and written, and the nodes above them. Removing a path that is not
    there changes nothing. ``put`` takes the bytes of a range and returns their digest.
    """
    old = leaves(store, root) if root else []
    new = _changed_leaves(store, put, old, sorted(changes.items()))
    if not new:
        empty = encode_leaf([])
        return refer_to_leaf([], put(empty))
    level = 0
    while len(new) > 1:
        level += 1
        new = [refer_to_node(part, put(encode_node(part, level)), level) for part in cut_nodes(new, level)]
    return new[0]


def _changed_leaves(
    store: ObjectStore, put: Put, old: list[Reference], changes: list[tuple[bytes, Row | None]]
) -> list[Reference]:
    """Return the leaves after the changes; those that no change touches are passed on unread."""
    new: list[Reference] = []
    carried: list[Row] = []  # rows of a leaf that lost its end: they go on into the next
    at = 0
    for index, reference in enumerate(old):
        final = index == len(old) - 1
        stop = at
        while stop < len(changes) and (final or changes[stop][0] <= reference.last):
            stop += 1
        if stop == at and not carried:
            new.append(reference)
            continue
        rows = carried + _merged(_leaf(store, reference.digest), changes[at:stop])
        at, carried = stop, []
        for part in cut_leaves(rows):
            if final or ends_leaf(part[-1].path):
                new.append(refer_to_leaf(part, put(encode_leaf(part))))
            else:
                carried = list(part)
    if not old:
        for part in cut_leaves([row for _, row in changes if row is not None]):
            new.append(refer_to_leaf(part, put(encode_leaf(part))))
    return new


def _merged(rows: list[Row], changes: list[tuple[bytes, Row | None]]) -> list[Row]:
    if not changes:
        return rows
    after: dict[bytes, Row | None] = {row.path: row for row in rows}
    after.update(changes)
    return [row for _, row in sorted(after.items()) if row is not None]


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


def _leaf(store: ObjectStore, name: str) -> list[Row]:
    _, items = decoded(store, name)
    return [item for item in items if isinstance(item, Row)]


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
    only_a, only_b = _unshared(store, a, b)
    left, right = _stream(store, only_a), _stream(store, only_b)
    row_a, row_b = next(left, None), next(right, None)
    while row_a is not None or row_b is not None:
        if row_b is None or (row_a is not None and row_a.path < row_b.path):
            assert row_a is not None
            yield row_a.path, row_a, None
            row_a = next(left, None)
        elif row_a is None or row_b.path < row_a.path:
            yield row_b.path, None, row_b
            row_b = next(right, None)
        else:
            if row_a != row_b:
                yield row_a.path, row_a, row_b
            row_a, row_b = next(left, None), next(right, None)


def _unshared(store: ObjectStore, a: str, b: str) -> tuple[list[str], list[str]]:
    """Return the leaves that only one of two manifests has, comparing digests level by level."""
    sides = [_top(store, a), _top(store, b)] if a != b else [[], []]
    while True:
        names_a, names_b = ({r.digest for r in side} for side in sides)
        shared = names_a & names_b
        sides = [[r for r in side if r.digest not in shared] for side in sides]
        highest = max((r.level for side in sides for r in side), default=0)
        if highest == 0:
            return [r.digest for r in sides[0]], [r.digest for r in sides[1]]
        sides = [_below(store, side) if side and side[0].level == highest else side for side in sides]


def _top(store: ObjectStore, root: str) -> list[Reference]:
    level, items = decoded(store, root)
    if level == 0:
        return [refer_to_leaf([item for item in items if isinstance(item, Row)], root)]
    return [refer_to_node([item for item in items if isinstance(item, Reference)], root, level)]


def _stream(store: ObjectStore, names: Iterable[str]) -> Iterator[Row]:
    waiting = list(names)
    for start in range(0, len(waiting), 16):
        some = waiting[start : start + 16]
        found = dict(store.get_many(some))
        for name in some:
            _, items = decode_range(found.pop(name), name)
            yield from (item for item in items if isinstance(item, Row))
