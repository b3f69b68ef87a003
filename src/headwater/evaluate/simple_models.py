"""Models so simple that a real one must be better: a constant, a straight line, a small tree."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from headwater.errors import MissingExtraError
from headwater.model import Contract

from .data import EvaluationSet, truth_as_boolean
from .encoding import Encoder
from .metrics import Array
from .tasks import positive_class, task_of

MOST_ROWS = 100_000
_DEPTH = 4

Answering = Callable[[Mapping[str, Array]], dict[str, Array]]
"""Input columns to the output that the task is measured by."""


def simple_models(contract: Contract, train: EvaluationSet, *, seed: int) -> Iterator[tuple[str, str, Answering]]:
    """Yield the name, a sentence and the answers of each simple model, trained on at most 100,000 of the rows.

    Nothing for tasks that have no such model (text, detection, ranking). Inputs that are no plain values are left out.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    task = task_of(contract)
    if task not in ("binary", "classes", "regression"):
        return
    if train.rows > MOST_ROWS:
        train = train.part(np.sort(np.random.default_rng(seed).permutation(train.rows)[:MOST_ROWS]))
    truth = _truth(contract, task, train)
    yield _constant(task, truth)
    plain = [field.name for field in contract.inputs if field.type in ("float", "int", "bool", "str")]
    if not plain or len(np.unique(truth)) < 2:
        return
    columns = {name: train.columns[name] for name in plain}
    for name, says, make, ordinal in _fitted(task, seed):
        encoder = Encoder(columns, ordinal=ordinal)
        model = make()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a line that did not converge is a baseline all the same
            model.fit(encoder(columns), truth)
        yield name, f"{says} on {len(plain)} inputs", _asked(task, model, encoder)


def _truth(contract: Contract, task: str, train: EvaluationSet) -> Array:
    if task == "binary":
        return truth_as_boolean(train.truth, positive_class(contract)).astype(np.int64)
    return train.truth.astype(np.float64) if task == "regression" else train.truth


def _constant(task: str, truth: Array) -> tuple[str, str, Answering]:
    if task == "classes":
        names, counts = np.unique(truth, return_counts=True)
        common = names[int(counts.argmax())]
        return "constant", f"always {common}", lambda columns: {"label": np.full(_rows(columns), common)}
    value = float(truth.mean())
    output = "probability" if task == "binary" else "value"
    return "constant", f"always {value:.4g}, the mean", lambda columns: {output: np.full(_rows(columns), value)}


def _fitted(task: str, seed: int) -> Iterator[tuple[str, str, Callable[[], Any], bool]]:
    try:
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "sklearn", "training baselines") from error

    def linear() -> Any:
        line = Ridge() if task == "regression" else LogisticRegression(max_iter=300)
        return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), line)

    def tree() -> Any:
        kind = DecisionTreeRegressor if task == "regression" else DecisionTreeClassifier
        return kind(max_depth=_DEPTH, min_samples_leaf=20, random_state=seed)

    yield "linear", "ridge regression" if task == "regression" else "logistic regression", linear, False
    yield "tree", f"a decision tree of depth {_DEPTH}", tree, True


def _asked(task: str, model: Any, encoder: Encoder) -> Answering:
    def answer(columns: Mapping[str, Array]) -> dict[str, Array]:
        table = encoder(columns)
        if task == "binary":
            return {"probability": model.predict_proba(table)[:, 1]}
        return {"label" if task == "classes" else "value": model.predict(table)}

    return answer


def _rows(columns: Mapping[str, Array]) -> int:
    return len(next(iter(columns.values())))
