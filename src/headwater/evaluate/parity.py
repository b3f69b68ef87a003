"""Parity: whether the exported form of a model answers as the original does, and where it does so least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headwater.errors import InvalidInputError
from headwater.lake import resolve, scan
from headwater.model import ModelVersion, get_model_version, load_version
from headwater.model.flavours import FLAVOURS
from headwater.operation import operation
from headwater.project import Project

from .evidence import record_evidence
from .values import TOLERANCE, Evidence


def parity(
    project: Project,
    model: str,
    data: Any,
    *,
    original: str = "",
    exported: str = "",
    tolerance: float = TOLERANCE,
    data_refs: Sequence[str] = (),
    where: str | None = None,
    run: str | None = None,
    seed: int = 0,
) -> Evidence:
    """Compare two forms of a version, its original and an export, and record evidence of kind ``parity``.

    ``data`` is a dataset ref or a frame, as in ``evaluate_model``. ``original`` and ``exported`` are flavours of its
    files; unless named, the export is ONNX and the original its other form. The body is that of
    ``headwater.evaluate.agreement.check_parity``.

    Raises:
        InvalidInputError: the version does not hold both forms.
    """
    if isinstance(data, str):
        return parity_on_dataset(
            project, model, data, original=original, exported=exported, tolerance=tolerance, where=where, run=run,
            seed=seed,
        )  # fmt: skip
    return _parity(project, model, data, tuple(data_refs), (original, exported), tolerance, run, seed)


@operation("evaluate.parity", needs="model:write")
def parity_on_dataset(
    project: Project,
    model: str,
    data: str,
    *,
    original: str = "",
    exported: str = "",
    tolerance: float = TOLERANCE,
    where: str | None = None,
    run: str | None = None,
    seed: int = 0,
) -> Evidence:
    """Compare a version's original and exported files on a dataset of the lake; see ``parity``."""
    source = resolve(project, data)
    frame = scan(project, source.ref, where=where)
    return _parity(project, model, frame, (f"version:{source.id}",), (original, exported), tolerance, run, seed)


def _parity(
    project: Project,
    model: str,
    frame: Any,
    refs: tuple[str, ...],
    asked: tuple[str, str],
    tolerance: float,
    run: str | None,
    seed: int,
) -> Evidence:
    from .agreement import check_parity

    version = get_model_version(project, model)
    named = _two_forms(version, *asked)
    original, exported = (load_version(project, version, flavour=each) for each in named)
    narrow = load_version(project, _numbers_only(version), flavour="sklearn") if named[0] == "sklearn" else original
    body = check_parity(
        version.contract,
        original.predict_columns,
        exported.predict_columns,
        frame,
        narrow=narrow.predict_columns,
        tolerance=tolerance,
        seed=seed,
    )
    body |= {"model": version.label, "original": named[0], "exported": named[1]}
    return record_evidence(project, version.ref, "parity", body, data=refs, run=run)


def _numbers_only(version: ModelVersion) -> ModelVersion:
    """Return the version as if it answered with its numbers alone, which saves the estimator half its work."""
    numbers = tuple(field for field in version.contract.outputs if field.type == "float")
    if not numbers:
        return version
    contract = msgspec.structs.replace(version.contract, outputs=numbers)
    return msgspec.structs.replace(version, contract=contract)


def _two_forms(version: ModelVersion, original: str, exported: str) -> tuple[str, str]:
    """Return the flavours of the original and of the export."""
    flavours = [flavour for flavour in FLAVOURS if any(file.flavour == flavour for file in version.files)]
    exported = exported or ("onnx" if "onnx" in flavours else next((f for f in flavours[::-1] if f != original), ""))
    original = original or next((flavour for flavour in flavours if flavour != exported), "")
    if original == exported or not {original, exported} <= set(flavours):
        held = ", ".join(flavours) or "no file that can be loaded"
        raise InvalidInputError(
            f"{version.label} holds {held}: parity compares two of its forms, an original and an export. Register the "
            "estimator with 'hw.register_model', which writes both.",
            version=version.id,
        )
    return original, exported
