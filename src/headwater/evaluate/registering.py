"""Registering a fitted estimator in one call: files, contract, profile, version, and evidence of parity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headwater.model import CardText, Contract, ModelVersion, documents, register, save_estimator
from headwater.project import Project

from .parity import parity
from .values import TOLERANCE


def register_model(
    project: Project,
    name: str,
    estimator: Any,
    sample: Any,
    *,
    contract: Contract | None = None,
    params: dict[str, Any] | None = None,
    metrics: dict[str, float] | None = None,
    run: str | None = None,
    trained_on: Sequence[str] = (),
    parent: str | None = None,
    trusted: Sequence[str] = (),
    card: CardText | None = None,
    onnx: bool | None = None,
    evaluated_on: Any = None,
    tolerance: float = TOLERANCE,
) -> ModelVersion:
    """Register a fitted model and return its version: scikit-learn's, XGBoost's, PyTorch's, a class of your own.

    ``sample`` is the frame it was trained on, inputs only. The files are of its library's own flavour (skops for
    scikit-learn) and, where it can be exported, ONNX, which is then served; their parity is searched
    from the rows of ``evaluated_on`` (a frame or dataset ref, else the sample) and recorded as evidence, passed or not:
    a gate reads it.

    Raises:
        RefusedError: the estimator holds types that ``trusted`` does not name.
        InvalidInputError: ``onnx`` is True and it cannot be exported.
    """
    saved = save_estimator(project, estimator, sample, contract=contract, trusted=trusted, onnx=onnx)
    version = register(
        project,
        name,
        files=saved.files,
        contract=saved.contract,
        params=documents.parse(documents.dump(params or {})),
        metrics=documents.parse(documents.dump(metrics or {})),
        run=run,
        trained_on=trained_on,
        reference=saved.reference,
        parent=parent,
        trusted=saved.trusted,
        card=card,
    )
    if any(file.flavour == "onnx" for file in version.files):
        rows = sample if evaluated_on is None else evaluated_on
        refs = tuple(f"version:{each}" for each in version.trained_on)
        parity(project, version.id, rows, tolerance=tolerance, data_refs=refs, run=run)
    return version
