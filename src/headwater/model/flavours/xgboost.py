"""XGBoost: kept in its own UBJSON (or JSON) format, which holds trees and no code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headwater.errors import CorruptError, InvalidInputError, MissingExtraError

from ..contract import Contract
from .ensembles import classified, feature_frame, feature_matrix, feature_names, has_text
from .files import Files, only, refuse_pickle
from .outputs import Array, NamedOutputs
from .ubjson import keys_of

ENGINES = ("xgboost", "xgboost-cpu", "numpy")
FILE = "model.ubj"


def save(model: Any, contract: Contract) -> dict[str, bytes]:
    """Return the file of a trained ``Booster``, or of an estimator such as ``XGBClassifier``.

    Raises:
        InvalidInputError: it is neither, or the contract lacks one of its features.
    """
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    if not isinstance(booster, _xgboost().Booster):
        raise InvalidInputError(f"a {type(model).__name__} is no model of XGBoost: give a Booster or an XGBModel.")
    feature_names(booster.feature_names, booster.num_features(), contract)
    return {FILE: bytes(booster.save_raw(raw_format="ubj"))}


def load(files: Files, contract: Contract, trusted: Sequence[str] = ()) -> XgboostPredictor:
    """Return the trees of a file, ready to predict with one thread; ``trusted`` is not needed, it holds no code.

    Raises:
        CorruptError: XGBoost cannot read the bytes.
        MissingExtraError: xgboost is not installed.
    """
    return XgboostPredictor(_booster(only(files, "xgboost")), contract)


def describe(files: Files) -> dict[str, Any]:
    """Return the objective, the features and the number of trees."""
    data = only(files, "xgboost")
    booster = _booster(data)
    return {
        "objective": _objective(booster),
        "features": booster.feature_names or booster.num_features(),
        "rounds": booster.num_boosted_rounds(),
        "bytes": len(data),
    }


class XgboostPredictor:
    """Trees that answer with the contract's outputs: ``label`` and ``probabilities``, or ``value``."""

    def __init__(self, booster: Any, contract: Contract) -> None:
        self._booster = booster
        self._contract = contract
        self._named = NamedOutputs(contract)
        self._features = feature_names(booster.feature_names, booster.num_features(), contract)
        self._text = has_text(self._features, contract)
        self._objective = _objective(booster)
        best = booster.attr("best_iteration")
        self._rounds = (0, int(best) + 1 if best is not None else 0)

    def predict(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """Return each contract output, shape (rows,), for typed input columns of shape (rows,)."""
        found = self._raw(columns)
        if self._objective in ("binary:logistic", "multi:softprob"):
            return self._named(classified(found, self._contract))
        return self._named({"label" if self._objective == "multi:softmax" else "value": found})

    def _raw(self, columns: Mapping[str, Array]) -> Array:
        if self._text:
            frame = feature_frame(self._features, self._contract, columns)
            matrix = _xgboost().DMatrix(frame, enable_categorical=True, nthread=1)
            answered: Array = self._booster.predict(matrix, iteration_range=self._rounds)
            return answered
        matrix = feature_matrix(self._features, columns)
        answered = self._booster.inplace_predict(matrix, iteration_range=self._rounds, validate_features=False)
        return answered


def _booster(data: bytes) -> Any:
    refuse_pickle(data, "xgboost")
    _require_whole(data)
    xgboost = _xgboost()
    booster = xgboost.Booster(params={"nthread": 1, "verbosity": 0})
    try:
        booster.load_model(bytearray(data))
    except (xgboost.core.XGBoostError, ValueError) as error:
        told = str(error).strip().splitlines()
        raise CorruptError(f"these bytes are not a model of XGBoost: {told[-1] if told else 'unreadable'}") from error
    booster.set_param({"nthread": 1})
    return booster


def _require_whole(data: bytes) -> None:
    """Return when the bytes are one object with a learner; XGBoost would end the process at some that are not."""
    try:
        keys = list(msgspec.json.decode(data, type=dict[str, Any])) if data[1:2] in b'"\n \t' else keys_of(data)
    except (msgspec.DecodeError, RecursionError, CorruptError) as error:
        raise CorruptError(f"these bytes are not a model of XGBoost: {error}") from error
    if "learner" not in keys:
        raise CorruptError(f"these bytes are not a model of XGBoost: no 'learner' among {', '.join(keys[:5])}.")


def _objective(booster: Any) -> str:
    return str(msgspec.json.decode(booster.save_config())["learner"]["objective"]["name"])


def _xgboost() -> Any:
    try:
        import xgboost
    except ImportError as error:
        raise MissingExtraError("xgboost", "xgboost", "a model of XGBoost") from error
    return xgboost
