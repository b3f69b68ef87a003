from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas
import pytest

from headwater.evaluate import (
    KINDS,
    Evidence,
    command_for,
    compare_baselines,
    compare_models,
    evaluate_model,
    explain_model,
    find_bad_slices,
    list_evidence,
    make_split,
    measure_calibration,
    measure_fairness,
    measure_staleness,
)
from headwater.lake import add_table
from headwater.operation import get_operation
from headwater.project import Project
from tests.model.delays import flights, forest, inputs
from tests.model.registered import registered


def dated(seed: int, rows: int = 600) -> Any:
    at = pandas.Timestamp("2026-01-01") + pandas.to_timedelta(np.arange(rows) + 3000 * (seed > 0), unit="h")
    return flights(seed, rows).assign(at=at)


def measurements(project: Project) -> Iterator[Evidence]:
    """Yield one piece of evidence of each kind, made where the project is from datasets of its lake."""
    add_table(project, "flights", "rows.parquet", dated(0))
    add_table(project, "later", "rows.parquet", dated(9))
    for onnx in (False, True):
        registered(project, "delay", forest(10), inputs(), trained_on=["flights@v1"], onnx=onnx)
    model, rows = "delay@v2", ("later@v1", "late")
    yield evaluate_model(project, model, *rows, slices=["carrier"], resamples=20)
    yield compare_models(project, "delay@v1", model, *rows, resamples=20)
    yield find_bad_slices(project, model, *rows, least_rows=20)
    yield measure_fairness(project, model, *rows, attribute="carrier", resamples=20)
    yield explain_model(project, model, *rows, repeats=1)
    yield measure_calibration(project, model, *rows, resamples=20)
    yield compare_baselines(project, model, *rows, resamples=20)
    yield measure_staleness(project, model, *rows, time="at", resamples=20)
    yield make_split(project, "parts", "flights@v1").leakage
    yield list_evidence(project, f"modelversion:{version_id(project, model)}", kind="parity")[0]


def version_id(project: Project, ref: str) -> str:
    from headwater.model import get_model_version

    return get_model_version(project, ref).id


@pytest.mark.long_elsewhere
def test_each_kind_holds_exactly_the_fields_that_are_written_down(project: Project) -> None:
    made = list(measurements(project))

    assert sorted(each.kind for each in made) == sorted(KINDS)
    for evidence in made:
        kind = KINDS[evidence.kind]
        assert set(kind.fields) - set(kind.optional) <= set(evidence.body) <= set(kind.fields), evidence.kind
        assert evidence.subject.partition(":")[0] == kind.subject
        assert evidence.body.get("sentence") or evidence.body["why"]
        assert evidence.data
        if evidence.kind not in ("parity", "leakage"):  # made on the way by another operation
            assert evidence.operation == kind.operation


@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_operation_and_the_command_of_each_kind_are_there(name: str) -> None:
    import click

    from headwater.cli.root import cli

    kind = KINDS[name]
    assert get_operation(kind.operation).name == kind.operation
    group, command = kind.command.split()[1:3]
    found = cli.get_command(click.Context(cli), group)
    assert isinstance(found, click.Group)
    known = found.get_command(click.Context(found), command)
    assert known is not None
    options = {option for each in known.params for option in each.opts}
    assert {word for word in kind.command.split() if word.startswith("--")} <= options
    assert "{0}" not in command_for(name, "delay@v3")


def test_a_kind_of_a_teams_own_names_how_to_record_it() -> None:
    assert "record_evidence" in command_for("latency", "delay@v3")
