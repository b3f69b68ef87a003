"""Where to cut large objects: at places that their content decides, so that an insertion moves few boundaries.

The gear hash of the 32 bytes that end at i is ``h[i] = sum over j < 32 of g[b[i-j]] << j`` (modulo 2**32). Windows
double: ``h_2w[i] = h_w[i] + (h_w[i-w] << w)``, so five passes of numpy compute it at every byte. A cut is offered
after each byte whose hash is below a bound. Source: Xia et al., "Ddelta" (2014), for the gear hash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW = 32
_PIECE = 2**16  # positions hashed at a time: their two columns of uint32 stay in the second-level cache


class Cutting(NamedTuple):
    """The sizes of chunks, in bytes: none is longer than ``longest``, only an object's last is under ``shortest``.

    A boundary is offered at one byte in ``mean``, so the average chunk has about ``shortest + mean`` bytes.
    """

    shortest: int = 2**18
    mean: int = 2**20
    longest: int = 2**22


STANDARD = Cutting()
"""The cutting that stores use. It is part of what makes equal files share chunks: never change it, add another."""

_table: NDArray[np.uint32] | None = None


def gear_table() -> NDArray[np.uint32]:
    """Return 256 fixed random numbers, one per byte value: BLAKE3's output stream of a fixed text."""
    global _table
    if _table is None:
        import numpy as np
        from blake3 import blake3

        stream = blake3(b"headwater gear table 1").digest(length=1024)
        _table = np.frombuffer(stream, dtype="<u4").astype(np.uint32)
    return _table


def offered_cuts(before: bytes, block: bytes, mean: int) -> list[int]:
    """Return the offsets in ``block`` at which it may be cut, ascending, in 1..len(block).

    ``before`` holds the bytes that precede it, the last 31 of them or all where there are fewer.
    """
    import numpy as np

    table = gear_table()
    bound = np.uint32(min(2**32 // mean, 2**32 - 1))
    lead = before[-(WINDOW - 1) :]
    data = np.frombuffer(lead + block, dtype=np.uint8)
    hashes = np.empty(_PIECE + WINDOW - 1, np.uint32)
    shifted = np.empty_like(hashes)
    cuts: list[int] = []
    for start in range(len(lead), len(data), _PIECE):
        first = max(start - (WINDOW - 1), 0)
        piece = data[first : start + _PIECE]
        count = len(piece)
        np.take(table, piece, out=hashes[:count], mode="clip")
        for width in (1, 2, 4, 8, 16):
            if count > width:
                np.left_shift(hashes[: count - width], np.uint32(width), out=shifted[: count - width])
                hashes[width:count] += shifted[: count - width]
        found = np.flatnonzero(hashes[start - first : count] < bound)
        cuts.extend((found + (start - len(lead) + 1)).tolist())
    return cuts


class Cutter:
    """Chooses among offered cuts, block after block."""

    def __init__(self, cutting: Cutting = STANDARD) -> None:
        self._cutting = cutting
        self._open = 0  # bytes since the last cut

    def choose(self, length: int, offered: list[int]) -> list[int]:
        """Return where to cut the next ``length`` bytes: ascending offsets in 1..length."""
        shortest, _, longest = self._cutting
        cuts: list[int] = []
        last = -self._open
        for cut in offered:
            while cut - last > longest:
                last += longest
                cuts.append(last)
            if cut - last >= shortest:
                last = cut
                cuts.append(last)
        while length - last >= longest:
            last += longest
            cuts.append(last)
        self._open = length - last
        return cuts
