"""Exporting a fitted scikit-learn estimator to ONNX: one input per contract column, raw outputs under fixed names."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from headwater.errors import InvalidInputError, MissingExtraError

from .contract import Contract, Field

RAW_CLASSIFIER = ("label", "probabilities")
RAW_REGRESSOR = ("value",)
_MATRIX = "headwater_matrix"


def to_onnx(estimator: Any, contract: Contract) -> bytes:
    """Return the estimator as ONNX bytes that onnxruntime can run.

    Each contract input is an ONNX input of shape (rows, 1): float32, int64, bool or string. Where a step of the
    estimator cannot take whole numbers or booleans as they are, they become float32; where it was fitted on a matrix,
    the columns are joined inside the graph. A classifier gives ``label`` and ``probabilities``, a regressor ``value``.

    Raises:
        InvalidInputError: some step has no ONNX form; the message says which and what to do.
        MissingExtraError: skl2onnx or onnxruntime is not installed.
    """
    _require_libraries()
    reasons: list[str] = []
    for attempt in _attempts(estimator, contract):
        try:
            with _quiet():
                model = attempt()
                _name_outputs(model, RAW_CLASSIFIER if hasattr(estimator, "classes_") else RAW_REGRESSOR)
                data: bytes = model.SerializeToString()
                _require_loads(data, contract)
            return data
        except MissingExtraError:
            raise
        except Exception as error:  # noqa: BLE001  # converters of any library may raise anything; each reason is kept
            reasons.append(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    raise InvalidInputError(
        f"{type(estimator).__name__} cannot be exported to ONNX: {'; '.join(dict.fromkeys(reasons))}. "
        "Use steps that skl2onnx supports, or register it with onnx=False to serve scikit-learn itself.",
        reasons=reasons,
    )


def _attempts(estimator: Any, contract: Contract) -> Iterator[Callable[[], Any]]:
    fields = _in_fitted_order(estimator, contract)
    if hasattr(estimator, "feature_names_in_"):
        yield lambda: _by_column(estimator, fields, keep_whole=True)
        yield lambda: _by_column(estimator, fields, keep_whole=False)
    if all(field.type != "str" for field in fields):
        yield lambda: _by_matrix(estimator, fields)


def _in_fitted_order(estimator: Any, contract: Contract) -> list[Field]:
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        return list(contract.inputs)
    return [contract.input(str(name)) for name in names]


def _by_column(estimator: Any, fields: Sequence[Field], *, keep_whole: bool) -> Any:
    from skl2onnx.common.data_types import BooleanTensorType, FloatTensorType, Int64TensorType, StringTensorType

    whole = {"int": Int64TensorType, "bool": BooleanTensorType}
    types = []
    for field in fields:
        kind = StringTensorType if field.type == "str" else FloatTensorType
        if keep_whole and field.type in whole and not field.nullable:
            kind = whole[field.type]
        types.append((field.name, kind([None, 1])))
    return _convert(estimator, types)


def _by_matrix(estimator: Any, fields: Sequence[Field]) -> Any:
    """Return the model converted with one matrix input, its columns joined in the graph."""
    from onnx import TensorProto, helper
    from skl2onnx.common.data_types import FloatTensorType

    model = _convert(estimator, [(_MATRIX, FloatTensorType([None, len(fields)]))])
    inputs = [helper.make_tensor_value_info(field.name, TensorProto.FLOAT, [None, 1]) for field in fields]
    joined = helper.make_node("Concat", [field.name for field in fields], [_MATRIX], axis=1)
    nodes = [joined, *model.graph.node]
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend(nodes)
    model.graph.input.extend(inputs)
    return model


def _convert(estimator: Any, types: list[tuple[str, Any]]) -> Any:
    from skl2onnx import convert_sklearn

    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "classes_") else None
    return convert_sklearn(estimator, name="headwater", initial_types=types, options=options)


def _name_outputs(model: Any, names: Sequence[str]) -> None:
    """Give the graph's outputs their fixed names, wherever those names were used inside."""
    outputs = [each.name for each in model.graph.output]
    if len(outputs) < len(names):
        raise ValueError(f"the exported graph has the outputs {outputs}, expected {list(names)}")
    wanted = dict(zip(outputs, names, strict=False))
    taken = {name: f"{name}_inside" for name in names if name not in outputs}
    taken |= {name: f"{name}_moved" for name in names if name in outputs and wanted.get(name) != name}
    mapping = taken | wanted
    for node in model.graph.node:
        node.input[:] = [mapping.get(name, name) for name in node.input]
        node.output[:] = [mapping.get(name, name) for name in node.output]
    for value, name in zip(model.graph.output, names, strict=False):
        value.name = name


def _require_loads(data: bytes, contract: Contract) -> None:
    from .flavours import get_flavour

    get_flavour("onnx").load({"model.onnx": data}, contract, ())


def _require_libraries() -> None:
    try:
        import onnxruntime  # noqa: F401  # asked for only to say early which extra is missing
        import skl2onnx  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("skl2onnx", "onnx", "exporting a model to ONNX") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep skl2onnx' warnings and log lines away: what matters of them is raised by the session's own check."""
    log = logging.getLogger("skl2onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
