"""A model version in a folder of files, which answers where there is no project: what an exported package runs on.

::

    package.json   the version: its names, its contract, its files with their digests
    examples.json  rows and what the version answered to them when it was exported, bit by bit
    FILE ...       the files of the model, byte for byte as they were registered
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from headwater import canonical
from headwater.errors import CorruptError, InvalidInputError
from headwater.ids import new_id
from headwater.model.contract import Contract
from headwater.model.execution import execution_of
from headwater.model.flavours import open_flavour
from headwater.model.loaded import Loaded
from headwater.model.values import ModelVersion

FORMAT = "headwater-package/1"
ABOUT, EXAMPLES = "package.json", "examples.json"
TOLERANCE = 1e-5
T = TypeVar("T")


class PackagedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the model: its name here, its digest in the project (BLAKE3) and that of these bytes (SHA-256)."""

    name: str
    digest: str
    sha256: str
    size: int


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What ``package.json`` holds. ``exported_with`` maps the engines of the export to their versions."""

    format: str
    project: str
    version: ModelVersion
    files: tuple[PackagedFile, ...]
    exported_with: dict[str, str]
    made_by: str


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A row, and the canonical bytes of the answer to it, as hexadecimal digits."""

    inputs: dict[str, Any]
    answer: str


class PackagedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one request: as from a server of the project, but that no channel chose the version.

    ``predictions`` has one dict per row in the order asked: ``id`` and the outputs of the contract.
    """

    id: str
    model: str
    version: str
    model_version: str
    occurred_at: int
    predictions: list[dict[str, Any]]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What came of computing the examples again: equal bit by bit, within ``TOLERANCE``, or different."""

    examples: int
    equal: int
    within: int
    different: int
    first_difference: str = ""

    @property
    def passed(self) -> bool:
        """Whether no answer is different."""
        return self.different == 0


class Package:
    """A model version in a folder; opened at its first answer. Safe to use from several threads."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock = threading.Lock()
        self._loaded: Loaded | None = None
        self._about: About | None = None

    @property
    def about(self) -> About:
        """The version, its file, and what it was exported with.

        Raises:
            CorruptError: the package's description cannot be read.
        """
        if self._about is None:
            found = self._read(ABOUT, About)
            if found.format != FORMAT:
                raise CorruptError(f"'{self.folder}' has the format '{found.format}', this code reads '{FORMAT}'.")
            self._about = found
        return self._about

    @property
    def contract(self) -> Contract:
        """What goes in and what comes out."""
        return self.about.version.contract

    def open(self) -> Loaded:
        """Return the version, ready to answer; its file is verified before the engine sees it.

        Raises:
            CorruptError: the file is missing or is not what was exported.
            MissingExtraError: the engine is not installed.
        """
        with self._lock:
            if self._loaded is None:
                version = self.about.version
                predictor = open_flavour(version, self._bytes, version.flavour)
                self._loaded = Loaded(version, predictor, execution_of(version.flavour))
            return self._loaded

    def predict(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return one dict of outputs per row, in the order of the rows.

        Raises:
            ContractError: rows do not keep the contract; it names every problem of every row.
        """
        return (self._loaded or self.open()).predict(rows)

    def answer(self, rows: Sequence[dict[str, Any]], *, occurred_at: int | None = None) -> PackagedAnswer:
        """Return the answer to some rows with an id for each; ``occurred_at`` is UTC microseconds, now unless given.

        Raises:
            ContractError: rows do not keep the contract; it names every problem of every row.
        """
        outputs = self.predict(rows)
        now = time.time_ns() // 1000
        ids = [new_id(now) for _ in outputs] or [new_id(now)]
        version = self.about.version
        return PackagedAnswer(
            id=ids[0],
            model=version.model,
            version=f"v{version.number}",
            model_version=version.id,
            occurred_at=now if occurred_at is None else occurred_at,
            predictions=[{"id": each, **output} for each, output in zip(ids, outputs, strict=False)],
        )

    def check(self) -> Checked:
        """Compute the examples again and compare with the answers at the time of the export.

        Raises:
            CorruptError: a file of the package is missing or was changed.
        """
        examples = self._read(EXAMPLES, list[Example])
        counts = {"equal": 0, "within": 0, "different": 0}
        first = ""
        for number, example in enumerate(examples):
            now = self.predict([example.inputs])[0]
            kind = compare(example.answer, now)
            counts[kind] += 1
            if kind == "different" and not first:
                was = canonical.decode(bytes.fromhex(example.answer))
                first = f"example {number}: {was} when it was exported, {now} here"
        return Checked(examples=len(examples), first_difference=first, **counts)

    def _bytes(self, digest: str) -> bytes:
        file = next(each for each in self.about.files if each.digest == digest)
        path = self.folder / file.name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CorruptError(f"'{path}' cannot be read ({error.strerror}): install the package again.") from error
        found = hashlib.sha256(data).hexdigest()
        if found != file.sha256:
            raise CorruptError(
                f"'{path}' is not the model that was exported: its SHA-256 is {found[:16]}…, {file.sha256[:16]}… was "
                "expected. Install the package again.",
                path=str(path),
            )
        return data

    def _read(self, name: str, kind: Callable[..., T] | type[T]) -> T:
        path = self.folder / name
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)  # type: ignore[arg-type,return-value,unused-ignore]
        except OSError as error:
            raise CorruptError(f"'{path}' cannot be read ({error.strerror}): install the package again.") from error
        except msgspec.DecodeError as error:
            raise CorruptError(f"'{path}' cannot be read: {error}. Install the package again.") from error


def about_version(project: str, version: ModelVersion, files: Mapping[str, bytes], made_by: str) -> About:
    """Return the description of a version whose files, by digest, these are: those of its flavour and no others."""
    kept = tuple(file for file in version.files if file.flavour == version.flavour)
    return About(
        format=FORMAT,
        project=project,
        version=msgspec.structs.replace(version, files=kept),
        files=tuple(
            PackagedFile(
                name=file.name,
                digest=file.digest,
                sha256=hashlib.sha256(files[file.digest]).hexdigest(),
                size=len(files[file.digest]),
            )
            for file in kept
        ),
        exported_with=execution_of(version.flavour).engines,
        made_by=made_by,
    )


def compare(recorded: str, outputs: dict[str, Any]) -> str:
    """Return whether outputs are ``equal`` to recorded canonical bytes, ``within`` TOLERANCE, or ``different``."""
    if canonical.encode(outputs).hex() == recorded:
        return "equal"
    before = canonical.decode(bytes.fromhex(recorded))
    same = before.keys() == outputs.keys() and all(_close(before[name], outputs[name]) for name in before)
    return "within" if same else "different"


def _close(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_close, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[name], b[name]) for name in a)
    return bool(a == b)


def port_given() -> int:
    """Return the port that the surroundings ask for in $PORT, else 8080.

    Raises:
        InvalidInputError: $PORT is no port.
    """
    text = os.environ.get("PORT", "8080")
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65_536:
        raise InvalidInputError(f"$PORT is '{text}', which is no port: set it to a number or leave it out.")
    return int(text)
