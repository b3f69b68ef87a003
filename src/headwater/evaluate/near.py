"""Rows that are the same, or nearly: by keys of their content less a column at a time, and by texts' shingles."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from headwater.model.columns import is_missing

from .data import as_text
from .metrics import Array

_DIGITS = 3
_SHINGLE = 5
_HASHES = 64
_BAND = 4
LONG_TEXT = 40
"""The mean length from which a text column is compared by its shingles rather than as a value."""
ALIKE = 0.8
"""The share of common shingles (Jaccard) from which two texts are nearly the same."""


def row_keys(columns: Mapping[str, Array]) -> list[int]:
    """Return a key per row that is equal where all values are; 64 bits, so that chance collisions are no concern."""
    return [int(key) for key in _combined(value_keys(columns))]


def value_keys(columns: Mapping[str, Array], *, rounded: bool = False) -> Array:
    """Return a 64-bit key of each value, shape (columns, rows); ``rounded`` keeps three digits of numbers."""
    return np.stack([_keys(values, rounded) for values in columns.values()])


def nearly_in(one: Mapping[str, Array], other: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return which rows of ``one`` agree with a row of ``other`` in all columns but at most one, and with which.

    Numbers agree in three digits. The first has shape (rows of one,), bool; the second the place in ``other``, -1
    where there is none. Both have the same columns, at least two.
    """
    a, b = value_keys(one, rounded=True), value_keys(other, rounded=True)
    found = np.zeros(a.shape[1], bool)
    place = np.full(a.shape[1], -1)
    for left_out in range(len(a)):
        kept = [k for k in range(len(a)) if k != left_out]
        first: dict[int, int] = {}
        for row, key in enumerate(_combined(b[kept]).tolist()):
            first.setdefault(key, row)
        for row, key in enumerate(_combined(a[kept]).tolist()):
            if not found[row] and key in first:
                found[row], place[row] = True, first[key]
    return found, place


def shuffled(columns: Mapping[str, Array], seed: int) -> dict[str, Array]:
    """Return columns each shuffled by itself: rows as they would be if columns had nothing to do with each other."""
    random = np.random.default_rng(seed)
    return {name: values[random.permutation(len(values))] for name, values in columns.items()}


def alike_texts(one: Sequence[str], other: Sequence[str], *, seed: int = 0) -> list[tuple[int, int, float]]:
    """Return pairs (place in one, place in other, share of common shingles) of texts that are nearly the same.

    Candidates share a band of four of 64 least hashes of their shingles of five letters; each is then compared in full.
    At most one pair per text of ``one``.

    Source: Broder (1997), On the resemblance and containment of documents; Leskovec et al., Mining of Massive Datasets.
    """
    if not one or not other:
        return []
    sets = [[_shingles(text) for text in side] for side in (one, other)]
    signs = [_signatures(side, seed) for side in sets]
    buckets: dict[tuple[int, bytes], list[int]] = {}
    for row, sign in enumerate(signs[1]):
        for band in range(_HASHES // _BAND):
            buckets.setdefault((band, sign[band * _BAND : (band + 1) * _BAND].tobytes()), []).append(row)
    found = []
    for row, sign in enumerate(signs[0]):
        best = (0.0, -1)
        seen: set[int] = set()
        for band in range(_HASHES // _BAND):
            for candidate in buckets.get((band, sign[band * _BAND : (band + 1) * _BAND].tobytes()), ())[:50]:
                if candidate not in seen:
                    seen.add(candidate)
                    best = max(best, (_common(sets[0][row], sets[1][candidate]), candidate))
        if best[0] >= ALIKE:
            found.append((row, best[1], best[0]))
    return found


def _keys(values: Array, rounded: bool) -> Array:
    if values.dtype.kind in "fiub":
        numbers = values.astype(np.float64)
        numbers = np.where(np.isnan(numbers), np.nan, numbers + 0.0)  # -0.0 and every NaN have one form each
        return _mixed((_three_digits(numbers) if rounded else numbers).view(np.uint64))
    if values.dtype.kind in "mM":
        return _mixed(values.astype("datetime64[us]").astype(np.int64).view(np.uint64))
    texts, place = np.unique(np.where(is_missing(values), "\0", as_text(values)), return_inverse=True)
    hashed = [int.from_bytes(hashlib.blake2b(str(each).encode(), digest_size=8).digest(), "little") for each in texts]
    return np.array(hashed, np.uint64)[place]


def _three_digits(numbers: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        size = 10.0 ** (np.floor(np.log10(np.abs(numbers))) - _DIGITS + 1)
        return np.asarray(
            np.where((numbers == 0) | ~np.isfinite(numbers), numbers, np.round(numbers / size) * size) + 0.0
        )


def _mixed(bits: Array) -> Array:
    """Return 64-bit values scattered. Source: the finaliser of SplitMix64 (Steele et al. 2014)."""
    mixed = np.asarray(bits, np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _combined(keys: Array) -> Array:
    found = np.zeros(keys.shape[1], np.uint64)
    for each in keys:
        found = _mixed(found ^ each)
    return found


def _shingles(text: str) -> frozenset[int]:
    plain = " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
    pieces = {plain[k : k + _SHINGLE] for k in range(max(1, len(plain) - _SHINGLE + 1))}
    return frozenset(
        int.from_bytes(hashlib.blake2b(each.encode(), digest_size=7).digest(), "little") for each in pieces
    )


def _signatures(sets: Sequence[frozenset[int]], seed: int) -> Array:
    random = np.random.default_rng(seed)
    salts = random.integers(0, 2**63, _HASHES, dtype=np.uint64)
    return np.stack([_mixed(np.array(sorted(each), np.uint64)[:, None] ^ salts).min(axis=0) for each in sets])


def _common(a: frozenset[int], b: frozenset[int]) -> float:
    return len(a & b) / len(a | b)
