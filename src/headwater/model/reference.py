"""The training profile: how each input and each answer was distributed in training, in a few numbers per column.

Format ``headwater-reference/1``, stored as a JSON object (``headwater.model.documents``)::

    {"format": "headwater-reference/1", "rows": 54000,
     "inputs":  {"temp": {"kind": "number", "edges": [...], "counts": [...], "missing": 12,
                          "minimum": 12.0, "maximum": 71.1, "mean": 38.4, "deviation": 9.9},
                 "carrier": {"kind": "category", "values": ["UA", ...], "counts": [...], "other": 0, "missing": 0}},
     "outputs": {"probability": {...}, "label": {...}}}

``edges`` are k-1 ascending cut points of k bins: bin i holds ``edges[i-1] < x <= edges[i]``, the first and last
are open to their side, so a value never seen before has a bin. They are quantiles of training, so the bins hold
about equal shares. ``values`` are the most frequent categories, ``other`` counts the rest together. Booleans are
categories ``"True"`` and ``"False"``. Missing values are counted apart and are in no bin. The
outputs may be profiled on a part of the rows, spread evenly: compare shares, not counts.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

FORMAT = "headwater-reference/1"
BINS = 20
CATEGORIES = 50


def profile_reference(inputs: Any, outputs: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the profile of training inputs (a frame or dict of columns) and the model's answers to them."""
    from .columns import as_columns

    columns = as_columns(inputs)
    answers = as_columns(outputs) if outputs else {}
    rows = len(next(iter(columns.values()))) if columns else 0
    return {
        "format": FORMAT,
        "rows": rows,
        "inputs": {name: profile_column(values) for name, values in columns.items()},
        "outputs": {name: profile_column(values) for name, values in answers.items()},
    }


def profile_column(values: Array) -> dict[str, Any]:
    """Return the profile of one column, shape (rows,)."""
    from .columns import is_missing

    missing = is_missing(values)
    present = values[~missing]
    if values.dtype.kind in "fiu":
        return _profile_numbers(present.astype(float), int(missing.sum()))
    return _profile_categories(present, int(missing.sum()))


def count_column(profile: Mapping[str, Any], values: Array) -> list[int]:
    """Return how many of new values fall in each bin of a column's profile.

    A number: one count per bin, then the missing. A category: one per listed value, then the other, then the
    missing. The same order as ``reference_counts`` gives for training.
    """
    import numpy as np

    from .columns import is_missing

    missing = is_missing(values)
    present = values[~missing]
    if profile["kind"] == "number":
        bins = np.searchsorted(np.asarray(profile["edges"], float), present.astype(float), side="left")
        counts = np.bincount(bins, minlength=len(profile["counts"]))
        return [*counts.tolist(), int(missing.sum())]
    names, found = np.unique(present.astype(str), return_counts=True)
    by_name = dict(zip(names.tolist(), found.tolist(), strict=True))
    listed = [by_name.get(value, 0) for value in profile["values"]]
    return [*listed, len(present) - sum(listed), int(missing.sum())]


def reference_counts(profile: Mapping[str, Any]) -> list[int]:
    """Return training's own counts in the order of ``count_column``."""
    other = [profile["other"]] if profile["kind"] == "category" else []
    return [*profile["counts"], *other, profile["missing"]]


def bin_labels(profile: Mapping[str, Any]) -> list[str]:
    """Return a name per count of ``count_column``, for pages and messages."""
    if profile["kind"] == "category":
        return [*profile["values"], "other", "missing"]
    edges = [f"{edge:.6g}" for edge in profile["edges"]]
    if not edges:
        return ["all", "missing"]
    middle = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
    return [f"up to {edges[0]}", *middle, f"above {edges[-1]}", "missing"]


def _profile_numbers(present: Array, missing: int) -> dict[str, Any]:
    import numpy as np

    finite = present[np.isfinite(present)]
    if not len(finite):
        return {"kind": "number", "edges": [], "counts": [len(present)], "missing": missing}
    # Quantiles that are values of the sample, placed in whole numbers; two equal ones would make an empty bin.
    places = (np.arange(1, BINS) * len(finite) + BINS - 1) // BINS - 1
    edges = np.unique(np.sort(finite)[places])
    edges = edges[edges < finite.max()]
    counts = np.bincount(np.searchsorted(edges, present, side="left"), minlength=len(edges) + 1)
    return {
        "kind": "number",
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "missing": missing,
        "minimum": float(finite.min()),
        "maximum": float(finite.max()),
        "mean": float(finite.mean()),
        "deviation": float(finite.std()),
    }


def _profile_categories(present: Array, missing: int) -> dict[str, Any]:
    import numpy as np

    names, counts = np.unique(present.astype(str), return_counts=True)
    order = np.lexsort((names, -counts))[:CATEGORIES]
    return {
        "kind": "category",
        "values": names[order].tolist(),
        "counts": counts[order].tolist(),
        "other": int(counts.sum() - counts[order].sum()),
        "missing": missing,
    }
