from __future__ import annotations

from typing import Any

import pytest

from headwater import lake
from headwater.errors import InvalidInputError, NotFoundError
from headwater.evaluate import record_evidence
from headwater.project import LocalProject, Project
from headwater.serve import Outcome, predict, record_outcomes
from headwater.trace import trace
from tests.serve.models import add_version, point, row


def add_data(project: Project) -> lake.Version:
    digest = project.objects.put(b"hour,late\n8,0\n")
    entry = lake.Entry(path="2025.csv", digest=digest, size=14, rows=1)
    return lake.commit(project, "flights", put=[entry], message="first", source="https://example.org/2025.csv")


def test_a_prediction_is_followed_up_to_the_source_of_its_training_rows(local_project: LocalProject) -> None:
    data = add_data(local_project)
    version = add_version(local_project, trained_on=["flights@v1"])
    point(local_project, version)
    answer = predict(local_project, "delay", [row()])
    record_outcomes(local_project, [Outcome(prediction=answer.id, label=True)])

    graph = trace(local_project, f"prediction:{answer.id}")

    assert [(link.child, link.role, link.parent) for link in graph.edges] == [
        (f"prediction:{answer.id}", "model", version.ref),
        (version.ref, "data", f"version:{data.id}"),
        (f"version:{data.id}", "source", "source:https://example.org/2025.csv"),
    ]
    nodes = {node.kind: node for node in graph.nodes}
    assert nodes["prediction"].facts["inputs"] == row()
    assert nodes["prediction"].facts["outcome"] is True
    assert nodes["modelversion"].title == "delay@v1"
    assert [each["path"] for each in nodes["version"].facts["shown_files"]] == ["2025.csv"]
    assert [node.depth for node in graph.nodes] == [0, 1, 2, 3]
    assert not graph.truncated


def test_what_came_of_data_is_found_downwards(sqlite_project: LocalProject) -> None:
    data = add_data(sqlite_project)
    version = add_version(sqlite_project, trained_on=["flights@v1"])
    evidence = record_evidence(sqlite_project, version.ref, "evaluation", {})
    point(sqlite_project, version)
    predict(sqlite_project, "delay", [row(0), row(1)])

    graph = trace(sqlite_project, "flights@v1", "down")

    refs = {node.ref for node in graph.nodes}
    assert {f"version:{data.id}", version.ref, evidence.ref, f"predictions:{version.id}"} <= refs
    assert next(node for node in graph.nodes if node.kind == "predictions").facts["predictions"] == 2


def test_a_walk_stops_where_it_is_told_to_and_says_so(sqlite_project: LocalProject) -> None:
    add_data(sqlite_project)
    version = add_version(sqlite_project, trained_on=["flights@v1"])

    near, few = trace(sqlite_project, version.ref, depth=1), trace(sqlite_project, version.ref, most=2)

    assert (len(near.nodes), near.truncated) == (2, True)
    assert (len(few.nodes), few.truncated) == (2, True)
    assert not trace(sqlite_project, version.ref, depth=3).truncated


def test_circles_and_joins_are_walked_once(sqlite_project: LocalProject) -> None:
    with sqlite_project.ledger.write() as tx:
        for child, parent in (("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "a")):
            tx.edge(f"source:{child}", "from", f"source:{parent}")

    graph = trace(sqlite_project, "source:a")

    assert [node.title for node in graph.nodes] == ["a", "b", "c", "d"]
    assert len(graph.edges) == 5


def test_a_fact_that_is_gone_is_shown_as_missing(sqlite_project: LocalProject) -> None:
    with sqlite_project.ledger.write() as tx:
        tx.edge("source:x", "from", "run:" + "0" * 26)

    assert [node.missing for node in trace(sqlite_project, "source:x").nodes] == [False, True]


def test_a_wide_lineage_is_walked_in_a_few_questions(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite_project.ledger.write() as tx:
        tx.edges((f"source:{n}", "from", f"source:{n // 40}") for n in range(1, 1600))
    asked: list[int] = []
    real = sqlite_project.ledger.read

    def counted() -> Any:
        asked.append(1)
        return real()

    monkeypatch.setattr(sqlite_project.ledger, "read", counted)

    graph = trace(sqlite_project, "source:0", "down")

    assert len(graph.nodes) == 1600
    assert len(asked) < 12


def test_short_names_are_understood_and_odd_ones_explained(sqlite_project: LocalProject) -> None:
    data, version = add_data(sqlite_project), add_version(sqlite_project)
    point(sqlite_project, version)

    assert trace(sqlite_project, "delay@v1").root == version.ref
    assert trace(sqlite_project, "model:delay@production").root == version.ref
    assert trace(sqlite_project, "version:flights@v1").root == f"version:{data.id}"
    with pytest.raises(InvalidInputError, match="does not say what it is"):
        trace(sqlite_project, version.id)
    with pytest.raises(NotFoundError, match="no run"):
        trace(sqlite_project, "run:" + "0" * 26)
    with pytest.raises(NotFoundError, match="no prediction"):
        trace(sqlite_project, "prediction:" + "0" * 26)
