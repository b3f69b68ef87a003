"""Computing kept predictions again: each batch as it was, each answer compared in its recorded position.

Needs neither a project nor a ledger, so that a bundle is replayed by the same code: batches come as kept rows, models
and execution records by functions.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from headwater import canonical
from headwater.errors import CorruptError, GoneError, HeadwaterError, MissingExtraError, NotFoundError

from .values import Difference, NotKept, ReplayReport

if TYPE_CHECKING:
    from headwater.model import Execution, Loaded


class KeptRow(msgspec.Struct, frozen=True, kw_only=True):
    """One kept prediction, as bytes: what a replay starts from and compares with."""

    prediction: str
    batch: str
    position: int
    batch_size: int
    version: str
    execution: str
    inputs: bytes | None  # an erasure and a sampling leave nothing here
    outputs: bytes | None
    left_out: str | None = None  # names of masked inputs, or * (headwater.serve.keeping)


class Replayer:
    """Computes batches again and gathers what came of it.

    ``load`` returns a model version ready to predict, ``execution`` the record of a digest (None when it is not known),
    ``erased`` what is said of a prediction whose inputs are no longer kept.
    """

    def __init__(
        self,
        wanted: Sequence[str],
        load: Callable[[str], Loaded],
        execution: Callable[[str], dict[str, Any] | None],
        tolerance: float,
        erased: Callable[[str], str] = lambda prediction: f"the inputs of prediction {prediction} were erased",
    ) -> None:
        self._wanted = dict.fromkeys(wanted)
        self._load = load
        self._execution = execution
        self._tolerance = tolerance
        self._erased = erased
        self._loaded: dict[str, Loaded | str] = {}
        self._batches = 0
        self._equal = 0
        self._versions: dict[str, int] = {}
        self._different: list[Difference] = []
        self._within: list[Difference] = []
        self._not_kept: list[NotKept] = []
        self._seen: set[str] = set()

    def add(self, batch: Sequence[KeptRow]) -> None:
        """Compute one batch again; rows are those of one request, in any order."""
        rows = sorted(batch, key=lambda row: row.position)
        asked = [row for row in rows if row.prediction in self._wanted]
        self._seen.update(row.prediction for row in asked)
        self._batches += 1
        first = rows[0]
        if len(rows) != first.batch_size:
            why = f"{first.batch_size - len(rows)} of the {first.batch_size} rows of its batch are not kept"
            self._refuse(asked, why)
            return
        masked = next((row for row in rows if row.left_out), None)
        if masked is not None:
            what = "was sampled out" if masked.left_out == "*" else f"was kept without {masked.left_out}"
            self._refuse(asked, f"prediction {masked.prediction} of its batch {what}, as the model's settings say")
            return
        erased = [row.prediction for row in rows if not row.inputs]
        if erased:
            self._refuse(asked, self._erased(erased[0]))
            return
        loaded = self._model(first.version)
        if isinstance(loaded, str):
            self._refuse(asked, loaded)
            return
        try:
            outputs = loaded.predict([canonical.decode(row.inputs or b"") for row in rows], validated=True)
        except Exception as error:  # noqa: BLE001  # changed bytes may make the engine raise anything: that is a result
            self._fail(asked, error)
            return
        why = self._circumstances(first.execution, loaded.execution)
        for row in asked:
            self._compare(row, outputs[row.position], why)

    def report(self) -> ReplayReport:
        """Return what came of all batches; predictions of no batch are reported as not kept."""
        for prediction in self._wanted:
            if prediction not in self._seen:
                self._not_kept.append(NotKept(prediction=prediction, why="there is no event of this prediction"))
        return ReplayReport(
            asked=len(self._wanted),
            equal=self._equal,
            different=tuple(self._different),
            within=tuple(self._within),
            not_kept=tuple(self._not_kept),
            versions=self._versions,
            batches=self._batches,
            tolerance=self._tolerance,
        )

    def _model(self, version: str) -> Loaded | str:
        if version not in self._loaded:
            try:
                self._loaded[version] = self._load(version)
            except MissingExtraError:
                raise
            except (GoneError, NotFoundError, CorruptError) as error:
                self._loaded[version] = f"its model cannot be loaded: {error.message}"
        return self._loaded[version]

    def _refuse(self, rows: Iterable[KeptRow], why: str) -> None:
        self._not_kept += [NotKept(prediction=row.prediction, why=why) for row in rows]

    def _fail(self, rows: Iterable[KeptRow], error: Exception) -> None:
        said = error.message if isinstance(error, HeadwaterError) else f"{type(error).__name__}: {error}"
        for row in rows:
            self._different.append(
                Difference(
                    prediction=row.prediction,
                    output="",
                    recorded=canonical.decode(row.outputs or b""),
                    replayed=None,
                    recorded_bits=(row.outputs or b"").hex(),
                    replayed_bits="",
                    why=f"computing it again failed: {said}",
                )
            )

    def _compare(self, row: KeptRow, outputs: dict[str, Any], why: str) -> None:
        version = row.version
        self._versions[version] = self._versions.get(version, 0) + 1
        if canonical.encode(outputs) == row.outputs:
            self._equal += 1
            return
        found = list(_differences(row, canonical.decode(row.outputs or b""), outputs, why))
        close = bool(why) and all(_close(each.recorded, each.replayed, self._tolerance) for each in found)
        (self._within if close else self._different).extend(found)

    def _circumstances(self, recorded: str, now: Execution) -> str:
        """Return in what this execution differs from the recorded one; empty when it does not."""
        if recorded == now.digest:
            return ""
        kept = self._execution(recorded)
        if kept is None:
            return "the recorded execution is not known"
        present = msgspec.to_builtins(now)
        parts = [f"{key} was {kept.get(key)}, is {present[key]}" for key in present if kept.get(key) != present[key]]
        return "; ".join(parts)


def _differences(row: KeptRow, recorded: dict[str, Any], replayed: dict[str, Any], why: str) -> Iterable[Difference]:
    for name in [*recorded, *(each for each in replayed if each not in recorded)]:
        old, new = recorded.get(name), replayed.get(name)
        if canonical.encode(old) != canonical.encode(new):
            yield Difference(
                prediction=row.prediction,
                output=name,
                recorded=old,
                replayed=new,
                recorded_bits=_bits(old),
                replayed_bits=_bits(new),
                why=why,
            )


def _bits(value: Any) -> str:
    if isinstance(value, float):
        return struct.pack(">d", value).hex()
    return canonical.encode(value).hex()


def _close(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)
    return bool(a == b)
