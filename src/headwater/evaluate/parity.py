"""Parity: whether the exported form of a model answers as the original does, and where it does so least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headwater.errors import InvalidInputError
from headwater.lake import resolve, scan
from headwater.model import ModelVersion, get_model_version, load_version
from headwater.operation import operation
from headwater.project import Project

from .evidence import record_evidence
from .values import TOLERANCE, Evidence


def parity(
    project: Project,
    model: str,
    data: Any,
    *,
    tolerance: float = TOLERANCE,
    data_refs: Sequence[str] = (),
    where: str | None = None,
    run: str | None = None,
    seed: int = 0,
) -> Evidence:
    """Compare a version's original (scikit-learn) and exported (ONNX) files; record evidence of kind ``parity``.

    ``data`` is a dataset ref or a frame, as in ``evaluate_model``. The body is that of
    ``headwater.evaluate.agreement.check_parity``.

    Raises:
        InvalidInputError: the version does not hold both files.
    """
    if isinstance(data, str):
        return parity_on_dataset(project, model, data, tolerance=tolerance, where=where, run=run, seed=seed)
    return _parity(project, model, data, tuple(data_refs), tolerance, run, seed)


@operation("evaluate.parity", needs="model:write")
def parity_on_dataset(
    project: Project,
    model: str,
    data: str,
    *,
    tolerance: float = TOLERANCE,
    where: str | None = None,
    run: str | None = None,
    seed: int = 0,
) -> Evidence:
    """Compare a version's original and exported files on a dataset of the lake; see ``parity``."""
    source = resolve(project, data)
    frame = scan(project, source.ref, where=where)
    return _parity(project, model, frame, (f"version:{source.id}",), tolerance, run, seed)


def _parity(
    project: Project,
    model: str,
    frame: Any,
    refs: tuple[str, ...],
    tolerance: float,
    run: str | None,
    seed: int,
) -> Evidence:
    from .agreement import check_parity

    version = get_model_version(project, model)
    _require_both(version)
    original = load_version(project, version, flavour="sklearn")
    exported = load_version(project, version, flavour="onnx")
    narrow = load_version(project, _numbers_only(version), flavour="sklearn")
    body = check_parity(
        version.contract,
        original.predict_columns,
        exported.predict_columns,
        frame,
        narrow=narrow.predict_columns,
        tolerance=tolerance,
        seed=seed,
    )
    body |= {"model": version.label, "original": "sklearn", "exported": "onnx"}
    return record_evidence(project, version.ref, "parity", body, data=refs, run=run)


def _numbers_only(version: ModelVersion) -> ModelVersion:
    """Return the version as if it answered with its numbers alone, which saves the estimator half its work."""
    numbers = tuple(field for field in version.contract.outputs if field.type == "float")
    if not numbers:
        return version
    contract = msgspec.structs.replace(version.contract, outputs=numbers)
    return msgspec.structs.replace(version, contract=contract)


def _require_both(version: ModelVersion) -> None:
    flavours = {file.flavour for file in version.files}
    if not {"sklearn", "onnx"} <= flavours:
        raise InvalidInputError(
            f"{version.label} holds {', '.join(sorted(flavours))}: parity compares its scikit-learn file with its ONNX "
            "file. Register the estimator with 'hw.register_model', which writes both.",
            version=version.id,
        )
