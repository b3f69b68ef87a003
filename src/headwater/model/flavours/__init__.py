"""Flavours: how the files of a model are written, opened and asked. One small module each, with the same functions.

``save(estimator, contract)`` returns the file's bytes, ``load(data, contract, trusted)`` a predictor,
``predict`` is the predictor's method, ``describe(data)`` says what is inside without constructing it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from headwater.errors import NotFoundError

from ..contract import Contract

if TYPE_CHECKING:
    import numpy as np

    from ..values import ModelVersion

FLAVOURS: dict[str, str] = {"onnx": "model.onnx", "sklearn": "model.skops", "tesseract": "model.traineddata"}
"""Each flavour and the name its file is given."""


class Predictor(Protocol):
    """A model that was opened."""

    def predict(self, columns: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """Return each contract output, shape (rows,), for typed input columns of shape (rows,)."""
        ...


class Flavour(Protocol):
    """What each flavour's module offers."""

    ENGINES: tuple[str, ...]
    """The distributions whose versions decide what it answers."""

    def save(self, estimator: Any, contract: Contract) -> bytes: ...
    def load(self, data: bytes, contract: Contract, trusted: Sequence[str]) -> Predictor: ...
    def describe(self, data: bytes) -> dict[str, Any]: ...


def get_flavour(name: str) -> Flavour:
    """Return the module of a flavour.

    Raises:
        NotFoundError: there is no such flavour.
    """
    if name not in FLAVOURS:
        raise NotFoundError(f"there is no flavour '{name}'; there are {', '.join(FLAVOURS)}.", flavour=name)
    return cast(Flavour, importlib.import_module(f"{__name__}.{name}"))


def open_flavour(version: ModelVersion, get: Callable[[str], bytes], flavour: str) -> Predictor:
    """Return the file of that flavour of a version, opened; ``get`` returns verified bytes by digest.

    Raises:
        NotFoundError: the version has no such file.
    """
    for file in version.files:
        if file.flavour == flavour:
            return get_flavour(flavour).load(get(file.digest), version.contract, version.trusted)
    offered = ", ".join(file.flavour for file in version.files if file.flavour)
    raise NotFoundError(f"{version.label} has no file of the flavour '{flavour}'; it has {offered}.", flavour=flavour)
