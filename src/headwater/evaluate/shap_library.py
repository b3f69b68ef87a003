"""Shapley values by the library shap, where it is installed: exact of few inputs, beyond them by its permutations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from headwater.errors import MissingExtraError

from .importance import Columns
from .metrics import Array

_MOST_EXACT = 6  # inputs: each more doubles how often the model is asked
_BACKGROUND = 25


def shap_values(
    ask: Callable[[Columns], Array], names: Sequence[str], explained: Columns, background: Columns, *, seed: int
) -> tuple[Array, Array]:
    """Return what ``shapley_values`` does: parts of shape (rows, inputs), and where answers start, shape (rows,).

    Inputs of every type go to the library as the numbers of their rows, since it masks numbers only.

    Raises:
        MissingExtraError: shap is not installed.
    """
    shap = library()
    pool = {name: np.concatenate([explained[name], background[name]]) for name in names}
    rows, size = len(explained[names[0]]), len(background[names[0]])
    picked = rows + np.random.default_rng(seed).permutation(size)[:_BACKGROUND]

    def asked(places: Array) -> Array:
        columns = {name: pool[name][places[:, k].astype(np.int64)] for k, name in enumerate(names)}
        return ask(columns).astype(np.float64)

    masker = shap.maskers.Independent(_places(picked, len(names)), max_samples=_BACKGROUND)
    way = "exact" if len(names) <= _MOST_EXACT else "permutation"
    found = shap.Explainer(asked, masker, algorithm=way, seed=seed)(_places(np.arange(rows), len(names)), silent=True)
    return np.asarray(found.values, np.float64), np.broadcast_to(np.asarray(found.base_values, np.float64), (rows,))


def library() -> Any:
    """Return the library.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import shap
    except ImportError as error:
        raise MissingExtraError("shap", "shap", "Shapley values by the library shap") from error
    return shap


def _places(rows: Array, width: int) -> Array:
    return np.repeat(rows.astype(np.float64)[:, None], width, axis=1)
