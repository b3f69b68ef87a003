from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headwater import canonical
from headwater.errors import UnavailableError
from headwater.model import Execution, load
from headwater.project import LocalProject, Project
from headwater.serve import get_prediction, list_predictions, receiving
from headwater.serve.outcomes import known_predictions
from headwater.serve.receiving import MadePrediction, receive_predictions
from tests.projects import make_local
from tests.serve.models import add_version, row

IDENTIFIER = "01M7ZARQ50EFXTFF48MY1MQ7Q7"


def a_prediction(project: Project) -> tuple[MadePrediction, Execution]:
    """Return a prediction that another process made by a version of the project, and what computed it."""
    version = add_version(project)
    loaded = load(project, version.id)
    made = MadePrediction(
        prediction=IDENTIFIER,
        batch=IDENTIFIER,
        position=0,
        batch_size=1,
        version=version.id,
        channel="production",
        occurred_at=1,
        inputs=canonical.encode(row(1)),
        outputs=canonical.encode(loaded.predict([row(1)])[0]),
        latency_us=5,
    )
    return made, loaded.execution


def test_predictions_sent_twice_are_kept_once(project: Project) -> None:
    made, execution = a_prediction(project)

    first, again = (receive_predictions(project, [made], execution) for _ in range(2))

    assert ((first.kept, first.known), (again.kept, again.known)) == ((1, 0), (0, 1))
    assert get_prediction(project, IDENTIFIER).inputs == row(1)


def test_what_is_no_prediction_of_this_project_is_refused(sqlite_project: LocalProject) -> None:
    made, execution = a_prediction(sqlite_project)

    for change, said in (
        ({"prediction": "x"}, "is not an id"),
        ({"version": IDENTIFIER}, "no model version"),
        ({"inputs": b"\xc1"}, "no canonical row"),
        ({"position": 1}, "beyond its batch"),
        ({"occurred_at": 2**63 - 1}, "no time of the years 1 to 9999"),
    ):
        with pytest.raises(Exception, match=said):
            receive_predictions(sqlite_project, [msgspec.structs.replace(made, **change)], execution)
    assert list_predictions(sqlite_project) == []


def test_predictions_sent_again_while_they_are_received_are_kept_once(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, execution = a_prediction(sqlite_project)
    real = known_predictions

    def slowly(project: Project, ids: Any) -> set[str]:
        found = real(project, ids)
        time.sleep(0.2)  # both would have looked before either appends
        return found

    monkeypatch.setattr("headwater.serve.receiving.known_predictions", slowly)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: receive_predictions(sqlite_project, [made], execution), range(2)))

    assert sorted((each.kept, each.known) for each in answers) == [(0, 1), (1, 0)]
    assert len(sqlite_project.events.rows("predictions")) == 1


def sent_twice_at_once(project: LocalProject, made: MadePrediction, execution: Execution) -> list[tuple[int, int]]:
    """Send a prediction twice at the same moment, to servers that share no turn; return what each kept and knew."""
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: receive_predictions(project, [made], execution), range(2)))
    return sorted((each.kept, each.known) for each in answers)


def test_on_postgres_servers_of_two_machines_keep_what_is_sent_twice_once(
    request: pytest.FixtureRequest, project_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_local("postgres", project_folder, request) as project:
        made, execution = a_prediction(project)
        other = msgspec.structs.replace(made, prediction=IDENTIFIER[:-1] + "8")
        real = known_predictions

        def slowly(project: Project, ids: Any) -> set[str]:
            found = real(project, ids)
            time.sleep(0.1)
            return found

        monkeypatch.setattr(receiving, "known_predictions", slowly)
        monkeypatch.setattr(receiving, "in_turn", lambda *_: nullcontext(True))  # another machine has its own turns

        assert sent_twice_at_once(project, made, execution) == [(0, 1), (1, 0)]
        assert len(project.events.rows("predictions")) == 1
        project.events.seal(all=True)
        assert [each["prediction"] for each in project.events.rows("predictions")] == [made.prediction]

        def append(project: Project, events: dict[str, Any]) -> list[str]:  # planted: nobody holds anything
            new = [each for each in events if each not in slowly(project, list(events))]
            project.events.append("predictions", [events[each] for each in new])
            return new

        monkeypatch.setattr(receiving, "_append_new", append)
        assert sent_twice_at_once(project, other, execution) == [(1, 0), (1, 0)]


def test_predictions_wait_while_the_mask_of_their_model_names_no_input(sqlite_project: LocalProject) -> None:
    made, execution = a_prediction(sqlite_project)
    sqlite_project.settings.tables["serve"] = {"models": {"delay": {"mask": ["huor"]}}}

    with pytest.raises(UnavailableError, match=r"are not kept now: .*masks huor"):
        receive_predictions(sqlite_project, [made], execution)

    assert list_predictions(sqlite_project) == []
