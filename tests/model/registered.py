"""Versions that many tests register: an estimator is saved, exported and compared once in a process of tests."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from headwater.evaluate import list_evidence, record_evidence, register_model
from headwater.model import Contract, ModelVersion, documents, register
from headwater.model.saving import store_files
from headwater.project import Project, create_project


class Kept(NamedTuple):
    """What registering an estimator made: its files by flavour, its profile, and what parity says (None: no export)."""

    estimator: Any
    files: dict[str, dict[str, bytes]]
    contract: Contract
    profile: bytes
    parity: dict[str, Any] | None


_kept: dict[tuple[int, bool | None], Kept] = {}


def registered(
    project: Project,
    name: str,
    estimator: Any,
    sample: Any,
    *,
    onnx: bool | None = None,
    params: dict[str, Any] | None = None,
    **more: Any,
) -> ModelVersion:
    """Register as ``register_model`` does, with the same files, profile and evidence, but with its work done once.

    The estimator is one that lives as long as the process, and is always given with the same sample.
    """
    kept = _kept.get((id(estimator), onnx))
    if kept is None:
        kept = _kept[id(estimator), onnx] = _saved(estimator, sample, onnx)
    files, reference = store_files(project, kept.files, kept.profile)
    params = documents.parse(documents.dump(params or {}))
    version = register(project, name, files=files, contract=kept.contract, reference=reference, params=params, **more)
    if kept.parity is not None:
        refs = [f"version:{each}" for each in version.trained_on]
        body = kept.parity | {"model": version.label}
        record_evidence(project, version.ref, "parity", body, data=refs, run=version.run)
    return version


def _saved(estimator: Any, sample: Any, onnx: bool | None) -> Kept:
    with (
        tempfile.TemporaryDirectory(prefix="headwater-test-") as folder,
        create_project(Path(folder) / "project", name="kept") as project,
    ):
        version = register_model(project, "kept", estimator, sample, onnx=onnx)
        files: dict[str, dict[str, bytes]] = {}
        for file in version.files:
            files.setdefault(file.flavour, {})[file.name] = project.objects.get(file.digest)
        assert version.reference is not None
        parity = next((each.body for each in list_evidence(project, version.ref) if each.kind == "parity"), None)
        return Kept(estimator, files, version.contract, project.objects.get(version.reference), parity)
