"""Flavours: how a model's files are written, opened and asked. One small module each, with the same four functions.

``save(model, contract)`` returns the files of a fitted model or of a folder, ``load(files, contract, trusted)`` a
predictor, ``predict`` is the predictor's method, ``describe(files)`` says what is inside without running any of it;
under ``contract`` it may say which contract the files suggest, under ``untrusted`` what loading would run.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from headwater.errors import NotFoundError

from ..contract import Contract
from .files import Files

if TYPE_CHECKING:
    import numpy as np

    from ..values import ModelVersion

FLAVOURS: dict[str, str] = {
    "onnx": "an ONNX file",
    "sklearn": "a scikit-learn estimator as skops",
    "xgboost": "XGBoost's own file",
    "lightgbm": "LightGBM's own file",
    "tesseract": "a traineddata file of Tesseract",
    "huggingface": "a folder of Hugging Face with tokenizer and ONNX",
    "transformers": "a folder of Hugging Face with tokenizer and safetensors",
    "mlflow": "a folder of MLflow",
    "pytorch": "a PyTorch module: its state, and its code by content",
    "python": "a class of your own, its code by content",
    "api": "somebody's HTTP API",
}
"""Each flavour and what it keeps."""


class Predictor(Protocol):
    """A model that was opened."""

    def predict(self, columns: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """Return each contract output, shape (rows,), for typed input columns of shape (rows,)."""
        ...


class Flavour(Protocol):
    """What each flavour's module offers."""

    ENGINES: tuple[str, ...]
    """The distributions whose versions decide what it answers, as far as they are installed."""

    def save(self, model: Any, contract: Contract) -> dict[str, bytes]: ...
    def load(self, files: Files, contract: Contract, trusted: Sequence[str]) -> Predictor: ...
    def describe(self, files: Files) -> dict[str, Any]: ...


def get_flavour(name: str) -> Flavour:
    """Return the module of a flavour.

    Raises:
        NotFoundError: there is no such flavour.
    """
    if name not in FLAVOURS:
        raise NotFoundError(f"there is no flavour '{name}'; there are {', '.join(FLAVOURS)}.", flavour=name)
    return cast(Flavour, importlib.import_module(f"{__name__}.{name}"))


def files_of(version: ModelVersion, get: Callable[[str], bytes], flavour: str) -> dict[str, bytes]:
    """Return the files of that flavour of a version; ``get`` returns verified bytes by digest.

    Raises:
        NotFoundError: the version has no such file.
    """
    found = {file.name: get(file.digest) for file in version.files if file.flavour == flavour}
    if not found:
        offered = ", ".join(sorted({file.flavour for file in version.files if file.flavour}))
        raise NotFoundError(
            f"{version.label} has no file of the flavour '{flavour}'; it has {offered}.", flavour=flavour
        )
    return found


def open_flavour(version: ModelVersion, get: Callable[[str], bytes], flavour: str) -> Predictor:
    """Return the files of that flavour of a version, opened; ``get`` returns verified bytes by digest.

    Raises:
        NotFoundError: the version has no such file.
    """
    return get_flavour(flavour).load(files_of(version, get, flavour), version.contract, version.trusted)
