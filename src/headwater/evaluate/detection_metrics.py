"""Metrics of detected boxes: COCO's average precision, weighted by how often each picture is drawn.

A picture's boxes are a list (or its JSON text) of ``{"label": text, "box": [left, top, right, bottom], "score"}``; the
truth's have no score. Matching follows COCO's evaluation for areas of all sizes and 100 boxes a picture: in the order
of their scores, each box takes the free true box of its label that it overlaps most, from a threshold on.

Source: Lin et al. (2014), Microsoft COCO, arXiv:1405.0312, and its pycocotools, which these numbers agree with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from headwater.errors import InvalidInputError

from .metrics import Array, Weighted

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""Overlaps (intersection over union) from which a box counts as found."""
_RECALLS = np.linspace(0, 1, 101)
_MOST_BOXES = 100


class Box(msgspec.Struct, frozen=True):
    """One box: corners in pixels of the picture, what it shows, and how sure the model is."""

    label: str
    box: tuple[float, float, float, float]
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class _Matched:
    """The boxes of one label over all pictures, the surest first: their picture, and at which thresholds they hit."""

    picture: Array  # (boxes,)
    hit: Array  # (thresholds, boxes)
    wanted: Array  # (pictures,): true boxes of the label


def detection_metrics(truth: Array, boxes: Array) -> dict[str, Weighted]:
    """Return ``map`` (mean over overlaps 0.50 to 0.95), ``map_50``, ``map_75`` and ``recall_100``, as COCO has them.

    Both hold lists of boxes, shape (pictures,). Labels that no drawn picture truly has are left out of the means.

    Raises:
        InvalidInputError: something is no list of boxes.
    """
    wanted = [read_boxes(each) for each in truth.tolist()]
    found = [read_boxes(each) for each in boxes.tolist()]
    labels = sorted({box.label for each in wanted for box in each})
    matched = [_match(label, wanted, found) for label in labels]
    everything = slice(None)

    def precision(chosen: slice) -> Weighted:
        return lambda weights: _mean([_average_precision(each, weights) for each in matched], chosen)

    return {
        "map": precision(everything),
        "map_50": precision(slice(0, 1)),
        "map_75": precision(slice(5, 6)),
        "recall_100": lambda weights: _mean([_recall(each, weights) for each in matched], everything),
    }


def read_boxes(value: Any) -> list[Box]:
    """Return a picture's boxes from a list, its JSON text, or nothing.

    Raises:
        InvalidInputError: it is none of these.
    """
    try:
        if isinstance(value, str | bytes):
            return msgspec.json.decode(value, type=list[Box])
        given = [] if value is None else value.tolist() if hasattr(value, "tolist") else value
        return msgspec.convert(given, list[Box], strict=False)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InvalidInputError(
            f"these are no boxes: {error}. A picture's boxes are a list of {{label, box: [left, top, right, bottom], "
            "score}, or the JSON text of one."
        ) from error


def _match(label: str, wanted: Sequence[list[Box]], found: Sequence[list[Box]]) -> _Matched:
    scores, pictures, hits = [], [], []
    counts = np.zeros(len(wanted))
    for place, (true, said) in enumerate(zip(wanted, found, strict=True)):
        true_boxes = np.array([each.box for each in true if each.label == label]).reshape(-1, 4)
        counts[place] = len(true_boxes)
        own = [each for each in said if each.label == label]
        own = [own[k] for k in np.argsort([-each.score for each in own], kind="stable")[:_MOST_BOXES]]
        if own:
            overlaps = overlap(np.array([each.box for each in own]), true_boxes)
            hits.append(np.stack([_taken(overlaps, threshold) for threshold in THRESHOLDS]))
            scores += [each.score for each in own]
            pictures += [place] * len(own)
    order = np.argsort(-np.array(scores), kind="stable") if scores else np.zeros(0, np.int64)
    hit = np.concatenate(hits, axis=1) if hits else np.zeros((len(THRESHOLDS), 0), bool)
    return _Matched(picture=np.array(pictures, np.int64)[order], hit=hit[:, order], wanted=counts)


def overlap(a: Array, b: Array) -> Array:
    """Return intersection over union of each of ``a`` (n, 4) with each of ``b`` (m, 4); shape (n, m)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(axis=1), (b[:, 2:] - b[:, :2]).prod(axis=1)
    union = area_a[:, None] + area_b[None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def _taken(overlaps: Array, threshold: float) -> Array:
    """Return which of a picture's boxes, the surest first, find a true box of their own."""
    free = np.ones(overlaps.shape[1], bool)
    hit = np.zeros(len(overlaps), bool)
    for place, row in enumerate(overlaps):
        able = np.where(free & (row >= min(threshold, 1 - 1e-10)), row, -1.0)
        if len(able) and able.max() >= 0:
            # Of equal overlaps COCO takes the last.
            chosen = len(able) - 1 - int(np.argmax(able[::-1]))
            free[chosen] = False
            hit[place] = True
    return hit


def _average_precision(matched: _Matched, weights: Array) -> Array | None:
    """Return the average precision at each threshold over 101 recalls, None where nothing is to be found."""
    wanted = float(weights @ matched.wanted)
    if wanted <= 0:
        return None
    drawn = weights[matched.picture]
    right = np.cumsum(matched.hit * drawn, axis=1)
    said = np.cumsum(drawn)
    precision = np.divide(right, said, out=np.zeros_like(right), where=said > 0)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    found = np.zeros(len(THRESHOLDS))
    for place, recall in enumerate(right / wanted):
        at = np.searchsorted(recall, _RECALLS, side="left")
        found[place] = precision[place, at[at < len(said)]].sum() / len(_RECALLS)
    return found


def _recall(matched: _Matched, weights: Array) -> Array | None:
    wanted = float(weights @ matched.wanted)
    return (matched.hit @ weights[matched.picture]) / wanted if wanted > 0 else None


def _mean(parts: Sequence[Array | None], thresholds: slice) -> float:
    defined = [each[thresholds] for each in parts if each is not None]
    return float(np.mean(defined)) if defined else float("nan")
