"""Exporting a bundle: predictions with all it takes to compute them again, as files that name each other's digests.

bundle.json             the manifest: digest and size of every other file, the predictions asked for
models.json             the model versions: contract, files, description, who made them of what
executions.json         the execution records by digest
lineage.json            what each model version came from
models/DIGEST           the bytes of model files
batches.ndjson          every row of every batch concerned; inputs and outputs as base64 of canonical MessagePack
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater import canonical
from headwater.durable import make_directory, sync_file
from headwater.errors import ConflictError, NotFoundError
from headwater.model import documents, get_model_version
from headwater.project import Project

from .bundle import BATCHES, EXECUTIONS, FORMAT, LINEAGE, MANIFEST, MODELS, file_digest
from .recomputing import KeptRow
from .replaying import read_batches, read_executions, sample_predictions
from .values import Bundle
from .walking import trace

if TYPE_CHECKING:
    from headwater.model import ModelVersion

_encode = msgspec.json.Encoder(order="deterministic").encode


def export_bundle(
    project: Project, out: str | Path, *, predictions: Sequence[str] | None = None, n: int = 1000, seed: int = 0
) -> Bundle:
    """Write a folder with which anybody can replay predictions without the project, and return its digest.

    Without ``predictions``, ``n`` of them are chosen over all versions that served (``sample_predictions``).

    Raises:
        ConflictError: the folder exists.
        NotFoundError: there are no such predictions.
    """
    chosen = predictions if predictions is not None else sample_predictions(project, n, seed=seed)
    wanted = list(dict.fromkeys(each.removeprefix("prediction:").upper() for each in chosen))
    folder = Path(out)
    if folder.exists():
        raise ConflictError(f"'{folder}' exists already: name a folder that does not.", path=str(folder))
    make_directory(folder / "models", "bundle")
    try:
        return _fill(project, folder, wanted, seed)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _fill(project: Project, folder: Path, wanted: list[str], seed: int) -> Bundle:
    versions, executions, batches, found = _write_batches(folder / BATCHES, read_batches(project, wanted))
    missing = [each for each in wanted if each not in found]
    if missing or not wanted:
        raise NotFoundError(
            f"{len(missing)} of {len(wanted)} predictions have no events, the first is "
            f"'{missing[0] if missing else ''}': a bundle holds predictions that were kept."
        )
    models = [get_model_version(project, version) for version in sorted(versions)]
    _write_models(project, folder, models)
    (folder / EXECUTIONS).write_bytes(_encode(read_executions(project, sorted(executions))))
    lineage = {each.ref: trace(project, each.ref) for each in models}
    (folder / LINEAGE).write_text(documents.dump(msgspec.to_builtins(lineage)), encoding="utf-8")
    files = _files(folder)
    manifest = _encode(
        {
            "format": FORMAT,
            "project": {"id": project.id, "name": project.name},
            "seed": seed,
            "predictions": wanted,
            "batches": batches,
            "files": files,
        }
    )
    (folder / MANIFEST).write_bytes(manifest)
    for path in folder.rglob("*"):
        if path.is_file():
            _sync(path)
    return Bundle(
        folder=str(folder),
        digest=canonical.digest(manifest),
        predictions=len(wanted),
        batches=batches,
        versions=tuple(each.id for each in models),
        bytes=sum(entry["size"] for entry in files.values()) + len(manifest),
    )


def _write_batches(path: Path, batches: Iterable[list[KeptRow]]) -> tuple[set[str], set[str], int, set[str]]:
    """Write the rows; return their versions, executions, the number of batches, and the ids seen."""
    versions: set[str] = set()
    executions: set[str] = set()
    seen: set[str] = set()
    count = 0
    with path.open("wb") as file:
        for batch in batches:
            count += 1
            for row in batch:
                file.write(_encode(row) + b"\n")
                versions.add(row.version)
                executions.add(row.execution)
                seen.add(row.prediction)
    return versions, executions, count, seen


def _write_models(project: Project, folder: Path, models: Sequence[ModelVersion]) -> None:
    (folder / MODELS).write_text(documents.dump([msgspec.to_builtins(each) for each in models]), encoding="utf-8")
    for version in models:
        for file in version.files:
            # Only what is served is needed to replay; its siblings are the team's own business.
            if file.flavour == version.flavour:
                project.objects.materialise(file.digest, folder / "models" / file.digest, mode="copy")


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"digest": file_digest(path), "size": path.stat().st_size}
        for path in paths
    }


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        sync_file(file.fileno(), "bundle")
