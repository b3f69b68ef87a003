"""The contract that every flavour keeps, and how each refuses what it cannot load safely."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headwater.errors import CorruptError, HeadwaterError, InvalidInputError, RefusedError
from headwater.model import Contract, ModelFile, execution_of, load, register
from headwater.model.columns import columns_from_rows, input_columns, rows_from_columns
from headwater.model.flavours import FLAVOURS, get_flavour
from headwater.model.flavours.api import MANIFEST
from headwater.model.flavours.files import ANSWERS
from headwater.project import LocalProject
from tests.model.made import UNLOCKED, Made, installed, made

EVERY = [name for name in FLAVOURS if installed(name)]
ROOT = Path(__file__).parents[2]


def test_every_flavour_is_tested_but_those_whose_engine_the_lock_leaves_out() -> None:
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert set(FLAVOURS) - set(EVERY) <= set(UNLOCKED)
    assert not [name for names in UNLOCKED.values() for name in names if f"\n{name}==" in locked]
    assert "\nnumpy==" in locked  # so that a name which is there is found
    assert "test-extra:" in makefile


def opened(model: Made, contract: Contract | None = None) -> Any:
    return get_flavour(model.flavour).load(model.files, contract or model.contract, model.trusted)


def bytes_of(answers: Mapping[str, Any]) -> dict[str, bytes]:
    return {name: np.asarray(values.tolist()).tobytes() for name, values in answers.items()}


@pytest.mark.parametrize("name", EVERY)
def test_a_flavour_answers_each_output_of_the_contract_for_each_row_in_its_order(name: str) -> None:
    model = made(name)

    found = opened(model).predict(input_columns(model.contract.inputs, model.columns))

    assert list(found) == [field.name for field in model.contract.outputs]
    rows = len(next(iter(model.columns.values())))
    for output, wanted in model.answers.items():
        assert len(found[output]) == rows
        if model.contract.output(output).type == "float":
            np.testing.assert_allclose(found[output].astype(float), wanted, atol=1e-6)
        else:
            assert found[output].tolist() == wanted.tolist()


@pytest.mark.parametrize("name", EVERY)
def test_the_same_batch_gives_the_same_bytes_and_rows_go_there_and_back(name: str) -> None:
    model = made(name)
    rows = rows_from_columns(model.contract.inputs, input_columns(model.contract.inputs, model.columns))
    columns = columns_from_rows(model.contract.inputs, model.contract.validate(rows))
    one, two = opened(model), opened(model)

    first = one.predict(columns)

    assert bytes_of(first) == bytes_of(two.predict(columns)) == bytes_of(one.predict(columns))


@pytest.mark.parametrize("name", EVERY)
def test_a_flavour_says_what_is_inside_without_answering(name: str) -> None:
    said = get_flavour(name).describe(made(name).files)

    assert said["bytes"] > 0
    assert bool(said.get("untrusted")) == made(name).needs_trust
    if said.get("contract") is not None:
        assert [field.name for field in said["contract"].inputs]


@pytest.mark.parametrize("name", EVERY)
def test_a_flavour_names_its_engines(name: str) -> None:
    engines = execution_of(name).engines

    assert engines["numpy"]
    assert set(engines) <= {*get_flavour(name).ENGINES, "numpy"}


class Harm:
    """A pickle of it calls ``harmed`` when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (harmed, ())


def harmed() -> None:
    """Say that code of a pickle was run."""
    raise AssertionError("a pickle was read")


def test_the_planted_pickle_does_its_harm_when_it_is_read() -> None:
    with pytest.raises(AssertionError, match="a pickle was read"):
        pickle.loads(pickle.dumps(Harm()))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_in_place_of_any_file_is_refused_and_not_read(name: str, protocol: int) -> None:
    model = made(name)
    offered = pickle.dumps(Harm(), protocol=protocol)
    data_files = [each for each in model.files if not each.startswith(("code/", "state/", "conda"))]

    for file in data_files:
        with pytest.raises(HeadwaterError) as caught:
            get_flavour(name).load(model.files | {file: offered}, model.contract, model.trusted)
        assert isinstance(caught.value, CorruptError | RefusedError | InvalidInputError)


@pytest.mark.parametrize("name", EVERY)
def test_bytes_that_are_no_model_are_refused(name: str) -> None:
    model = made(name)

    for junk in (b"", b"no model", bytes(range(256)) * 8):
        files = dict.fromkeys(model.files, junk)
        with pytest.raises(CorruptError):
            get_flavour(name).load(files, model.contract, model.trusted)


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_run_and_nobody_is_asked_that_no_admin_trusted(name: str) -> None:
    model = made(name)
    if not model.needs_trust:
        assert model.untrusted == ()
        return
    unanswered = {file: data for file, data in model.files.items() if file != ANSWERS}
    named = next(each for each in model.files if each.startswith("code/") or each == MANIFEST)
    changed = unanswered | {named: unanswered[named] + b"\n"}  # one byte more is another model

    for files, trusted in ((unanswered, ()), (changed, model.trusted)):
        with pytest.raises(RefusedError, match="no admin trusted"):
            get_flavour(name).load(files, model.contract, trusted).predict(
                input_columns(model.contract.inputs, model.columns)
            )


@pytest.mark.parametrize("name", EVERY)
def test_a_registered_model_is_loaded_and_one_with_a_flipped_byte_is_not(
    name: str, sqlite_project: LocalProject
) -> None:
    model = made(name)
    files = [
        ModelFile(name=file, digest=sqlite_project.objects.put(data), size=len(data), flavour=name)
        for file, data in model.files.items()
    ]
    register(sqlite_project, "m", files=files, contract=model.contract, flavour=name, trusted=model.trusted)

    assert load(sqlite_project, "m@v1").predict_columns(model.columns)

    flip_stored_byte(sqlite_project, files[-1].digest)
    with pytest.raises(CorruptError):
        load(sqlite_project, "m@v1")


def flip_stored_byte(project: LocalProject, digest: str) -> None:
    """Change one bit in the middle of an object where it lies on the disk."""
    data = project.objects.get(digest)
    wanted = data[: min(len(data), 64)]
    assert project.root is not None
    for path in [each for each in project.root.joinpath(".headwater").rglob("*") if each.is_file()]:
        held = bytearray(path.read_bytes())
        at = held.find(wanted)
        if at >= 0:
            held[at + len(wanted) // 2] ^= 1
            path.chmod(0o644)
            path.write_bytes(held)
