"""ONNX: served by onnxruntime on the CPU with one thread, so that the same batch gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headwater.errors import CorruptError, MissingExtraError

from ..contract import Contract
from .outputs import Array, named_outputs

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
    return OnnxPredictor(_session(data), contract)


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
    """An onnxruntime session that answers with the contract's outputs."""

    def __init__(self, session: Any, contract: Contract) -> None:
        self._session = session
        self._contract = contract
        self._inputs = [(each.name, _DTYPES[each.type]) for each in session.get_inputs()]
        self._outputs = [each.name for each in session.get_outputs()]

    def predict(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """Return each contract output, shape (rows,), for typed input columns of shape (rows,)."""
        feed = {name: _fed(columns[name], dtype) for name, dtype in self._inputs}
        raw = dict(zip(self._outputs, self._session.run(None, feed), strict=True))
        return named_outputs(self._contract, raw)


def _fed(values: Array, dtype: Any) -> Array:
    """Return a column as a tensor of shape (rows, 1); missing text is the empty text."""
    if dtype is np.object_:
        return np.array(["" if each is None else each for each in values.tolist()], object).reshape(-1, 1)
    if dtype is np.float32:
        # A number beyond 32 bits becomes infinite, as it would in any 32-bit model; numpy would warn.
        with np.errstate(over="ignore"):
            return values.astype(np.float32).reshape(-1, 1)
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
