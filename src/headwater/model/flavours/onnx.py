"""ONNX: served by onnxruntime on the CPU with one thread, so that the same batch gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from headwater.errors import CorruptError, MissingExtraError

from ..columns import columns_from_rows
from ..contract import Contract
from .joined import as_matrix
from .outputs import Array, NamedOutputs

ENGINES = ("onnxruntime",)
PROVIDER = "CPUExecutionProvider"
_DTYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


def save(estimator: Any, contract: Contract) -> bytes:
    """Return a fitted scikit-learn estimator as ONNX bytes whose inputs are the contract's columns."""
    from ..convert import to_onnx

    return to_onnx(estimator, contract)


def load(data: bytes, contract: Contract, trusted: Sequence[str] = ()) -> OnnxPredictor:
    """Return the model of ONNX bytes, ready to predict; ``trusted`` is not needed, ONNX runs no code of its file's.

    Raises:
        CorruptError: the bytes are no ONNX model that this onnxruntime can run.
        MissingExtraError: onnxruntime is not installed.
    """
    joined = as_matrix(data)
    if joined is None:
        return OnnxPredictor(_session(data), contract)
    return OnnxPredictor(_session(joined[0]), contract, joined[1:])


def describe(data: bytes) -> dict[str, Any]:
    """Return the inputs and outputs of ONNX bytes with their types, and the file's own metadata."""
    session = _session(data)
    meta = session.get_modelmeta()
    return {
        "inputs": {each.name: each.type for each in session.get_inputs()},
        "outputs": {each.name: each.type for each in session.get_outputs()},
        "producer": meta.producer_name,
        "metadata": dict(meta.custom_metadata_map),
        "bytes": len(data),
    }


class OnnxPredictor:
    """An onnxruntime session that answers with the contract's outputs.

    ``matrix`` is the name of a tensor that the session takes instead of some inputs, and these, its columns.
    """

    def __init__(self, session: Any, contract: Contract, matrix: tuple[str, list[str]] = ("", [])) -> None:
        self._session = session
        self._named = NamedOutputs(contract)
        self._outputs = [each.name for each in session.get_outputs()]
        self._matrix, self._joined = matrix
        alone = [(each.name, _DTYPES[each.type]) for each in session.get_inputs() if each.name != self._matrix]
        self._inputs = [*((name, np.float32) for name in self._joined), *alone]
        floats = {field.name for field in contract.inputs if field.type == "float"}
        # Columns that can be made of rows in one step: the whole matrix, or else the floats that are fed alone.
        self._whole = bool(self._joined) and floats.issuperset(self._joined)
        plain = [name for name, dtype in self._inputs if dtype is np.float32 and name in floats]
        self._plain = self._joined if self._whole else plain
        self._pick = _picker(self._plain)
        self._others = [(contract.input(name), dtype) for name, dtype in self._inputs if name not in set(self._plain)]

    def predict(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """Return each contract output, shape (rows,), for typed input columns of shape (rows,)."""
        # A number beyond 32 bits becomes infinite, as it would in any 32-bit model; numpy would warn.
        with np.errstate(over="ignore"):
            return self._joined_and_run({name: _fed(columns[name], dtype) for name, dtype in self._inputs})

    def predict_rows(self, rows: Sequence[dict[str, Any]]) -> dict[str, Array]:
        """As ``predict``, for validated rows: the same tensors, with all float columns made in one step.

        With one row of thirty floats, column by column costs 110 µs, this 15, and one matrix of them 5.
        """
        with np.errstate(over="ignore"):
            block = np.array([self._pick(row) for row in rows], np.float32)
            others = {
                field.name: _fed(columns_from_rows([field], rows)[field.name], dtype) for field, dtype in self._others
            }
        if self._whole:
            return self._run({self._matrix: block, **others})
        columns = np.ascontiguousarray(block.T).reshape(len(self._plain), len(rows), 1)
        return self._joined_and_run({**dict(zip(self._plain, columns, strict=True)), **others})

    def _joined_and_run(self, feed: dict[str, Array]) -> dict[str, Array]:
        if self._joined:
            feed[self._matrix] = np.concatenate([feed.pop(name) for name in self._joined], axis=1)
        return self._run(feed)

    def _run(self, feed: dict[str, Array]) -> dict[str, Array]:
        return self._named(dict(zip(self._outputs, self._session.run(self._outputs, feed), strict=True)))


def _picker(names: Sequence[str]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """Return what takes the values of some names out of a row."""
    return itemgetter(*names) if len(names) > 1 else lambda row: tuple(row[name] for name in names)


def _fed(values: Array, dtype: Any) -> Array:
    """Return a column as a tensor of shape (rows, 1); missing text is the empty text."""
    if dtype is np.object_:
        return np.array(["" if each is None else each for each in values.tolist()], object).reshape(-1, 1)
    return values.astype(dtype, copy=False).reshape(-1, 1)


def _session(data: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnxruntime", "onnx", "serving an ONNX model") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(data, options, providers=[PROVIDER])
    except Exception as error:  # onnxruntime raises its own classes, one per status code, without a common root
        raise CorruptError(f"these bytes are not an ONNX model that onnxruntime can run: {error}") from error
