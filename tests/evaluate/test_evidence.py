from __future__ import annotations

import pytest

from headwater.errors import InvalidInputError, NotFoundError
from headwater.evaluate import (
    compare_models,
    evaluate_model,
    find_evidence,
    get_evidence,
    list_evidence,
    model_card,
    record_evidence,
    register_model,
)
from headwater.lake import add_table
from headwater.model import CardText, ModelVersion
from headwater.project import LocalProject, Project
from tests.model.delays import flights, forest, inputs
from tests.model.registered import registered


def register(project: Project, iterations: int = 10) -> ModelVersion:
    return registered(project, "delay", forest(iterations), inputs(), params={"iterations": iterations}, onnx=True)


def test_evidence_comes_back_as_it_was_recorded(project: Project) -> None:
    body = {"score": float("nan"), "nested": {"limit": float("inf"), "rows": [1, 2]}}

    made = record_evidence(project, "modelversion:X", "latency", body, data=["version:Y"], run="R")
    found = get_evidence(project, made.ref)

    assert (found.id, found.kind, found.maker, found.claimed) == (made.id, "latency", "ann", True)
    assert found.body["score"] != found.body["score"]
    assert found.body["nested"] == body["nested"]
    assert find_evidence(project, "modelversion:X", "latency") is not None
    assert find_evidence(project, "modelversion:X", "parity") is None


def test_evidence_is_listed_newest_first_and_by_page(project: Project) -> None:
    made = [record_evidence(project, "modelversion:X", "note", {"n": n}) for n in range(3)]

    assert [each.body["n"] for each in list_evidence(project, "modelversion:X")] == [2, 1, 0]
    assert [each.body["n"] for each in list_evidence(project, "modelversion:X", before=made[1].id)] == [0]


def test_evidence_is_part_of_the_lineage(local_project: LocalProject) -> None:
    made = record_evidence(
        local_project, "modelversion:X", "note", {}, data=["version:Y"], against=["modelversion:Z"], run="R"
    )

    with local_project.ledger.read() as tx:
        edges = {tuple(edge) for edge in tx.edges_of(made.ref)}
    assert edges == {
        ("subject", "modelversion:X"),
        ("data", "version:Y"),
        ("against", "modelversion:Z"),
        ("run", "run:R"),
    }


def test_evidence_about_nothing_is_refused(sqlite_project: LocalProject) -> None:
    with pytest.raises(InvalidInputError, match="needs a subject"):
        record_evidence(sqlite_project, "delay", "note", {})
    with pytest.raises(NotFoundError):
        get_evidence(sqlite_project, "evidence:NONE")


@pytest.mark.long_elsewhere
def test_an_evaluation_measures_a_version_with_intervals_and_slices(project: Project) -> None:
    from sklearn.metrics import roc_auc_score

    version = register(project)
    fresh = flights(9, 2000)

    made = evaluate_model(project, "delay@v1", fresh, "late", slices=["carrier", "hour>=17"], time="hour")

    body = made.body
    expected = roc_auc_score(fresh.late, forest().predict_proba(fresh[["temp", "hour", "carrier", "wet"]])[:, 1])
    assert made.subject == version.ref
    assert body["metrics"]["auc"]["value"] == pytest.approx(expected, abs=1e-6)
    assert body["metrics"]["auc"]["low"] < expected < body["metrics"]["auc"]["high"]
    assert (body["task"], body["rows"], body["window"]) == ("binary", 2000, "hour 0 to 23")
    assert [each["slice"] for each in body["slices"]][-1] == "hour>=17"
    assert sum(each["rows"] for each in body["slices"][:3]) == 2000


@pytest.mark.long_elsewhere
def test_a_dataset_of_the_lake_is_evaluated_where_the_project_is(project: Project) -> None:
    register(project)
    data = add_table(project, "flights", "rows.parquet", flights(9, 500))

    made = evaluate_model(project, "delay@v1", "flights@v1", "late", where="hour < 12")

    same = evaluate_model(project, "delay@v1", flights(9, 500).query("hour < 12"), "late")
    assert made.data == (f"version:{data.id}",)
    assert made.body["window"] == "flights@v1 where hour < 12"
    assert made.body["metrics"] == same.body["metrics"]
    assert made.body["rows_digest"] == same.body["rows_digest"]


def test_rows_without_truth_are_left_out_and_none_at_all_is_an_error(sqlite_project: LocalProject) -> None:
    register(sqlite_project)
    some = flights(9, 100).assign(late=lambda f: f.late.astype(float).where(f.index < 60))

    assert evaluate_model(sqlite_project, "delay@v1", some, "late").body["rows"] == 60
    with pytest.raises(InvalidInputError, match="nothing to measure against"):
        evaluate_model(sqlite_project, "delay@v1", some[60:], "late")
    with pytest.raises(InvalidInputError, match="no column 'delayed'"):
        evaluate_model(sqlite_project, "delay@v1", some, "delayed")


@pytest.mark.long_elsewhere
def test_a_better_version_is_found_better_on_the_same_rows_and_a_worse_one_worse(project: Project) -> None:
    weak, strong = register(project, 1), register(project, 40)
    rows = flights(9, 2000)

    gain = compare_models(project, "delay@v1", "delay@v2", rows, "late", window="week 9")
    loss = compare_models(project, "delay@v2", "delay@v1", rows, "late")

    assert gain.subject == strong.ref
    assert gain.body["champion"] == weak.id
    assert gain.body["better"] is True
    assert "delay@v2 is better than delay@v1" in gain.body["sentence"]
    assert "(week 9)" in gain.body["sentence"]
    assert loss.body["worse"] is True
    assert loss.body["gain"]["value"] == -gain.body["gain"]["value"]


def test_less_of_a_loss_is_a_gain(sqlite_project: LocalProject) -> None:
    register(sqlite_project, 1)
    register(sqlite_project, 40)

    made = compare_models(sqlite_project, "delay@v1", "delay@v2", flights(9, 1000), "late", metric="brier")

    assert made.body["challenger_value"] < made.body["champion_value"]
    assert made.body["better"] is True


def test_a_version_is_not_better_than_itself(sqlite_project: LocalProject) -> None:
    register(sqlite_project)
    register(sqlite_project)

    body = compare_models(sqlite_project, "delay@v1", "delay@v2", flights(9, 500), "late").body

    assert (body["gain"]["low"], body["gain"]["high"], body["better"], body["worse"]) == (0.0, 0.0, False, False)


@pytest.mark.long_elsewhere
def test_the_card_says_what_the_ledger_knows_and_the_authors_words(project: Project) -> None:
    data = add_table(project, "flights", "rows.parquet", flights())
    card = CardText(intended_use="To warn passengers.", limits="Observed weather is a leak.")
    register_model(project, "delay", forest(), inputs(), trained_on=["flights@v1"], card=card, params={"depth": 8})
    evaluate_model(project, "delay@v1", flights(9, 500), "late", slices=["carrier"])

    text = model_card(project, "delay@v1")

    assert text.startswith("# delay v1\n")
    for said in (
        "To warn passengers.",
        "Observed weather is a leak.",
        "| `depth` | `8` |",
        f"| flights v1 | 3,000 |  | {data.id} |",
        "| auc |",
        "| carrier=AA |",
        "Passed: all",
        "ann (claimed)",
        "model.onnx",
    ):
        assert said in text
