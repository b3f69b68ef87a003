"""Where each partition of a source's topics was read to."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple


class Anchor(NamedTuple):
    """The last record that was read: its offset, and a digest by which it is known again."""

    offset: int
    digest: str


class Position:
    """One partition: the offset that comes next, the last record before it, and what this pull saw."""

    __slots__ = ("anchor", "count", "ended", "first", "gap", "last", "next", "partition", "topic")

    def __init__(self, topic: str, partition: int, following: int, anchor: Anchor | None) -> None:
        self.topic = topic
        self.partition = partition
        self.next = following
        self.anchor = anchor
        self.first = self.last = -1
        self.count = 0
        self.gap = ""
        self.ended = False

    @property
    def name(self) -> str:
        """How the partition is named to people."""
        return f"{self.topic}[{self.partition}]"

    def take(self, offset: int, digest: str) -> None:
        """Note that a record was read."""
        self.first = offset if self.first < 0 else self.first
        self.last, self.count = offset, self.count + 1
        self.next, self.anchor = offset + 1, Anchor(offset, digest)


class Positions:
    """The positions of all partitions, and how many part files there are."""

    def __init__(self, parts: int, known: dict[tuple[str, int], Position]) -> None:
        self.parts = parts
        self._known = known

    @classmethod
    def of(cls, state: dict[str, Any] | None) -> Positions:
        """Return the positions as a pull kept them; None is the beginning."""
        state = state or {"parts": 0, "partitions": []}
        known = {}
        for topic, partition, following, anchor in state["partitions"]:
            known[topic, partition] = Position(topic, partition, following, Anchor(*anchor) if anchor else None)
        return cls(state["parts"], known)

    def state(self) -> dict[str, Any]:
        """Return the positions as the next pull gets them."""
        return {
            "parts": self.parts,
            "partitions": [
                [topic, partition, each.next, list(each.anchor) if each.anchor else None]
                for (topic, partition), each in sorted(self._known.items())
            ],
        }

    def find(self, topic: str, partition: int) -> Position | None:
        """Return the position of a partition, None where it was never read."""
        return self._known.get((topic, partition))

    def begin(self, topic: str, partition: int, offset: int) -> Position:
        """Return the position of a partition that is read for the first time."""
        return self._known.setdefault((topic, partition), Position(topic, partition, offset, None))

    def next_of(self, topic: str, partition: int, default: int) -> int:
        """Return the offset that comes next."""
        found = self.find(topic, partition)
        return found.next if found else default

    def gaps(self) -> list[str]:
        """Return what was gone before it could be read, for people."""
        return [each.gap for _, each in sorted(self._known.items()) if each.gap]

    def proof(self) -> list[dict[str, Any]]:
        """Return what this pull read of each partition: first and last offset, and how many records between."""
        return [
            {"topic": each.topic, "partition": each.partition, "first": each.first, "last": each.last,
             "records": each.count, **({"gap": each.gap} if each.gap else {})}
            for _, each in sorted(self._known.items()) if each.count or each.gap
        ]  # fmt: skip


def digest_of(timestamp: int, key: bytes | None, value: bytes | None) -> str:
    """Return what a record is known by again: 16 hex characters over its time, key and value."""
    made = hashlib.blake2b(digest_size=8)
    for part in (str(timestamp).encode(), key, value):
        made.update(b"-" if part is None else b"%d:" % len(part) + part)
    return made.hexdigest()
