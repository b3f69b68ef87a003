"""How far two forms of a model are apart, on real rows and on inputs searched for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from headwater.errors import InvalidInputError
from headwater.model import Contract
from headwater.model.columns import input_columns, take

from .metrics import Array
from .search import Ask, Columns, beside, climb, outside, probes
from .values import TOLERANCE

_REAL = "evaluation rows"
_ROWS = 20_000
_BASE = 2_000
_CLIMBING = "climbing"
_CLIMBERS = 96


def check_parity(
    contract: Contract,
    original: Ask,
    exported: Ask,
    frame: Any,
    *,
    narrow: Ask | None = None,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> dict[str, Any]:
    """Return how far two forms of a model are apart, on a frame's rows and on inputs searched for.

    Numbers differ by |a - b| / max(1, |a|); other outputs by 0 or 1, and a label is not counted where the
    probabilities agree within the tolerance (a tie may fall either way). Both forms are given the same numbers. Within
    the rounding of a jump a 32-bit model cannot but differ on one side; the largest such step is shown as
    ``unresolved`` and not judged, since numbers that close mean the same.

    ``narrow`` is the original asked for its numbers alone, where that is cheaper: jumps are looked for with it.

    The body: ``passed``, ``why``, ``tolerance``, ``worst`` (difference, kind of probe, output, original, exported, the
    row), ``evaluated`` and ``searched`` (rows, beyond, largest; ``searched`` also by kind), ``unresolved``, and
    ``outside``: the largest difference where one input is infinite, NaN or at the end of 32 bits, which is not judged
    either. Where both refuse the rows of the frame nothing was compared, and it has not passed.

    Raises:
        InvalidInputError: the frame lacks an input, or has no rows.
    """
    columns = input_columns(contract.inputs, frame)
    total = len(next(iter(columns.values())))
    if not total:
        raise InvalidInputError("parity needs rows to compare on: the data has none.")
    chosen = np.sort(np.random.default_rng(seed).permutation(total)[:_ROWS])
    columns = take(columns, chosen)
    tally = _Tally(contract, original, exported, tolerance)
    tally.add(_REAL, columns)
    # Where both refuse the rows there is nothing to search from: their engines would refuse that too.
    unresolved, beyond = _search(contract, tally, columns, narrow or original, seed) if tally.rows else (0.0, 0.0)
    shown = {"unresolved": unresolved, "outside": beyond, "tolerance": tolerance, "seed": seed}
    return {**tally.body(), **shown, **tally.verdict()}


def _search(contract: Contract, tally: _Tally, columns: Columns, narrow: Ask, seed: int) -> tuple[float, float]:
    """Count inputs searched for; return the largest differences within jumps and outside of what is judged."""
    original, exported, tolerance = tally.original, tally.exported, tally.tolerance
    rows = len(next(iter(columns.values())))
    base = take(columns, np.arange(0, rows, max(1, rows // _BASE)))
    unresolved = 0.0
    for kind, probe in probes(contract.inputs, base, narrow, seed=seed):
        if kind == "unresolved":
            unresolved = _largest(contract, original, exported, probe, tolerance)
        else:
            tally.add(kind, probe)
    climb(contract.inputs, tally.worst_rows(base), base, tally.climbed, seed=seed)
    ends = outside(contract.inputs, base, seed=seed)
    beyond = _largest(contract, original, exported, ends, tolerance) if len(next(iter(ends.values()))) else 0.0
    return unresolved, beyond


def _largest(contract: Contract, a: Ask, b: Ask, columns: Mapping[str, Array], tolerance: float) -> float:
    x, y = _answers(a, columns), _answers(b, columns)
    if isinstance(x, str) or isinstance(y, str):
        return 0.0 if isinstance(x, str) and isinstance(y, str) else float("inf")
    return float(differences(contract, x, y, tolerance)[0].max())


class _Tally:
    """Counts of compared inputs by kind, and the worst case so far."""

    def __init__(self, contract: Contract, original: Ask, exported: Ask, tolerance: float) -> None:
        self.contract = contract
        self.original = original
        self.exported = exported
        self.tolerance = tolerance
        self.kinds: dict[str, dict[str, Any]] = {}
        self.refused = ""
        self.worst: dict[str, Any] = {"difference": -1.0}
        self._leaders: list[Columns] = []

    def worst_rows(self, base: Columns) -> Columns:
        """Return the worst rows of each kind so far, filled up with real ones: where climbing starts."""
        found = [*self._leaders, take(base, slice(0, _CLIMBERS))]
        joined = {name: np.concatenate([each[name] for each in found]) for name in base}
        return take(joined, slice(0, _CLIMBERS))

    @property
    def rows(self) -> int:
        return sum(each["rows"] for each in self.kinds.values())

    @property
    def beyond(self) -> int:
        return sum(each["beyond"] for each in self.kinds.values())

    def add(self, kind: str, columns: Mapping[str, Array]) -> None:
        """Ask both and count; both must refuse or answer alike, so an error of one is the largest difference."""
        rows = len(next(iter(columns.values())))
        if not rows:
            return
        a, b = _answers(self.original, columns), _answers(self.exported, columns)
        if isinstance(a, str) and isinstance(b, str):
            self.refused = self.refused or a
            return
        entry = self.kinds.setdefault(kind, {"rows": 0, "beyond": 0, "largest": 0.0})
        entry["rows"] += rows
        if isinstance(a, str) or isinstance(b, str):
            entry["beyond"] += rows
            entry["largest"] = float("inf")
            self._note(
                kind,
                float("inf"),
                "",
                a if isinstance(a, str) else "answers",
                b if isinstance(b, str) else "answers",
                columns,
                0,
            )
            return
        largest, output = differences(self.contract, a, b, self.tolerance)
        entry["beyond"] += int(np.count_nonzero(largest > self.tolerance))
        place = int(np.argmax(largest))
        entry["largest"] = max(entry["largest"], float(largest[place]))
        name = self.contract.outputs[int(output[place])].name
        self._note(kind, float(largest[place]), name, _item(a[name][place]), _item(b[name][place]), columns, place)
        if kind != _CLIMBING:
            leading = np.argsort(np.where(np.isfinite(largest), largest, -1.0))[-_CLIMBERS // 8 :]
            self._leaders.append(take(columns, leading))

    def climbed(self, columns: Columns) -> Array | None:
        """Count rows as ``add`` does, but none within the rounding of a jump; returns how far apart the models are.

        A difference counts where it is there two roundings to one side as well: what is gone on both sides is a jump
        that 32 bits put a little elsewhere.
        """
        here = self._apart(columns)
        sides = [self._apart(beside(self.contract.inputs, columns, sign)) for sign in (-1.0, 1.0)]
        if here is None or sides[0] is None or sides[1] is None:
            self.add(_CLIMBING, columns)
            return None
        lasting = np.minimum(here, np.maximum(sides[0], sides[1]))
        self.add(_CLIMBING, take(columns, (here <= self.tolerance) | (lasting > self.tolerance)))
        return lasting

    def _apart(self, columns: Columns) -> Array | None:
        a, b = _answers(self.original, columns), _answers(self.exported, columns)
        return None if isinstance(a, str) or isinstance(b, str) else differences(self.contract, a, b, self.tolerance)[0]

    def _note(
        self, kind: str, difference: float, output: str, a: Any, b: Any, columns: Mapping[str, Array], place: int
    ) -> None:
        if difference > self.worst["difference"]:
            row = {name: _item(values[place]) for name, values in columns.items()}
            self.worst = {
                "difference": difference, "kind": kind, "output": output, "original": a, "exported": b, "row": row
            }  # fmt: skip

    def verdict(self) -> dict[str, Any]:
        """Return whether everything judged agrees, real rows among it, and why in a sentence."""
        if not self.rows:
            why = f"no row was compared, since both refuse the data ({self.refused}): give rows that they answer"
            return {"passed": False, "why": why}
        said = f"the worst differs by {self.worst['difference']:.3g} ({self.worst.get('kind', '')})"
        if not self.beyond:
            return {"passed": True, "why": f"all {self.rows:,} inputs agree within {self.tolerance:g}; {said}"}
        advice = ""
        if self.worst.get("kind") == "odd values":
            advice = ". Where such values cannot occur, bound the input in the contract"
        why = f"{self.beyond:,} of {self.rows:,} inputs differ by more than {self.tolerance:g}; {said}{advice}"
        return {"passed": False, "why": why}

    def body(self) -> dict[str, Any]:
        """Return the counts and the worst case."""
        searched = [each for kind, each in self.kinds.items() if kind != _REAL]
        return {
            "worst": self.worst,
            "evaluated": self.kinds.get(_REAL, {"rows": 0, "beyond": 0, "largest": 0.0}),
            "searched": {
                "rows": sum(each["rows"] for each in searched),
                "beyond": sum(each["beyond"] for each in searched),
                "largest": max((each["largest"] for each in searched), default=0.0),
                "kinds": {kind: each for kind, each in self.kinds.items() if kind != _REAL},
            },
        }


def differences(
    contract: Contract, a: Mapping[str, Array], b: Mapping[str, Array], tolerance: float
) -> tuple[Array, Array]:
    """Return each row's largest difference over the outputs, and the place of that output; both of shape (rows,)."""
    rows = len(next(iter(a.values())))
    numbers = [field.name for field in contract.outputs if field.type == "float" or field.width is not None]
    by_output = {name: _by_row(number_difference(a[name], b[name])) for name in numbers}
    near = np.max([by_output[name] for name in numbers], axis=0) <= tolerance if numbers else np.zeros(rows, bool)
    for field in contract.outputs:
        if field.name not in by_output:
            by_output[field.name] = np.where(near, 0.0, (a[field.name] != b[field.name]).astype(np.float64))
    table = np.stack([by_output[field.name] for field in contract.outputs])
    return table.max(axis=0), table.argmax(axis=0)


def _by_row(differences: Array) -> Array:
    """Return the largest difference of each row: a list of numbers has several."""
    return differences if differences.ndim == 1 else differences.reshape(len(differences), -1).max(axis=1, initial=0.0)


def number_difference(a: Array, b: Array) -> Array:
    """Return |a - b| / max(1, |a|); 0 where both are the same infinity or both NaN, infinite where one only is."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(x - y) / np.maximum(1.0, np.abs(x))
    return np.where(same, 0.0, np.where(np.isnan(difference), np.inf, difference))


def _answers(ask: Ask, columns: Mapping[str, Array]) -> dict[str, Array] | str:
    """Return the answers, or what was raised: a model may refuse an input in its engine's own words."""
    try:
        with np.errstate(invalid="ignore", over="ignore"):  # infinities are asked on purpose
            return ask(columns)
    except Exception as error:  # noqa: BLE001  # any engine; that one refuses is the finding
        return f"{type(error).__name__}: {str(error)[:200]}"


def _item(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
