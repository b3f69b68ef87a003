"""Folders that MLflow itself wrote: collected where it is installed, which is in `make test-extra`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from headwater.errors import RefusedError
from headwater.model import Contract, Field
from headwater.model.flavours import get_flavour
from headwater.model.flavours.files import read_files
from tests.model.delays import flights, linear

pytestmark = pytest.mark.filterwarnings("default")  # MLflow warns of its own doings

INPUTS = (Field(name="hour", type="float"), Field(name="wet", type="float"))
VALUE = Contract(inputs=INPUTS, outputs=(Field(name="value", type="float"),))


def columns() -> dict[str, Any]:
    return {name: flights()[name].to_numpy(float)[:50] for name in ("hour", "wet")}


def test_an_estimator_that_mlflow_kept_as_skops_is_loaded_without_mlflow(tmp_path: Path) -> None:
    frame = flights()[["hour", "wet"]].astype(float)
    signature = mlflow.models.infer_signature(frame, linear().predict(frame.to_numpy()))
    mlflow.sklearn.save_model(linear(), tmp_path / "m", signature=signature, serialization_format="skops")
    files = read_files(tmp_path / "m")
    flavour = get_flavour("mlflow")

    said = flavour.describe(files)
    found = flavour.load(files, VALUE, ()).predict(columns())

    assert said["loaded_as"] == "sklearn" and said["untrusted"] == []
    assert [(field.name, field.type) for field in said["contract"].inputs] == [("hour", "float"), ("wet", "float")]
    np.testing.assert_allclose(found["value"], columns()["hour"] * 2 + 1)


def test_a_python_function_is_run_by_mlflow_only_after_it_was_trusted(tmp_path: Path) -> None:
    def twice(self: Any, context: Any, model_input: Any, params: Any = None) -> Any:
        return model_input["hour"].to_numpy() * 2

    model = type("Twice", (mlflow.pyfunc.PythonModel,), {"predict": twice})()
    mlflow.pyfunc.save_model(tmp_path / "m", python_model=model)
    files = read_files(tmp_path / "m")
    flavour = get_flavour("mlflow")
    said = flavour.describe(files)

    assert said["loaded_as"] == "python_function"
    with pytest.raises(RefusedError, match="no admin trusted"):
        flavour.load(files, VALUE, ())
    found = flavour.load(files, VALUE, said["untrusted"]).predict(columns())
    np.testing.assert_array_equal(found["value"], columns()["hour"] * 2)
