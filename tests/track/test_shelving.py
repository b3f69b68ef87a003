"""Runs put away: archived ones come back, deleted ones leave their row and give their space back."""

from __future__ import annotations

import pytest

from headwater.errors import InvalidInputError
from headwater.project import Project
from headwater.track import (
    archive_runs,
    get_run,
    list_runs,
    track,
)


def test_archived_runs_are_left_out_until_asked_for(project: Project) -> None:
    ids = []
    for depth in range(4):
        with track(project, "fit", {"depth": depth}) as run:
            run.log(auc=depth / 10)
        ids.append(run.id)

    assert archive_runs(project, filter="metrics.auc < 0.15") == 2
    assert archive_runs(project, ids[:1]) == 0
    assert [run.params["depth"] for run in list_runs(project).runs] == [3, 2]
    assert [run.params["depth"] for run in list_runs(project, filter="params.depth <= 2").runs] == [2]
    assert [run.params["depth"] for run in list_runs(project, filter="archived = true").runs] == [1, 0]
    assert len(list_runs(project, filter="archived = true or archived = false").runs) == 4
    assert get_run(project, ids[0]).archived
    assert archive_runs(project, filter="params.depth = 0", archived=False) == 1
    assert [run.params["depth"] for run in list_runs(project).runs] == [3, 2, 0]


def test_what_is_to_be_archived_must_be_said_once(project: Project) -> None:
    with pytest.raises(InvalidInputError, match="one of the two"):
        archive_runs(project)
    with pytest.raises(InvalidInputError, match="one of the two"):
        archive_runs(project, ["x"], filter="name = 'x'")
    with pytest.raises(InvalidInputError, match="true or false"):
        list_runs(project, filter="archived > 3")


def test_each_run_is_told_from_the_one_before(project: Project) -> None:
    for params in ({"depth": 8, "rate": 0.1}, {"depth": 12, "rate": 0.1}, {"depth": 12, "rate": 0.1}, {"rate": 0.5}):
        with track(project, "fit", params):
            pass
    with track(project, "other", {"depth": 1}):
        pass
    page = list_runs(project)

    assert page.told == (
        "first of its name", "without depth, rate 0.1 → 0.5", "the same again", "depth 8 → 12", "first of its name",
    )  # fmt: skip
    assert list_runs(project, limit=2, after=list_runs(project, limit=2).after).told[0] == "the same again"
