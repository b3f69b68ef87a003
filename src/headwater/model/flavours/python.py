"""Your own class, its code kept by content and run only where it was trusted.

The class has three methods: ``predict(self, columns)`` returns a dict of arrays, shape (rows,), for input columns;
``to_files(self)`` returns what the model learnt as bytes by name; ``from_files(cls, files)``, a class method, makes the
model of them again.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from headwater.errors import CorruptError, InvalidInputError, UserCodeError

from ..contract import Contract
from .code import FOLDER, code_digest, keep, load_class, require_trusted, trust_name
from .files import Files, check_file_name
from .outputs import Array, NamedOutputs

ENGINES = ("numpy",)
FORMAT = "headwater-python/1"
MANIFEST = "model.json"
STATE = "state/"
METHODS = ("predict", "to_files", "from_files")


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``model.json`` says: which class of the kept code is the model; ``arguments`` are those that made it."""

    format: str
    model: str
    arguments: dict[str, Any] = {}


def save(model: Any, contract: Contract) -> dict[str, bytes]:
    """Return the files of a model of your own class: its code, what it learnt, and which class it is.

    Raises:
        InvalidInputError: the class lacks one of the three methods, or its code is in no file.
    """
    missing = [name for name in METHODS if not callable(getattr(model, name, None))]
    if missing:
        raise InvalidInputError(
            f"{type(model).__name__} lacks {', '.join(missing)}: a model of your own has predict(columns), "
            "to_files() and the class method from_files(files)."
        )
    code, name = keep(type(model))
    state = {STATE + check_file_name(str(each)): bytes(data) for each, data in model.to_files().items()}
    return {MANIFEST: msgspec.json.encode(Manifest(format=FORMAT, model=name)), **code, **state}


def load(files: Files, contract: Contract, trusted: Sequence[str] = ()) -> PythonPredictor:
    """Return the model, made by running its code.

    Raises:
        RefusedError: the code was not trusted; nothing of it was run.
        CorruptError: the files are not those of such a model.
        UserCodeError: the code raised.
    """
    manifest = read_manifest(files, FORMAT)
    require_trusted(trust_name(files), trusted, f"'{manifest.model}'")
    made = load_class(files, manifest.model)
    state = {name[len(STATE) :]: data for name, data in files.items() if name.startswith(STATE)}
    return PythonPredictor(called(made.from_files, state), contract)


def describe(files: Files) -> dict[str, Any]:
    """Return the class, its code's files and digest, and what it keeps, without running any of it."""
    manifest = read_manifest(files, FORMAT)
    return {
        "model": manifest.model,
        "code": sorted(name[len(FOLDER) :] for name in files if name.startswith(FOLDER)),
        "state": {name[len(STATE) :]: len(data) for name, data in sorted(files.items()) if name.startswith(STATE)},
        "untrusted": [trust_name(files)],
        "digest": code_digest(files),
        "bytes": sum(map(len, files.values())),
    }


class PythonPredictor:
    """A model of the team's own class."""

    def __init__(self, model: Any, contract: Contract) -> None:
        self._model = model
        self._named = NamedOutputs(contract)

    def predict(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """Return each contract output, shape (rows,), for typed input columns of shape (rows,).

        Raises:
            UserCodeError: the model raised, or did not answer each row.
        """
        rows = len(next(iter(columns.values()))) if columns else 0
        found = called(self._model.predict, dict(columns))
        if not isinstance(found, Mapping):
            raise UserCodeError(f"the model answered with a {type(found).__name__}, not with a dict of arrays.", "")
        raw = {str(name): np.asarray(values) for name, values in found.items()}
        short = [name for name, values in raw.items() if values.ndim == 0 or len(values) != rows]
        if short:
            raise UserCodeError(f"the model did not give one value of '{short[0]}' for each of {rows} rows.", "")
        return self._named(raw)


def read_manifest(files: Files, form: str) -> Manifest:
    """Return what ``model.json`` says.

    Raises:
        CorruptError: there is none, or it is of another format.
    """
    try:
        manifest = msgspec.json.decode(files[MANIFEST], type=Manifest)
    except (KeyError, msgspec.DecodeError) as error:
        raise CorruptError(f"these files are no model of the format {form}: {MANIFEST} is missing or wrong.") from error
    if manifest.format != form or not any(name.startswith(FOLDER) for name in files):
        raise CorruptError(f"these files are no model of the format {form} but '{manifest.format}', or hold no code.")
    return manifest


def called(function: Any, *given: Any, **named: Any) -> Any:
    """Return what the team's code answers; whatever it raises is told with its traceback."""
    try:
        return function(*given, **named)
    except Exception as error:
        told = "".join(traceback.format_exception(error))
        raise UserCodeError(f"the model raised {type(error).__name__}: {error}", told) from error
