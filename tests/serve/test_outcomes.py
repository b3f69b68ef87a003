from __future__ import annotations

from typing import Any

import pytest

from headwater.events import EventLog
from headwater.project import LocalProject, open_project
from headwater.serve import Outcome, predict, record_outcomes
from headwater.serve.recent import RecentIds
from tests.serve.models import add_version, point, row

UNKNOWN = "01M7YFS2WHENRBMJB7ZHX28679"


@pytest.fixture
def project(sqlite_project: LocalProject) -> LocalProject:
    point(sqlite_project, add_version(sqlite_project))
    return sqlite_project


def test_an_outcome_of_a_prediction_just_made_does_not_read_the_log(
    project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = [predict(project, "delay", [row(), row(1)]) for _ in range(3)]
    outcomes = [Outcome(prediction=each["id"], label=True) for one in answered for each in one.predictions]

    def refuse(*given: Any, **named: Any) -> None:
        raise AssertionError("the log was read")

    monkeypatch.setattr(EventLog, "query", refuse)

    assert record_outcomes(project, outcomes).recorded == 6


def test_an_id_that_no_prediction_has_is_named_among_ids_just_made_and_ids_of_another_process(
    project: LocalProject,
) -> None:
    with open_project(project.folder) as other:
        elsewhere = predict(other, "delay", [row()]).id
    here = predict(project, "delay", [row()]).id
    outcomes = [Outcome(prediction=key, label=1) for key in (here, UNKNOWN, elsewhere)]

    report = record_outcomes(project, outcomes)

    assert (report.recorded, report.unknown) == (2, (UNKNOWN,))


def test_an_id_whose_prediction_was_not_kept_is_unknown(project: LocalProject, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def full(self: EventLog, stream: str, rows: list[dict[str, Any]]) -> None:
        made.extend(each["prediction"] for each in rows)
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(EventLog, "append", full)
        with pytest.raises(OSError, match="full"):
            predict(project, "delay", [row()])

    assert record_outcomes(project, [Outcome(prediction=made[0], label=1)]).unknown == (made[0],)


def test_only_the_latest_ids_are_remembered() -> None:
    recent = RecentIds(kept=10)
    ids = [f"{number:026}" for number in range(1000)]

    recent.add(ids)

    found = recent.among(ids)
    assert set(ids[-5:]) <= found
    assert len(found) <= 10
