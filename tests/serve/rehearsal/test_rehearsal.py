from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headwater.errors import InvalidInputError, NotFoundError, RefusedError
from headwater.model import Contract, ModelFile, ModelVersion, register, save_estimator
from headwater.project import LocalProject, Project, create_project
from headwater.serve import Outcome, predict, record_outcomes
from headwater.serve.rehearsal import (
    REHEARSALS,
    backtest,
    list_callers,
    list_consumers,
    measure_budget,
    register_consumer,
    remove_consumer,
    replay_calls,
)
from headwater.serve.rehearsal.changes import input_changes, output_changes
from tests.serve.models import estimator, point, row, training


@cache
def exported(depth: int) -> tuple[bytes, Contract]:
    """Return a model's ONNX file and contract, made once."""
    import pandas

    with tempfile.TemporaryDirectory() as folder, create_project(Path(folder) / "p", name="p", actor="ann") as project:
        saved = save_estimator(project, estimator(depth), pandas.DataFrame(training()[0]), onnx=True)
        [file] = [each for each in saved.files if each.flavour == "onnx"]
        return project.objects.get(file.digest), saved.contract


def add_version(project: Project, depth: int = 2) -> ModelVersion:
    """Register a version from its export alone: nothing here looks at parity, whose search takes its time."""
    data, contract = exported(depth)
    file = ModelFile(name="model.onnx", digest=project.objects.put(data), size=len(data), flavour="onnx")
    return register(project, "delay", files=[file], contract=contract)


def asked(project: LocalProject, caller: str, rows: range, *, truth: bool = False) -> None:
    """Let a caller ask production about rows of the training data, and report what was true of them."""
    given = [row(number) for number in rows]
    answer = predict(project.as_actor(caller), "delay", given)
    if truth:
        labels = training()[1]
        outcomes = [
            Outcome(prediction=each["id"], label=bool(labels[number]))
            for number, each in zip(rows, answer.predictions, strict=True)
        ]
        record_outcomes(project, outcomes)


def variant(project: Project, version: ModelVersion, **changed: Any) -> ModelVersion:
    """Register the same files with another contract."""
    contract = msgspec.structs.replace(version.contract, **changed)
    return register(project, version.model, files=version.files, contract=contract)


def bounded(version: ModelVersion, name: str, **changed: Any) -> tuple[Any, ...]:
    return tuple(
        msgspec.structs.replace(field, **changed) if field.name == name else field for field in version.contract.inputs
    )


@pytest.fixture
def served(sqlite_project: LocalProject) -> LocalProject:
    """Return a project whose production points to delay@v1, a shallow model."""
    point(sqlite_project, add_version(sqlite_project, depth=1))
    return sqlite_project


# ---- backtests


def test_a_backtest_asks_again_and_compares_with_what_turned_out_to_be_true(served: LocalProject) -> None:
    asked(served, "gates", range(400), truth=True)
    better = add_version(served, depth=4)

    body = backtest(served, better.id, resamples=100).body

    assert (body["rows"], body["refused"], body["not_kept"], body["outcomes"]) == (400, 0, 0, 400)
    assert body["champion_label"] == "delay@v1"
    assert body["answered_by"] == [{"version": body["champion"], "label": "delay@v1", "rows": 400}]
    assert body["metric"] == "auc"
    assert body["value"] > body["recorded_value"]  # a deeper model of the rows it was trained on
    assert body["better"] and not body["worse"]
    assert {each["output"] for each in body["differences"]} == {"label", "probability"}
    assert "better than what was answered" in body["sentence"]


