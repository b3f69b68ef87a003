"""LightGBM: kept in its own text format, which holds trees and no code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.errors import CorruptError, InvalidInputError, MissingExtraError

from ..contract import Contract
from .ensembles import classified, feature_frame, feature_matrix, feature_names, has_text
from .files import Files, only, refuse_pickle
from .outputs import Array, NamedOutputs

ENGINES = ("lightgbm", "numpy")
FILE = "model.lgb.txt"


def save(model: Any, contract: Contract) -> dict[str, bytes]:
    """Return the file of a trained ``Booster``, or of an estimator such as ``LGBMClassifier``.

    Raises:
        InvalidInputError: it is neither, or the contract lacks one of its features.
    """
    booster = getattr(model, "booster_", model)
    if not isinstance(booster, _lightgbm().Booster):
        raise InvalidInputError(f"a {type(model).__name__} is no model of LightGBM: give a Booster or an LGBMModel.")
    _features(booster, contract)
    return {FILE: booster.model_to_string(num_iteration=booster.best_iteration).encode()}


def load(files: Files, contract: Contract, trusted: Sequence[str] = ()) -> LightgbmPredictor:
    """Return the trees of a file, ready to predict with one thread; ``trusted`` is not needed, it holds no code.

    Raises:
        CorruptError: LightGBM cannot read the bytes.
        MissingExtraError: lightgbm is not installed.
    """
    return LightgbmPredictor(_booster(only(files, "lightgbm")), contract)


def describe(files: Files) -> dict[str, Any]:
    """Return the objective, the features and the number of trees."""
    data = only(files, "lightgbm")
    booster = _booster(data)
    return {
        "objective": _objective(booster),
        "features": booster.feature_name(),
        "rounds": booster.current_iteration(),
        "bytes": len(data),
    }


class LightgbmPredictor:
    """Trees that answer with the contract's outputs: ``label`` and ``probabilities``, or ``value``."""

    def __init__(self, booster: Any, contract: Contract) -> None:
        self._booster = booster
        self._contract = contract
        self._named = NamedOutputs(contract)
        self._features = _features(booster, contract)
        self._text = has_text(self._features, contract)
        self._classifies = _objective(booster) in ("binary", "cross_entropy", "multiclass", "multiclassova")

    def predict(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """Return each contract output, shape (rows,), for typed input columns of shape (rows,)."""
        given = (
            feature_frame(self._features, self._contract, columns)
            if self._text
            else feature_matrix(self._features, columns)
        )
        found = self._booster.predict(given, num_threads=1)
        return self._named(classified(found, self._contract) if self._classifies else {"value": found})


def _features(booster: Any, contract: Contract) -> list[str]:
    names = booster.feature_name()
    # A booster that was trained on a matrix calls its features Column_0, Column_1, ...
    known = None if names == [f"Column_{place}" for place in range(len(names))] else names
    return feature_names(known, len(names), contract)


def _booster(data: bytes) -> Any:
    refuse_pickle(data, "lightgbm")
    lightgbm = _lightgbm()
    if not data.startswith(b"tree\n"):
        raise CorruptError("these bytes are not a model of LightGBM: such a file begins with the line 'tree'.")
    try:
        return lightgbm.Booster(model_str=data.decode())
    except (lightgbm.basic.LightGBMError, ValueError, KeyError, IndexError) as error:
        raise CorruptError(f"these bytes are not a model of LightGBM: {error}") from error


def _objective(booster: Any) -> str:
    parameters = booster.dump_model(num_iteration=1).get("objective", "")
    return str(parameters).partition(" ")[0]


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise MissingExtraError("lightgbm", "lightgbm", "a model of LightGBM") from error
    return lightgbm
