from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from headwater.errors import ConflictError, InvalidInputError, NotFoundError, RefusedError
from headwater.lake import add_table
from headwater.model import (
    CardText,
    ModelFile,
    ModelVersion,
    SavedModel,
    channels,
    describe_model,
    find_model_version,
    get_model,
    get_model_version,
    list_model_versions,
    list_models,
    load,
    register,
    save_estimator,
)
from headwater.model.documents import parse
from headwater.model.naming import describe_version, difference, measured_change
from headwater.model.refs import check_channel
from headwater.project import LocalProject, Project
from tests.model.delays import ROWS, flights, forest, inputs, rows_of


def saved(project: Project, iterations: int = 10) -> SavedModel:
    return save_estimator(project, forest(iterations), inputs())


def add(project: Project, name: str = "delay", iterations: int = 10, **more: Any) -> ModelVersion:
    kept = saved(project, iterations)
    return register(
        project,
        name,
        files=kept.files,
        contract=kept.contract,
        reference=kept.reference,
        params={"iterations": iterations},
        **more,
    )


def test_a_version_comes_back_as_it_was_registered(project: Project) -> None:
    card = CardText(intended_use="to warn passengers", limits="2013 only")
    made = add(project, metrics={"auc": 0.7, "odd": float("nan")}, card=card)

    found = get_model_version(project, "delay@v1")

    assert (found.model, found.number, found.flavour, found.author) == ("delay", 1, "onnx", "ann")
    assert {file.flavour for file in found.files} == {"onnx", "sklearn"}
    assert found.contract == made.contract
    assert found.card == card
    assert found.metrics["auc"] == 0.7
    assert found.metrics["odd"] != found.metrics["odd"]
    assert parse(project.objects.get(found.reference or "").decode())["rows"] == ROWS


def test_a_version_is_named_by_number_by_latest_and_by_id(project: Project) -> None:
    first, second = add(project), add(project, iterations=20)

    assert get_model_version(project, "delay@v1").id == first.id
    assert get_model_version(project, "model:delay@v2").id == second.id
    assert get_model_version(project, "delay@latest").id == second.id
    assert get_model_version(project, f"modelversion:{first.id}").id == first.id
    assert find_model_version(project, "delay@v3") is None


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("delay@v9", "has versions v1 to v1"),
        ("delay@production", "no version or channel 'production'"),
        ("delay", "say which version"),
        ("nothing@v1", "The models are: delay"),
    ],
)
def test_a_ref_to_nothing_says_what_there_is(sqlite_project: LocalProject, ref: str, said: str) -> None:
    add(sqlite_project)

    with pytest.raises(NotFoundError, match=said):
        get_model_version(sqlite_project, ref)


def test_models_and_versions_are_listed(project: Project) -> None:
    for model in ("delay", "delay", "fare"):
        add(project, model)
    describe_model(project, "fare", "what a seat costs")

    assert [(each.name, each.versions) for each in list_models(project)] == [("delay", 2), ("fare", 1)]
    assert [each.name for each in list_models(project, after="delay")] == ["fare"]
    assert [each.number for each in list_model_versions(project, "delay")] == [2, 1]
    assert [each.number for each in list_model_versions(project, "delay", before=2)] == [1]
    assert get_model(project, "fare").description == "what a seat costs"
    assert channels(project, "delay") == {}


def test_what_a_version_came_from_is_lineage(local_project: LocalProject) -> None:
    data = add_table(local_project, "flights", "rows.parquet", flights())
    first = add(local_project)
    second = add(local_project, iterations=20, trained_on=["flights@v1"], run="RUN", parent="delay@v1")

    with local_project.ledger.read() as tx:
        edges = {tuple(edge) for edge in tx.edges_of(second.ref)}
        none = tx.edges_of(first.ref)

    assert edges == {("run", "run:RUN"), ("data", f"version:{data.id}"), ("parent", first.ref)}
    assert none == []
    assert second.trained_on == (data.id,)


def test_a_version_is_told_from_the_one_before_it(local_project: LocalProject) -> None:
    add_table(local_project, "flights", "a.parquet", flights(0, 100))
    add_table(local_project, "flights", "a.parquet", flights(1, 150))

    first = add(local_project, trained_on=["flights@v1"])
    second = add(local_project, iterations=20, trained_on=["flights@v2"])
    third = add(local_project, iterations=20, trained_on=["flights@v2"])

    assert first.description == "first version; data flights v1 (100 rows)"
    assert second.description == "as v1, iterations 10 → 20; data v2: +50 rows"
    assert third.description == "as v2, trained again"


def test_a_changed_contract_is_part_of_the_name(sqlite_project: LocalProject) -> None:
    import msgspec

    one = add(sqlite_project)
    fewer = msgspec.structs.replace(one.contract, inputs=one.contract.inputs[1:])
    two = msgspec.structs.replace(one, contract=fewer)

    assert describe_version(two, [], one, []) == "as v1, inputs −temp"


def test_versions_registered_at_once_get_numbers_of_their_own(local_project: LocalProject) -> None:
    kept = saved(local_project)

    def one(_: int) -> int:
        return register(local_project, "delay", files=kept.files, contract=kept.contract).number

    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(one, range(8)))

    assert sorted(numbers) == list(range(1, 9))


def test_a_loaded_version_answers_the_same_bytes_each_time(project: Project) -> None:
    add(project)
    rows = rows_of(inputs())[:300]

    first = load(project, "delay@v1").predict(rows)
    again = load(project, "delay@v1").predict(rows)

    assert repr(first) == repr(again)
    assert list(first[0]) == ["label", "probability"]
    assert isinstance(first[0]["probability"], float)
    assert load(project, "delay@v1").predict([]) == []