def test_a_version_backtested_against_its_own_answers_differs_in_nothing(served: LocalProject) -> None:
    asked(served, "gates", range(50), truth=True)

    body = backtest(served, "delay@v1", resamples=50).body

    assert all((each["changed"], each["largest"] or 0.0) == (0.0, 0.0) for each in body["differences"])
    assert body["gain"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert not body["better"] and not body["worse"]


def test_a_worse_version_is_found_worse(served: LocalProject) -> None:
    point(served, add_version(served, depth=4))
    asked(served, "gates", range(400), truth=True)

    assert backtest(served, "delay@v1", resamples=100).body["worse"]


def test_recorded_rows_that_a_version_refuses_are_counted_with_why(served: LocalProject) -> None:
    asked(served, "gates", range(30))
    hours = [row(number)["hour"] for number in range(30)]
    first = add_version(served, depth=2)
    strict = variant(served, first, inputs=bounded(first, "hour", maximum=15.0))

    body = backtest(served, strict.id).body

    assert body["refused"] == sum(hour > 15 for hour in hours) > 0
    assert body["problems"][0]["field"] == "hour"
    assert any("hour" in each for each in body["changes"])
    assert body["gain"] is None


def test_rows_that_were_not_kept_whole_are_counted_and_not_asked(served: LocalProject) -> None:
    asked(served, "gates", range(10))
    version = add_version(served, depth=2)
    [kept] = served.events.query("SELECT * FROM predictions LIMIT 1", streams=["predictions"]).dicts()
    hidden = {**kept, "inputs": None, "outputs": None, "left_out": "*"}
    for number in range(3):
        copy = {key: value for key, value in hidden.items() if key != "recorded_at"}
        served.events.append("predictions", [{**copy, "prediction": f"{kept['prediction'][:-1]}{number}"}])

    body = backtest(served, version.id).body

    assert (body["rows"], body["not_kept"]) == (10, 3)
    assert "3 more were not kept" in body["sentence"]


def test_a_backtest_without_traffic_says_what_to_do(served: LocalProject) -> None:
    version = add_version(served, depth=2)

    with pytest.raises(NotFoundError, match="nothing that delay@production was asked is recorded"):
        backtest(served, version.id)
    with pytest.raises(NotFoundError, match="nothing of 'delay' was released to staging"):
        backtest(served, version.id, "staging")
    with pytest.raises(InvalidInputError, match="1 to 100,000 rows"):
        backtest(served, version.id, rows=0)


# ---- consumers


def test_consumers_are_registered_changed_and_removed_from_anywhere(project: Project) -> None:
    version = add_version(project)
    assert version.number == 1

    first = register_consumer(project, "delay", "gates", contact="gates@example.com")
    again = register_consumer(project, "delay", "gates", callers=["gates-eu", "gates-us"], reads=["label"])

    assert first.callers == ("gates",)
    assert (again.callers, again.reads) == (("gates-eu", "gates-us"), ("label",))
    assert list_consumers(project, "delay") == [again]
    assert list_consumers(project, "delay", channel="staging") == []
    remove_consumer(project, "delay", "gates")
    with pytest.raises(NotFoundError, match="no registered consumer"):
        remove_consumer(project, "delay", "gates")


def test_who_asks_is_seen_in_the_traffic_and_matched_with_who_is_registered(served: LocalProject) -> None:
    register_consumer(served, "delay", "gates", callers=["gates-eu"])
    asked(served, "gates-eu", range(3))
    asked(served, "sheet", range(5))

    found = list_callers(served, "delay")

    assert [(each.caller, each.consumer, each.rows) for each in found] == [("sheet", None, 5), ("gates-eu", "gates", 3)]


def test_each_consumers_recorded_calls_are_replayed_and_strangers_are_named(served: LocalProject) -> None:
    register_consumer(served, "delay", "gates")
    asked(served, "gates", range(20))
    asked(served, "sheet", range(5))
    version = add_version(served, depth=3)

    body = replay_calls(served, version.id).body

    assert body["passed"]
    [gates] = body["consumers"]
    assert (gates["name"], gates["rows"], gates["refused"], gates["problems"]) == ("gates", 20, 0, [])
    [sheet] = body["undeclared"]
    assert (sheet["caller"], sheet["rows"]) == ("sheet", 5)
    assert "not registered but seen to ask: sheet" in body["sentence"]


def test_only_the_consumer_whose_calls_would_be_refused_has_a_problem(served: LocalProject) -> None:
    late = [number for number in range(200) if row(number)["hour"] > 15]
    early = [number for number in range(200) if row(number)["hour"] <= 15]
    for name, numbers in (("night", late), ("morning", early)):
        register_consumer(served, "delay", name)
        predict(served.as_actor(name), "delay", [row(number) for number in numbers])
    first = add_version(served, depth=2)
    strict = variant(served, first, inputs=bounded(first, "hour", maximum=15.0))

    body = replay_calls(served, strict.id).body

    by_name = {each["name"]: each for each in body["consumers"]}
    assert not body["passed"]
    assert by_name["morning"]["problems"] == []
    assert by_name["night"]["refused"] == len(late)
    assert f"{len(late)} of {len(late)} recorded rows are refused: hour" in by_name["night"]["problems"][0]


def test_an_output_that_is_gone_breaks_those_who_read_it(served: LocalProject) -> None:
    register_consumer(served, "delay", "dashboard", reads=["probability"])
    register_consumer(served, "delay", "gates", reads=["label"])
    asked(served, "dashboard", range(5))
    asked(served, "gates", range(5))
    first = add_version(served, depth=2)
    outputs = tuple(field for field in first.contract.outputs if field.name != "probability")
    labels = variant(served, first, outputs=outputs)

    body = replay_calls(served, labels.id).body

    problems = {each["name"]: each["problems"] for each in body["consumers"]}
    assert problems == {"dashboard": ["output 'probability' is gone"], "gates": []}


def test_a_consumer_of_whom_nothing_is_recorded_is_held_against_the_contracts(served: LocalProject) -> None:
    register_consumer(served, "delay", "nightly")
    first = add_version(served, depth=2)
    strict = variant(served, first, inputs=bounded(first, "hour", maximum=15.0))

    loose, tight = replay_calls(served, first.id).body, replay_calls(served, strict.id).body

    assert loose["passed"]
    assert "nothing recorded of nightly" in loose["sentence"]
    assert tight["consumers"][0]["problems"] == [
        "nothing recorded to replay, and input 'hour' has the maximum 15.0 instead of None"
    ]


def test_contract_changes_are_said_from_the_consumers_side(sqlite_project: LocalProject) -> None:
    contract = add_version(sqlite_project).contract
    renamed = msgspec.structs.replace(
        contract,
        inputs=tuple(msgspec.structs.replace(f, name="miles") if f.name == "distance" else f for f in contract.inputs),
    )
    in_days = msgspec.structs.replace(
        contract,
        outputs=tuple(
            msgspec.structs.replace(f, maximum=100.0, unit="%") if f.name == "probability" else f
            for f in contract.outputs
        ),
    )

    assert input_changes(contract, contract) == output_changes(contract, contract) == []
    assert input_changes(contract, renamed) == [
        "input 'distance' is gone: a row that holds it is refused",
        "input 'miles' is new and must be given",
    ]
    assert output_changes(contract, in_days, ["label"]) == []
    assert output_changes(contract, in_days) == [
        "output 'probability' was in '' and is in '%'",
        "output 'probability' has the maximum 100.0 instead of 1.0",
    ]


# ---- budgets


def test_a_budget_is_measured_in_a_process_of_its_own(served: LocalProject) -> None:
    asked(served, "gates", range(20))

    body = measure_budget(served, "delay@v1", rows=40).body

    assert body["source"] == "20 recorded rows"
    assert body["rows"] == 40
    assert 0 < body["p50_ms"] <= body["p99_ms"]
    assert 10 < body["memory_mib"] < 2000
    assert 0 < body["load_s"] < 60
    assert 0 < body["grown_mib"] < body["memory_mib"]


def test_a_version_that_does_not_load_has_no_budget(served: LocalProject) -> None:
    first = add_version(served, depth=2)
    data = b"not a model"
    file = ModelFile(name="model.onnx", digest=served.objects.put(data), size=len(data), flavour="onnx")
    broken = register(served, "delay", files=[file], contract=first.contract)

    with pytest.raises(RefusedError, match="did not load or answer in a process of its own"):
        measure_budget(served, broken.id, rows=5)
    with pytest.raises(RefusedError, match=r"within 0\.01 s"):
        measure_budget(served, first.id, rows=5, limit_s=0.01)


def test_the_fields_of_each_rehearsal_are_those_that_are_described(served: LocalProject) -> None:
    register_consumer(served, "delay", "gates")
    asked(served, "gates", range(20), truth=True)
    version = add_version(served, depth=2)
    made = (
        backtest(served, version.id, resamples=20),
        replay_calls(served, version.id),
        measure_budget(served, version.id, rows=5),
    )

    for evidence in made:
        assert set(evidence.body) == set(REHEARSALS[evidence.kind].fields), evidence.kind
        assert evidence.operation == REHEARSALS[evidence.kind].operation
