"""What tests of measurements share: a registered model without an export, which is quick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headwater.evaluate import register_model
from headwater.model import ModelVersion
from headwater.project import Project
from tests.model.delays import forest, inputs
from tests.model.registered import registered


def register_forest(
    project: Project, iterations: int = 40, *, name: str = "delay", trained_on: Sequence[str] = ()
) -> ModelVersion:
    """Register the forest on made-up departures as it is."""
    return registered(project, name, forest(iterations), inputs(), trained_on=trained_on, onnx=False)


def register_estimator(
    project: Project, name: str, estimator: Any, sample: Any, *, trained_on: Sequence[str] = ()
) -> ModelVersion:
    """Register any fitted estimator as it is."""
    return register_model(project, name, estimator, sample, trained_on=trained_on, onnx=False)
