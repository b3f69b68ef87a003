from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from headwater.errors import CorruptError, InvalidInputError, RefusedError
from headwater.model import Contract, Field, execution_of, infer_contract
from headwater.model.columns import columns_from_rows, input_columns
from headwater.model.flavours import get_flavour
from tests.model.delays import ROWS, flights, forest, inputs, linear, rows_of

ESTIMATORS = ("onnx", "sklearn")  # flavours that an estimator of scikit-learn is saved in
MATRIX = infer_contract({"hour": flights().hour.to_numpy(), "wet": flights().wet.to_numpy()}, linear())


def answers(flavour: str, estimator: Any, contract: Contract, frame: Any) -> dict[str, Any]:
    module = get_flavour(flavour)
    predictor = module.load(module.save(estimator, contract), contract, ())
    return predictor.predict(input_columns(contract.inputs, frame))


@pytest.mark.parametrize("flavour", ESTIMATORS)
def test_a_flavour_answers_with_the_contracts_outputs_as_the_estimator_does(flavour: str) -> None:
    contract = infer_contract(inputs(), forest())

    found = answers(flavour, forest(), contract, inputs())

    assert list(found) == ["label", "probability"]
    assert found["label"].dtype == bool
    assert found["probability"].shape == (ROWS,)
    np.testing.assert_allclose(found["probability"], forest().predict_proba(inputs())[:, 1], atol=1e-6)
    np.testing.assert_array_equal(found["label"], forest().predict(inputs()))


@pytest.mark.parametrize("flavour", ESTIMATORS)
def test_an_estimator_fitted_on_a_matrix_takes_its_columns_by_name(flavour: str) -> None:
    found = answers(flavour, linear(), MATRIX, flights())

    np.testing.assert_allclose(found["value"], flights().hour * 2 + 1, rtol=1e-5)


@pytest.mark.parametrize("flavour", ESTIMATORS)
def test_a_file_describes_itself_without_answering(flavour: str) -> None:
    module = get_flavour(flavour)

    described = module.describe(module.save(forest(), infer_contract(inputs(), forest())))

    assert described["bytes"] > 0


def test_classes_that_are_text_come_back_as_text() -> None:
    from sklearn.linear_model import LogisticRegression

    frame = {"hour": flights().hour.to_numpy(float)}
    names = np.where(flights().hour < 8, "early", np.where(flights().hour < 16, "noon", "night"))
    model = LogisticRegression(max_iter=500).fit(frame["hour"].reshape(-1, 1), names)
    contract = infer_contract(frame, model)

    found = answers("onnx", model, contract, frame)

    assert [field.name for field in contract.outputs] == [
        "label",
        "probability_early",
        "probability_night",
        "probability_noon",
    ]
    assert found["label"].tolist() == model.predict(frame["hour"].reshape(-1, 1)).tolist()


def test_equal_batches_give_equal_bytes_and_floats_keep_every_bit() -> None:
    contract = infer_contract(inputs(), forest())
    module = get_flavour("onnx")
    data = module.save(forest(), contract)
    one, two = (module.load(data, contract, ()) for _ in range(2))
    columns = columns_from_rows(contract.inputs, rows_of(inputs()))

    first, again = one.predict(columns)["probability"], two.predict(columns)["probability"]

    assert first.dtype == np.float32
    assert first.tobytes() == again.tobytes()
    assert np.array(first.tolist(), np.float64).astype(np.float32).tobytes() == first.tobytes()


def test_rows_and_columns_are_given_to_onnx_alike() -> None:
    contract = infer_contract(inputs(), forest())
    module = get_flavour("onnx")
    predictor: Any = module.load(module.save(forest(), contract), contract, ())
    rows = rows_of(inputs())[:200]

    by_row = predictor.predict_rows(rows)["probability"]

    assert by_row.tobytes() == predictor.predict(columns_from_rows(contract.inputs, rows))["probability"].tobytes()


def test_a_pickle_offered_as_a_model_is_not_loaded() -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            raise AssertionError("constructed")

    with pytest.raises(CorruptError, match="A pickle is never loaded"):
        get_flavour("sklearn").load({"model.skops": pickle.dumps(forest())}, infer_contract(inputs(), forest()), ())


def test_a_type_that_nobody_trusted_is_not_constructed() -> None:
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer

    module = get_flavour("sklearn")
    stranger = Pipeline([("own", FunctionTransformer(np.linalg.norm)), *linear_steps()])
    data = module.save(stranger, MATRIX)
    unknown = module.describe(data)["untrusted"]

    assert unknown
    with pytest.raises(RefusedError, match="nobody trusted"):
        module.load(data, MATRIX, ())
    module.load(data, MATRIX, unknown)


def linear_steps() -> list[tuple[str, Any]]:
    return [("model", linear())]


def test_a_file_with_a_flipped_byte_is_refused() -> None:
    module = get_flavour("onnx")
    data = bytearray(module.save(linear(), MATRIX)["model.onnx"])
    data[2] ^= 0xFF

    with pytest.raises(CorruptError, match="not an ONNX model"):
        module.load({"model.onnx": bytes(data)}, MATRIX, ())


def test_what_cannot_be_exported_says_why_and_what_to_do() -> None:
    from sklearn.preprocessing import FunctionTransformer

    with pytest.raises(InvalidInputError, match="onnx=False"):
        get_flavour("onnx").save(FunctionTransformer(np.sin).fit(np.ones((3, 1))), MATRIX)


def test_an_output_that_the_model_does_not_give_is_named() -> None:
    wrong = Contract(inputs=MATRIX.inputs, outputs=(Field(name="score", type="float"),))
    module = get_flavour("onnx")

    with pytest.raises(InvalidInputError, match="takes its output 'score' from 'score', but the model gives value"):
        module.load(module.save(linear(), wrong), wrong, ()).predict(input_columns(wrong.inputs, flights()))


@pytest.mark.parametrize("source", ["probabilities", "probabilities[2]", "label[0]"])
def test_an_output_that_is_no_one_column_is_told(source: str) -> None:
    good = infer_contract(inputs(), forest())
    wrong = Contract(inputs=good.inputs, outputs=(Field(name="score", type="float", source=source),))
    module = get_flavour("onnx")

    with pytest.raises(InvalidInputError, match=r"'score' from .* has [12] for each row: name one as"):
        module.load(module.save(forest(), good), wrong, ()).predict(input_columns(good.inputs, inputs()))


def test_an_execution_names_engines_and_cpu_and_has_one_digest() -> None:
    execution = execution_of("onnx")

    assert execution.threads == 1
    assert set(execution.engines) == {"numpy", "onnxruntime"}
    assert execution.digest == execution_of("onnx").digest != execution_of("sklearn").digest
