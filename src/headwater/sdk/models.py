"""Registering and loading models of the current project."""

from __future__ import annotations

from typing import Any

from headwater.evaluate import register_model as register_estimator
from headwater.flow import current_run_id
from headwater.model import Loaded, ModelVersion, load
from headwater.project import Project, current_project


def register_model(
    name: str, estimator: Any, sample: Any, *, project: Project | None = None, **details: Any
) -> ModelVersion:
    """Register a fitted scikit-learn estimator: files, contract, training profile, ONNX export and its parity.

    ``details`` are those of ``headwater.evaluate.register_model``: params, metrics, trained_on, card, …; ``run`` is the
    flow's run that calls it, unless given.
    """
    return register_estimator(
        project or current_project(), name, estimator, sample, **{"run": current_run_id(), **details}
    )


def load_model(ref: str, *, project: Project | None = None) -> Loaded:
    """Return the version that a ref names, ready to predict: ``hw.load_model("delay@production").predict(rows)``."""
    return load(project or current_project(), ref)
