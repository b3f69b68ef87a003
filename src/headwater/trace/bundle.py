"""Replaying a bundle where there is no project: ``python -m headwater.trace.bundle FOLDER [--force] [--json]``.

Exit codes: 0 all equal, 1 something differs or is not what its digest says, 2 wrong use.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import CorruptError, HeadwaterError, NotFoundError
from headwater.objects.findings import Finding

from .recomputing import KeptRow, Replayer
from .values import ReplayReport

if TYPE_CHECKING:
    from headwater.model import Loaded, ModelVersion

FORMAT = "headwater-bundle/1"
MANIFEST, MODELS, EXECUTIONS = "bundle.json", "models.json", "executions.json"
LINEAGE, BATCHES = "lineage.json", "batches.ndjson"
_BLOCK = 1 << 20


class FileEntry(msgspec.Struct, frozen=True):
    """Digest and size of a file of the bundle."""

    digest: str
    size: int


class Manifest(msgspec.Struct, frozen=True):
    """The manifest: what the bundle holds and the digest of each file."""

    format: str
    project: dict[str, str]
    predictions: list[str]
    batches: int
    files: dict[str, FileEntry]
    seed: int = 0


def replay_bundle(
    folder: str | Path, *, digest: str | None = None, force: bool = False, tolerance: float = 1e-5
) -> ReplayReport:
    """Compute the predictions of a bundle again and compare bytes; needs no project.

    Files that are not what the manifest says are named in ``findings``. Unless ``force`` is given nothing is computed
    then, and every prediction counts as not kept. ``digest`` is the manifest's own, where the caller has kept it.

    Raises:
        NotFoundError: there is no bundle in the folder.
        CorruptError: its manifest cannot be read.
        MissingExtraError: the engine of a model is not installed.
    """
    place = Path(folder)
    manifest = _read_manifest(place)
    findings = [*_check_manifest(place, digest), *check_files(place, manifest)]
    replayer = Replayer(manifest.predictions, _loader(place), _executions(place), tolerance)
    if findings and not force:
        report = Replayer(manifest.predictions, _loader(place), _executions(place), tolerance).report()
        why = "the bundle's files are not what its manifest says; nothing was computed"
        not_kept = tuple(msgspec.structs.replace(each, why=why) for each in report.not_kept)
        return msgspec.structs.replace(report, not_kept=not_kept, findings=tuple(findings))
    for batch in _batches(place):
        replayer.add(batch)
    return msgspec.structs.replace(replayer.report(), findings=tuple(findings))


def check_files(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    """Yield which files of a bundle are missing, changed, or not in its manifest."""
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            yield _finding(name, f"{name} is missing")
        elif (found := file_digest(path)) != entry.digest:
            yield _finding(name, f"{name} has the digest {found}, the manifest says {entry.digest}: it was changed")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for name in sorted(there - set(manifest.files) - {MANIFEST}):
        yield _finding(name, f"{name} is not in the manifest")


def file_digest(path: Path) -> str:
    """Return the BLAKE3 digest of a file."""
    from blake3 import blake3

    state = blake3()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            state.update(block)
    return state.hexdigest()


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFoundError(f"'{folder}' is no bundle: it has no {MANIFEST}. 'hw replay export FOLDER' writes one.")
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise CorruptError(f"'{path}' cannot be read: {error}. Export the bundle again.") from error
    if manifest.format != FORMAT:
        raise CorruptError(f"'{path}' has the format '{manifest.format}', this program reads '{FORMAT}'.")
    return manifest


def _check_manifest(folder: Path, digest: str | None) -> Iterator[Finding]:
    if digest is not None and (found := file_digest(folder / MANIFEST)) != digest:
        yield _finding(MANIFEST, f"{MANIFEST} has the digest {found}, {digest} was expected: it was changed")


def _loader(folder: Path) -> Any:
    from headwater.model import ModelVersion, documents, execution_of
    from headwater.model.flavours import open_flavour
    from headwater.model.loading import Loaded

    known: dict[str, ModelVersion] = {}

    def bytes_of(digest: str) -> bytes:
        path = folder / "models" / digest
        if not path.is_file():
            raise NotFoundError(f"the bundle has no file models/{digest}.")
        return path.read_bytes()

    def load(version: str) -> Loaded:
        if not known:
            text = (folder / MODELS).read_text("utf-8")
            known.update((each.id, each) for each in msgspec.convert(documents.parse(text), list[ModelVersion]))
        if version not in known:
            raise NotFoundError(f"the bundle has no model version {version}.")
        found = known[version]
        return Loaded(found, open_flavour(found, bytes_of, found.flavour), execution_of(found.flavour))

    return load


def _executions(folder: Path) -> Any:
    def find(digest: str) -> dict[str, Any] | None:
        kept: dict[str, dict[str, Any]] = msgspec.json.decode((folder / EXECUTIONS).read_bytes())
        return kept.get(digest)

    return find


def _batches(folder: Path) -> Iterator[list[KeptRow]]:
    decoder = msgspec.json.Decoder(KeptRow)
    with (folder / BATCHES).open("rb") as file:
        rows = (decoder.decode(line) for line in file)
        for _, batch in groupby(rows, key=lambda row: row.batch):
            yield list(batch)


def _finding(name: str, message: str) -> Finding:
    return Finding(kind="bundle", what=name, message=f"{message}.", severity="error")


def describe_report(report: ReplayReport) -> Iterator[str]:
    """Yield a replay's report as lines for people."""
    yield f"{report.equal:,} of {report.asked:,} predictions equal, from {report.batches:,} batches"
    yield from (f"  {version}: {count:,} replayed" for version, count in report.versions.items())
    yield from (f"not what it says: {finding.message}" for finding in report.findings)
    for each in (*report.different, *report.within):
        kind = "different" if each in report.different else f"equal within {report.tolerance:g}"
        yield (
            f"{kind}: prediction {each.prediction} {each.output}: recorded {each.recorded} ({each.recorded_bits}), "
            f"replayed {each.replayed} ({each.replayed_bits}){f'; {each.why}' if each.why else ''}"
        )
    yield from (f"not kept: prediction {each.prediction}: {each.why}" for each in report.not_kept)


def main(arguments: list[str]) -> int:
    """Replay the bundle of the command line and return the exit code."""
    flags = {each for each in arguments if each.startswith("--")}
    folders = [each for each in arguments if not each.startswith("--")]
    if len(folders) != 1 or flags - {"--force", "--json"}:
        sys.stderr.write("usage: python -m headwater.trace.bundle FOLDER [--force] [--json]\n")
        return 2
    try:
        report = replay_bundle(folders[0], force="--force" in flags)
    except HeadwaterError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    if "--json" in flags:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in describe_report(report))
    return 0 if report.all_equal else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
