from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from headwater.errors import InvalidInputError
from headwater.model import Contract, Field
from headwater.project import LocalProject
from headwater.serve import Engine
from headwater.serve.keeping import Keeping, check_mask
from headwater.serve.settings import ModelSettings
from tests.serve.models import add_version, point, row

OUTPUTS = (Field(name="y", type="float"),)
ANY = Contract(inputs=(Field(name="extra", type="json"),), outputs=OUTPUTS)


def version(*inputs: str) -> Any:
    contract = Contract(inputs=tuple(Field(name=name, type="float") for name in inputs), outputs=OUTPUTS)
    return SimpleNamespace(model="delay", label="delay v2", contract=contract)


def test_a_mask_that_names_no_input_is_refused_with_the_inputs_there_are(sqlite_project: LocalProject) -> None:
    point(sqlite_project, add_version(sqlite_project))
    sqlite_project.settings.tables["serve"] = {"models": {"delay": {"mask": ["huor"]}}}

    with (
        Engine(sqlite_project) as engine,
        pytest.raises(InvalidInputError, match=r"masks huor.*inputs are: distance, hour, delay\. Correct 'mask'"),
    ):
        engine.predict("delay", [row()])
    assert sqlite_project.events.rows("predictions") == []


def test_a_mask_may_name_an_input_that_only_another_version_has_and_that_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    both = [version("hour_of_day"), version("hour")]
    monkeypatch.setattr("headwater.serve.keeping.list_model_versions", lambda *_, **__: both)
    settings = ModelSettings(mask=("hour", "hour_of_day"))
    project: Any = None

    with caplog.at_level(logging.WARNING):
        for each in both:
            check_mask(project, settings, each)

    assert [each.getMessage() for each in caplog.records] == [
        "delay v2 has no input hour, which its model's settings mask",
        "delay v2 has no input hour_of_day, which its model's settings mask",
    ]
    with pytest.raises(InvalidInputError, match="masks day"):
        check_mask(project, ModelSettings(mask=("hour", "day")), both[1])


@pytest.mark.parametrize("value", [10**30, ["\ud800"]])
def test_a_row_that_no_event_can_hold_is_the_callers_mistake(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="cannot be kept, so it is not answered"):
        Keeping(ModelSettings(), ANY, bytes(32)).row("0" * 26, {"extra": value}, {"y": 1.0})
