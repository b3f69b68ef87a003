"""Universal Binary JSON, walked without being read: whether bytes are one whole object, and which keys it has.

XGBoost ends the process when such a file breaks off or holds what is no value, so the bytes are walked before.

Source: the specification's draft 12 (ubjson.org), "Value Types" and "Optimized Format".
"""

from __future__ import annotations

from headwater.errors import CorruptError

_SIZES = {b"Z": 0, b"N": 0, b"T": 0, b"F": 0, b"i": 1, b"U": 1, b"C": 1, b"I": 2, b"l": 4, b"d": 4, b"L": 8, b"D": 8}
_WHOLE = {b"i": True, b"U": False, b"I": True, b"l": True, b"L": True}
"""The kinds of whole number, and whether each has a sign."""

_DEEPEST = 100


def keys_of(data: bytes) -> list[str]:
    """Return the keys of the object that bytes hold.

    Raises:
        CorruptError: the bytes are not exactly one object of Universal Binary JSON.
    """
    walk = _Walk(data)
    if walk.take(1) != b"{":
        raise CorruptError("the bytes do not begin with an object of Universal Binary JSON.")
    keys = walk.object(0)
    if walk.place != len(data):
        raise CorruptError(f"{len(data) - walk.place:,} bytes follow the end of the object.")
    return keys


class _Walk:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def take(self, count: int) -> bytes:
        found = self._data[self.place : self.place + count]
        if len(found) < count:
            raise CorruptError(f"the bytes break off at {len(self._data):,}.")
        self.place += count
        return found

    def object(self, depth: int) -> list[str]:
        """Walk the rest of an object, whose brace was taken, and return its keys."""
        kind, count = self._head(depth)
        keys: list[str] = []
        while count is None or len(keys) < count:
            if count is None and self._peek() == b"}":
                self.place += 1
                break
            keys.append(self._text())
            self._value(kind or self.take(1), depth)
        return keys

    def _array(self, depth: int) -> None:
        kind, count = self._head(depth)
        if kind is not None and count is not None and kind in _SIZES:
            self._skip(count * _SIZES[kind])
            return
        walked = 0
        while count is None or walked < count:
            if count is None and self._peek() == b"]":
                self.place += 1
                break
            self._value(kind or self.take(1), depth)
            walked += 1

    def _head(self, depth: int) -> tuple[bytes | None, int | None]:
        """Return the kind and the count that an array or object may begin with."""
        if depth > _DEEPEST:
            raise CorruptError(f"values lie more than {_DEEPEST} deep in one another.")
        kind = None
        if self._peek() == b"$":
            self.place += 1
            kind = self.take(1)
        if self._peek() == b"#":
            self.place += 1
            return kind, self._number()
        if kind is not None:
            raise CorruptError("a kind is given without a count.")
        return None, None

    def _value(self, kind: bytes, depth: int) -> None:
        if kind in _SIZES:
            self._skip(_SIZES[kind])
        elif kind in (b"S", b"H"):
            self._skip(self._number())
        elif kind == b"{":
            self.object(depth + 1)
        elif kind == b"[":
            self._array(depth + 1)
        else:
            raise CorruptError(f"the byte {kind!r} at {self.place - 1:,} is no kind of value.")

    def _text(self) -> str:
        return self.take(self._number()).decode("utf-8", "replace")

    def _number(self) -> int:
        kind = self.take(1)
        if kind not in _WHOLE:
            raise CorruptError(f"the byte {kind!r} at {self.place - 1:,} is no kind of whole number.")
        found = int.from_bytes(self.take(_SIZES[kind]), "big", signed=_WHOLE[kind])
        if found < 0:
            raise CorruptError("a length is negative.")
        return found

    def _peek(self) -> bytes:
        return self._data[self.place : self.place + 1]

    def _skip(self, count: int) -> None:
        if self.place + count > len(self._data):
            raise CorruptError(f"the bytes break off at {len(self._data):,}.")
        self.place += count
