from __future__ import annotations

import numpy as np
import pytest

from headwater import canonical
from headwater.errors import InvalidInputError, NotFoundError
from headwater.model import ContractError, load
from headwater.project import LocalProject
from headwater.serve import Engine, get_prediction, list_served, predict
from tests.serve.models import add_version, point, row


def test_an_answer_carries_its_ids_and_version_and_is_what_the_model_says(local_project: LocalProject) -> None:
    version = add_version(local_project)
    point(local_project, version)

    with Engine(local_project) as engine:
        answer = engine.predict("delay", [row(0), row(1)], occurred_at=1_000)

    direct = load(local_project, "delay@v1").predict([row(0), row(1)])
    assert [{k: v for k, v in each.items() if k != "id"} for each in answer.predictions] == direct
    assert (answer.model, answer.version, answer.model_version) == ("delay", "v1", version.id)
    assert answer.id == answer.predictions[0]["id"] != answer.predictions[1]["id"]


def test_each_prediction_is_kept_before_it_is_given(local_project: LocalProject) -> None:
    version = add_version(local_project)
    point(local_project, version)
    with Engine(local_project) as engine:
        answer = engine.predict("delay", [row(0), row(1)], occurred_at=1_000)

    kept = [get_prediction(local_project, each["id"]) for each in answer.predictions]

    assert [each.position for each in kept] == [0, 1]
    assert {(each.batch, each.batch_size, each.version, each.occurred_at) for each in kept} == {
        (answer.id, 2, version.id, 1_000)
    }
    assert [each.inputs for each in kept] == [row(0), row(1)]
    assert [canonical.encode({"id": each.id, **each.outputs}) for each in kept] == [
        canonical.encode(each) for each in answer.predictions
    ]


def test_an_answer_that_cannot_be_kept_is_not_given(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    point(sqlite_project, add_version(sqlite_project))

    def full(stream: str, rows: object) -> None:
        raise OSError(28, "No space left on device")

    with Engine(sqlite_project) as engine:
        monkeypatch.setattr(sqlite_project.events, "append", full)
        with pytest.raises(OSError, match="No space"):
            engine.predict("delay", [row()])


def test_a_probability_is_kept_with_the_bits_of_its_32_bit_float(sqlite_project: LocalProject) -> None:
    point(sqlite_project, add_version(sqlite_project))
    with Engine(sqlite_project) as engine:
        answer = engine.predict("delay", [row()])

    value = get_prediction(sqlite_project, answer.id).outputs["probability"]

    assert float(np.float32(value)) == value


def test_every_problem_of_every_row_is_listed_at_once_and_the_refusal_is_kept(sqlite_project: LocalProject) -> None:
    point(sqlite_project, add_version(sqlite_project))
    bad = {**row(), "hour": "noon", "colour": 3}

    with Engine(sqlite_project) as engine, pytest.raises(ContractError) as refused:
        engine.predict("delay", [row(), bad, {}])

    problems = {(each["row"], each["field"]) for each in refused.value.values["problems"]}
    assert problems == {(1, "hour"), (1, "colour"), (2, "distance"), (2, "hour"), (2, "delay")}
    sqlite_project.events.flush()
    assert [(each["rows"], each["refused"]) for each in sqlite_project.events.rows("refusals")] == [(3, 2)]
    assert sqlite_project.events.rows("predictions") == []


def test_no_rows_are_no_request(sqlite_project: LocalProject) -> None:
    point(sqlite_project, add_version(sqlite_project))

    with Engine(sqlite_project) as engine, pytest.raises(InvalidInputError, match="1 to 10,000 rows"):
        engine.predict("delay", [])


def test_a_model_that_was_not_released_is_said_to_be_so(sqlite_project: LocalProject) -> None:
    point(sqlite_project, add_version(sqlite_project), "staging")

    with Engine(sqlite_project) as engine:
        with pytest.raises(NotFoundError, match="Its channels are: staging"):
            engine.predict("delay", [row()])
        with pytest.raises(NotFoundError, match="no model 'weather'"):
            engine.predict("weather", [row()])


def test_channels_answer_with_their_own_versions(sqlite_project: LocalProject) -> None:
    old, new = add_version(sqlite_project, 2), add_version(sqlite_project, 3)
    point(sqlite_project, old)
    point(sqlite_project, new, "staging")

    with Engine(sqlite_project) as engine:
        assert engine.predict("delay", [row()]).version == "v1"
        assert engine.predict("delay", [row()], channel="staging").version == "v2"
        assert [(each.channel, each.number, each.loaded) for each in engine.served()] == [
            ("production", 1, True),
            ("staging", 2, True),
        ]


def test_predicting_is_an_operation_that_notices_releases(sqlite_project: LocalProject) -> None:
    old, new = add_version(sqlite_project, 2), add_version(sqlite_project, 3)
    point(sqlite_project, old)
    assert predict(sqlite_project, "delay", [row()]).version == "v1"

    point(sqlite_project, new)

    import time

    time.sleep(0.3)
    assert predict(sqlite_project, "delay", [row()]).version == "v2"
    assert [each.loaded for each in list_served(sqlite_project)] == [True]


def test_an_execution_record_is_kept_once(sqlite_project: LocalProject) -> None:
    point(sqlite_project, add_version(sqlite_project, 2))
    for _ in range(2):
        predict(sqlite_project, "delay", [row()])
    point(sqlite_project, add_version(sqlite_project, 3), "staging")
    answer = predict(sqlite_project, "delay", [row()], channel="staging")

    with sqlite_project.ledger.read() as tx:
        records = tx.all("SELECT digest FROM executions")
    assert [each.digest for each in records] == [get_prediction(sqlite_project, answer.id).execution]
