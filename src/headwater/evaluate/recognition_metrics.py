"""Metrics of recognised text: errors per character and per word."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from headwater.errors import MissingExtraError

from .metrics import Array, Weighted


def recognition_metrics(truth: Array, text: Array) -> dict[str, Weighted]:
    """Return ``cer``, ``wer`` (edits per character and per word of the truth) and ``exact`` (share read without fault).

    Both of shape (rows,), str. Texts are compared in Unicode's composed form (NFC) with white space as one blank. An
    edit inserts, deletes or replaces one. The rates are of all edits to all characters, so that long rows weigh more,
    and may exceed 1.

    Raises:
        MissingExtraError: rapidfuzz is not installed.

    Source: Levenshtein (1966), Soviet Physics Doklady 10, 707.
    """
    wanted, read = [_plain(each) for each in truth.tolist()], [_plain(each) for each in text.tolist()]
    edits = character_edits(wanted, read)
    words = _distances([each.split() for each in wanted], [each.split() for each in read])
    return {
        "cer": _rate(edits, [len(each) for each in wanted]),
        "wer": _rate(words, [len(each.split()) for each in wanted]),
        "exact": _rate(np.array([a == b for a, b in zip(wanted, read, strict=True)], np.float64), [1] * len(wanted)),
    }


def character_rates(truth: Array, text: Array) -> Array:
    """Return each row's edits per character of its truth, of at least one; shape (rows,)."""
    wanted, read = [_plain(each) for each in truth.tolist()], [_plain(each) for each in text.tolist()]
    return character_edits(wanted, read) / np.maximum([len(each) for each in wanted], 1)


def character_edits(wanted: Sequence[str], read: Sequence[str]) -> Array:
    """Return how many characters must be edited in each text; shape (rows,)."""
    return _distances(wanted, read)


def _distances(wanted: Sequence[str] | Sequence[list[str]], read: Sequence[str] | Sequence[list[str]]) -> Array:
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError as error:
        raise MissingExtraError("rapidfuzz", "recognition", "measuring recognised text") from error
    return np.array([Levenshtein.distance(a, b) for a, b in zip(wanted, read, strict=True)], np.float64)


def _rate(edits: Array, lengths: Sequence[int]) -> Weighted:
    total = np.array(lengths, np.float64)

    def rate(weights: Array) -> float:
        length = weights @ total
        return float(weights @ edits / length) if length > 0 else float("nan")

    return rate


def _plain(text: object) -> str:
    return " ".join(unicodedata.normalize("NFC", "" if text is None else str(text)).split())
