"""A folder of MLflow, read by its ``MLmodel`` file.

Where the folder holds a model in a format that runs no code (ONNX, skops, XGBoost, LightGBM), that is loaded by the
flavour it belongs to, without MLflow. Any other (a Python function, a pickle) is run by MLflow itself, and only where
the folder was trusted by its digest.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from headwater.canonical import digest, digest_of
from headwater.errors import CorruptError, MissingExtraError

from ..contract import Contract, Field, FieldType
from . import lightgbm, onnx, sklearn, xgboost
from .code import require_trusted
from .files import Files, given_files, write_files
from .outputs import Array, NamedOutputs
from .python import called

ENGINES = ("mlflow-skinny", "mlflow", "onnxruntime", "scikit-learn", "skops", "xgboost", "xgboost-cpu", "lightgbm")
MANIFEST = "MLmodel"
_SAFE: dict[str, tuple[Any, tuple[str, ...]]] = {
    "onnx": (onnx, (".onnx",)),
    "sklearn": (sklearn, (".skops",)),
    "xgboost": (xgboost, (".ubj", ".json", ".xgb")),
    "lightgbm": (lightgbm, (".lgb", ".txt")),
}
_TYPES: dict[str, FieldType] = {
    "double": "float", "float": "float", "integer": "int", "long": "int", "boolean": "bool", "string": "str",
    "binary": "file", "array": "json", "object": "json", "map": "json",
}  # fmt: skip


def save(model: Any, contract: Contract) -> dict[str, bytes]:
    """Return the files of a folder that MLflow wrote.

    Raises:
        CorruptError: it has no ``MLmodel`` file that can be read.
    """
    files = given_files(model, "a model of MLflow")
    _manifest(files)
    return files


def load(files: Files, contract: Contract, trusted: Sequence[str] = ()) -> Any:
    """Return the model of a folder, ready to predict.

    Raises:
        RefusedError: its model would run code that was not trusted; nothing of it was run.
        CorruptError: the folder has no ``MLmodel`` file, or its model cannot be read.
        MissingExtraError: what its model needs is not installed.
    """
    manifest = _manifest(files)
    safe = _safe_model(files, manifest)
    if safe is not None:
        flavour, name = safe
        return flavour.load({name: files[name]}, contract, trusted)
    require_trusted(_trust_name(files), trusted, "this folder of MLflow")
    return MlflowPredictor(files, contract)


def describe(files: Files) -> dict[str, Any]:
    """Return the flavours of the folder, whether its model runs code, and the contract of its signature."""
    manifest = _manifest(files)
    safe = _safe_model(files, manifest)
    inside = safe[0].describe({safe[1]: files[safe[1]]}) if safe else {}
    return {
        "flavors": sorted(manifest["flavors"]),
        "mlflow": str(manifest.get("mlflow_version", "")),
        "loaded_as": safe[0].__name__.rpartition(".")[2] if safe else "python_function",
        "untrusted": inside.get("untrusted", []) if safe else [_trust_name(files)],
        "contract": _suggested(manifest),
        "bytes": sum(map(len, files.values())),
    }


class MlflowPredictor:
    """A Python function of MLflow, run by MLflow in this process.

    A frame that it answers gives raw outputs by its columns, a column ``value``, a matrix ``value[0]``, ``value[1]``.
    """

    def __init__(self, files: Files, contract: Contract) -> None:
        try:
            import mlflow.pyfunc
        except ImportError as error:
            raise MissingExtraError("mlflow-skinny", "mlflow", "a Python function of MLflow") from error
        self._inputs = [field.name for field in contract.inputs]
        self._named = NamedOutputs(contract)
        # The function may read its folder whenever it is asked, so that lives as long as this.
        folder = tempfile.mkdtemp(prefix="hw-mlflow-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        write_files(files, Path(folder))
        self._model = called(mlflow.pyfunc.load_model, folder)

    def predict(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """Return each contract output, shape (rows,), for typed input columns of shape (rows,).

        Raises:
            UserCodeError: the function raised.
        """
        import pandas

        found = called(self._model.predict, pandas.DataFrame({name: columns[name] for name in self._inputs}))
        if hasattr(found, "columns"):
            return self._named({str(name): found[name].to_numpy() for name in found.columns})
        return self._named({"value": np.asarray(found)})


def _manifest(files: Files) -> dict[str, Any]:
    try:
        import yaml  # type: ignore[import-untyped]  # it has no types
    except ImportError as error:
        raise MissingExtraError("pyyaml", "mlflow", "a folder of MLflow") from error
    try:
        found = yaml.safe_load(files[MANIFEST].decode("utf-8"))
    except (KeyError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CorruptError(f"this is no folder of MLflow: its file {MANIFEST} is missing or cannot be read.") from error
    if not isinstance(found, dict) or not isinstance(found.get("flavors"), dict):
        raise CorruptError(f"the file {MANIFEST} names no flavors: it is not MLflow's.")
    return found


def _safe_model(files: Files, manifest: dict[str, Any]) -> tuple[Any, str] | None:
    """Return the flavour that can load the folder's model without running code, and the model's file."""
    for flavor, (flavour, endings) in _SAFE.items():
        told = manifest["flavors"].get(flavor)
        for key in ("data", "pickled_model", "model_data") if isinstance(told, dict) else ():
            name = str(told.get(key, ""))
            if name in files and name.endswith(endings):
                return flavour, name
    return None


def _trust_name(files: Files) -> str:
    return f"code:{digest_of(sorted([name, digest(data)] for name, data in files.items()))}"


def _suggested(manifest: dict[str, Any]) -> Contract | None:
    """Return the contract of a folder's signature; None where it has none by column."""
    signature = manifest.get("signature") or {}
    try:
        sides = [
            msgspec.json.decode(signature.get(side) or "[]", type=list[dict[str, Any]])
            for side in ("inputs", "outputs")
        ]
    except (msgspec.DecodeError, TypeError, AttributeError):
        return None
    inputs, outputs = ([_field(each) for each in side] for side in sides)
    if not inputs or None in inputs:
        return None
    known = [each for each in outputs if each is not None] or [Field(name="value", type="float")]
    return Contract(inputs=tuple(each for each in inputs if each is not None), outputs=tuple(known))


def _field(column: dict[str, Any]) -> Field | None:
    kind = _TYPES.get(str(column.get("type")))
    if kind is None or not column.get("name"):
        return None
    return Field(name=str(column["name"]), type=kind, nullable=column.get("required") is False)
