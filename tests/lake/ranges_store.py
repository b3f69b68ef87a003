"""A store of ranges in memory that counts what is written and read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from headwater.canonical import digest
from headwater.lake.manifest import apply_changes
from headwater.lake.ranges import Row

if TYPE_CHECKING:
    from headwater.objects import ObjectStore


class RangesStore:
    """What manifests need of an object store."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.written: list[int] = []
        self.reads = 0

    def put(self, data: bytes) -> str:
        name = digest(data)
        if name not in self.kept:
            self.kept[name] = data
            self.written.append(len(data))
        return name

    def get(self, name: str) -> bytes:
        self.reads += 1
        return self.kept[name]

    def get_many(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        for name in reversed(names):  # no order is promised
            yield name, self.get(name)

    @property
    def seam(self) -> ObjectStore:
        return cast("ObjectStore", self)

    def make(self, rows: dict[bytes, Row | None], root: str | None = None) -> str:
        """Return the root of a manifest after changes, and forget what was counted before."""
        self.written, self.reads = [], 0
        return apply_changes(self.seam, self.put, root, rows).digest


def row(path: str, content: str = "", *, size: int = 1, rows: int | None = None) -> Row:
    """Return a row whose digest stands for ``content``."""
    return Row(path.encode(), digest(content.encode()), size, "", rows)


def rows(count: int, content: str = "") -> dict[bytes, Row | None]:
    """Return ``count`` rows of numbered images."""
    made = (row(f"train/{i % 100:02d}/image-{i:07d}.png", content or str(i)) for i in range(count))
    return {each.path: each for each in made}