def test_another_file_of_a_version_is_loaded_when_asked_for(project: Project) -> None:
    add(project)
    rows = rows_of(inputs())[:50]

    original = load(project, "delay@v1", flavour="sklearn")

    assert original.execution.flavour == "sklearn"
    assert [each["probability"] for each in original.predict(rows)] == pytest.approx(
        [each["probability"] for each in load(project, "delay@v1").predict(rows)], abs=1e-6
    )


def test_a_file_whose_bytes_are_not_stored_cannot_be_registered(project: Project) -> None:
    kept = saved(project)
    lost = ModelFile(name="model.onnx", digest="0" * 64, size=3, flavour="onnx")

    with pytest.raises(NotFoundError, match="put the bytes of every file first"):
        register(project, "delay", files=[lost], contract=kept.contract)
    with pytest.raises(InvalidInputError, match="at least one file"):
        register(project, "delay", files=[], contract=kept.contract)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../x", "x" * 101, "01ARZ3NDEKTSV4RRFFQ69G5FAV"])
def test_a_name_that_a_ref_could_not_carry_is_refused(sqlite_project: LocalProject, name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot name a model"):
        register(sqlite_project, name, files=[], contract=saved(sqlite_project).contract)


@pytest.mark.parametrize("name", ["v3", "2026-11-01", "latest"])
def test_a_channel_is_not_called_like_a_version(name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot name a channel"):
        check_channel(name)


def test_an_estimator_with_a_strange_type_is_stored_only_when_somebody_trusts_it(
    sqlite_project: LocalProject,
) -> None:
    import numpy as np
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    frame = flights()[["hour", "wet"]].to_numpy(float)
    stranger = make_pipeline(FunctionTransformer(np.linalg.norm, check_inverse=False), LinearRegression())
    stranger.steps[1][1].fit(frame, frame[:, 0])
    sample = {"hour": frame[:, 0], "wet": frame[:, 1]}

    with pytest.raises(RefusedError, match="if you trust them") as caught:
        save_estimator(sqlite_project, stranger, sample, onnx=False)
    assert caught.value.values["types"]


def test_a_conflict_of_a_channel_is_a_conflict(local_project: LocalProject) -> None:
    first, second = add(local_project), add(local_project)
    with local_project.ledger.write() as tx:
        tx.move_pointer("channel", "delay/production", expected=None, new=first.id)

    with pytest.raises(ConflictError), local_project.ledger.write() as tx:
        tx.move_pointer("channel", "delay/production", expected=second.id, new=first.id)
    assert {name: each.id for name, each in channels(local_project, "delay").items()} == {"production": first.id}
    assert get_model_version(local_project, "delay@production").id == first.id


def evaluation(auc: float, yx: tuple[float, float, float]) -> dict[str, Any]:
    value, low, high = yx
    slices = [{"slice": "carrier=YX", "metrics": {"auc": {"value": value, "low": low, "high": high}}}]
    return {"metrics": {"auc": {"value": auc}}, "slices": [*slices, {"slice": "carrier=ZZ", "metrics": {}}]}


@pytest.mark.parametrize(
    ("after", "said"),
    [
        # the slice's intervals do not overlap: 0.70..0.72 and 0.66..0.68
        (evaluation(0.742, (0.67, 0.66, 0.68)), "auc −0.8 pts, −4.0 pts on carrier=YX"),
        (evaluation(0.75, (0.67, 0.66, 0.68)), "auc −4.0 pts on carrier=YX"),
        (evaluation(0.76, (0.69, 0.67, 0.71)), "auc +1.0 pts"),  # they overlap: it may be chance
        (evaluation(0.75, (0.71, 0.70, 0.72)), ""),
    ],
)
def test_two_evaluations_on_the_same_rows_are_told_apart_in_a_phrase(after: dict[str, Any], said: str) -> None:
    assert measured_change("auc", evaluation(0.75, (0.71, 0.70, 0.72)), after) == said


def test_a_measure_that_is_no_share_is_told_by_its_values() -> None:
    assert difference("rmse", 12.3, 11.9) == "rmse 12.3 → 11.9"
    assert difference("rmse", 12.3, 12.301) == difference("rmse", float("nan"), 1.0) == ""


def test_metrics_given_at_registration_are_part_of_the_name(sqlite_project: LocalProject) -> None:
    add(sqlite_project, metrics={"auc": 0.75})
    second = add(sqlite_project, iterations=20, metrics={"auc": 0.742})

    assert second.description == "as v1, iterations 10 → 20; auc −0.8 pts"


def test_an_evaluation_beside_the_parents_becomes_part_of_the_name(project: Project) -> None:
    from headwater.evaluate import evaluate_model

    add_table(project, "flights", "a.parquet", flights(5, 400))
    for iterations in (1, 20):
        add(project, iterations=iterations)
        evaluate_model(project, "delay@latest", "flights@v1", "late", slices=["carrier"], resamples=50)

    name = get_model_version(project, "delay@v2").description
    assert name.startswith("as v1, iterations 1 → 20; auc +") and " pts" in name
    assert get_model_version(project, "delay@v1").description == "first version"


def test_a_contract_that_cannot_be_kept_is_not_registered(sqlite_project: LocalProject) -> None:
    import msgspec

    kept = saved(sqlite_project)
    twice = msgspec.structs.replace(kept.contract, inputs=(kept.contract.inputs[0],) * 2)

    with pytest.raises(InvalidInputError, match="two inputs of the contract are called 'temp'"):
        register(sqlite_project, "delay", files=kept.files, contract=twice)
    with pytest.raises(InvalidInputError, match="cannot name a file"):
        register(
            sqlite_project,
            "delay",
            files=[msgspec.structs.replace(kept.files[0], name="../../etc/passwd")],
            contract=kept.contract,
        )
