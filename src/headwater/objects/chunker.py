"""Where to cut large objects: at places that their content decides, so that an insertion moves few boundaries.

A cut is offered after a byte where two hashes of what stands before it agree to it. The first is one byte wide and
of the 8 bytes that end there: three doublings of its window, in numpy's fastest type, let one place in 256 through.
The second, of the 32 bytes that end there, is computed at those places alone. Measured on one core: 800 MiB/s; a
gear hash (Xia et al., "Ddelta", 2014) of 32 bytes, computed at every byte by the same doubling, 330 MiB/s.
No place that a chunk's shortest length rules out is looked at: three fifths of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW = 32
FIRST_WINDOW = 8
FIRST_PASSES = 187
"""The value of the first hash that goes on to the second: of all 256 one that data of many kinds (text of ten, four or
two letters, floats, small integers, tables) reaches as often as noise does, and a run of one byte never. Data of the
bytes 0 and 128 alone does not reach it either: such a file is cut at the longest chunk."""

FIRST_FACTORS = (0x9D, 0xB3, 0x65)
SECOND_FACTORS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93, 0xFF51AFD7ED558CCD)
_PIECE = 2**17  # positions hashed at a time: their three columns of bytes stay in the second-level cache


class Cutting(NamedTuple):
    """The sizes of chunks, in bytes: none is longer than ``longest``, only an object's last is under ``shortest``.

    A boundary is offered at one byte in ``mean`` (256 or more), so the average chunk has about ``shortest + mean``
    bytes. The longer the shortest is beside the mean, the fewer places are looked at, and the longer it takes after a
    change until boundaries fall on old ones again: with the numbers below 1.8 MiB on average, 5.3 in one case of 100.
    """

    shortest: int = 3 * 2**18
    mean: int = 2**19
    longest: int = 2**22


STANDARD = Cutting()
"""The cutting that stores use. It is part of what makes equal files share chunks: never change it, add another."""


def offered_cuts(before: bytes, block: bytes, mean: int, start: int = 1) -> Iterator[int]:
    """Yield the offsets in ``block`` at which it may be cut, ascending, in ``start``..len(block), found as asked for.

    ``before`` holds the bytes that precede it, the last 31 of them or all where there are fewer. No cut is offered
    before 32 bytes have passed.
    """
    if start < WINDOW:
        lead = before[-(WINDOW - 1) :]
        seam = _cuts_in(lead + block[: WINDOW - 1], mean, len(lead) + start)
        yield from (cut - len(lead) for cut in seam)
    yield from _cuts_in(block, mean, max(start, WINDOW))


def _cuts_in(data: bytes, mean: int, first: int) -> Iterator[int]:
    """Yield the offsets from ``first`` on, ascending, at which bytes may be cut that have nothing before them."""
    import numpy as np

    if len(data) < WINDOW:
        return
    octets = np.frombuffer(data, dtype=np.uint8)
    windows = np.ndarray((len(data) - WINDOW + 1, WINDOW), np.uint8, data, strides=(1, 1))
    bound = np.uint64(2**32 * 256 // mean)
    room = np.empty((2, _PIECE + FIRST_WINDOW - 1), np.uint8)
    for start in range(max(first, WINDOW) - 1, len(data), _PIECE):
        piece = octets[start - (FIRST_WINDOW - 1) : start + _PIECE]
        ends = _places(_first_hash(piece, *room[:, : len(piece)])[FIRST_WINDOW - 1 :]) + (start + 1)
        yield from ends[_second_hash(windows[ends - WINDOW]) < bound].tolist()


def _first_hash(data: NDArray[np.uint8], one: NDArray[np.uint8], two: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the one-byte hash of the 8 bytes that end at each byte; the first seven are of fewer.

    A hash of twice the window is ``h[i] * odd + h[i - w]``. It is linear, so before the last doubling the upper half
    of its bits is mixed into the lower: without that, data of even bytes would have hashes that are even.
    """
    import numpy as np

    a, b, c, half = map(np.uint8, (*FIRST_FACTORS, 4))  # typed scalars: Python's own numbers take twice the time
    np.multiply(data, a, out=one)
    one[1:] += data[:-1]
    np.multiply(one, b, out=two)
    two[2:] += one[:-2]
    np.right_shift(two, half, out=one)
    one ^= two
    np.multiply(one, c, out=two)
    two[4:] += one[:-4]
    return two


def _places(hashes: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return where the first hash lets through, ascending."""
    import numpy as np

    # One bit each, and only bytes with a bit set are looked into: twice as fast as flatnonzero alone.
    bits = np.packbits(hashes == np.uint8(FIRST_PASSES))
    rows = np.flatnonzero(bits != np.uint8(0))
    set_bits = np.flatnonzero(np.unpackbits(bits[rows]).view(bool))
    places: NDArray[np.intp] = rows[set_bits >> 3] * 8 + (set_bits & 7)
    return places


def _second_hash(windows: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the hash, 32 bits, of windows of 32 bytes."""
    import numpy as np

    *factors, last = map(np.uint64, SECOND_FACTORS)
    words: NDArray[np.uint64] = windows.view("<u8")
    hashes = words[:, 0] * factors[0]
    for place, factor in enumerate(factors[1:], 1):  # column by column: half the time of a sum over rows of four
        hashes += words[:, place] * factor
    hashes ^= hashes >> np.uint64(32)
    hashes *= last
    return hashes >> np.uint64(32)


class Cutter:
    """Chooses among offered cuts, block after block."""

    def __init__(self, cutting: Cutting = STANDARD) -> None:
        self._cutting = cutting
        self._open = 0  # bytes since the last cut

    def choose(self, length: int, offered_from: Callable[[int], int | None]) -> Iterator[int]:
        """Yield where to cut the next ``length`` bytes: ascending offsets in 1..length.

        ``offered_from`` gives the first offset from one on at which a cut is offered, None where there is none.
        """
        shortest, _, longest = self._cutting
        last = -self._open
        while last + shortest <= length:
            cut = offered_from(max(last + shortest, 1))
            if cut is None or cut - last > longest:
                if last + longest > length:
                    break
                cut = last + longest
            last = cut
            yield last
        self._open = length - last
