"""What is evaluated on: a dataset's version or a frame in memory, as columns with the truth apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from headwater.canonical import digest_of
from headwater.errors import InvalidInputError
from headwater.lake import resolve, scan
from headwater.model import Contract
from headwater.model.columns import as_columns, is_missing, take
from headwater.project import Project

from .metrics import Array


class EvaluationSet:
    """Columns of shape (rows,) and the truth beside them; ``refs`` name the data, ``window`` says which part it is.

    ``group`` names the column whose rows belong together (a query, a customer), ``groups`` numbers each row's from 0.
    """

    def __init__(
        self,
        columns: Mapping[str, Array],
        truth: Array,
        refs: tuple[str, ...] = (),
        window: str = "",
        *,
        target: str = "",
        group: str = "",
    ) -> None:
        self.columns = dict(columns)
        self.truth = truth
        self.refs = refs
        self.window = window
        self.target = target
        self.group = group
        self.groups = np.unique(as_text(self.columns[group]), return_inverse=True)[1] if group else None

    def part(self, mask: Array) -> EvaluationSet:
        """Return some of the rows, by mask or index."""
        columns = take(self.columns, mask)
        return EvaluationSet(columns, self.truth[mask], self.refs, self.window, target=self.target, group=self.group)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.truth)

    def digest(self, contract: Contract) -> str:
        """Return the digest of the inputs and the truth, row by row: equal where two measurements saw the same rows."""
        names = [field.name for field in contract.inputs]
        return digest_of([[names, *(_content(self.columns[name]) for name in names)], _content(self.truth)])


def evaluation_set(
    project: Project,
    data: Any,
    target: str,
    *,
    where: str | None = None,
    refs: tuple[str, ...] = (),
    part: str = "",
    time: str | None = None,
    window: str = "",
    group: str = "",
) -> EvaluationSet:
    """Return the rows to evaluate on; rows without truth are left out.

    ``data`` is a dataset ref (``flights@main``) or a frame; ``where`` is SQL over a dataset's columns, ``part`` takes
    only files whose paths begin so (``test`` of a split). ``time`` names a column from which the window is said (first
    to last); ``window`` says it in words instead. ``group`` names the column whose rows belong together.

    Raises:
        InvalidInputError: the target, time or group column is missing, or no row has truth.
    """
    if isinstance(data, str):
        version = resolve(project, data)
        columns = as_columns(scan(project, version.ref, where=where, prefix=part))
        refs = (*refs, f"version:{version.id}")
        window = window or " ".join([version.ref, *([part] if part else []), *([f"where {where}"] if where else [])])
    else:
        columns = as_columns(data)
    for name in filter(None, (target, time, group)):
        if name not in columns:
            raise InvalidInputError(f"the data has no column '{name}'; it has {', '.join(list(columns)[:30])}.")
    known = ~is_missing(columns[target])
    if not known.any():
        raise InvalidInputError(f"no row of the data has a value of '{target}': there is nothing to measure against.")
    if not known.all():
        columns = take(columns, known)
    return EvaluationSet(columns, columns[target], refs, _window(columns, time, window), target=target, group=group)


def as_text(values: Array) -> Array:
    """Return values as text; what is missing is ``missing``."""
    missing = is_missing(values)
    shown = values.astype(str)
    return np.where(missing, "missing", shown) if missing.any() else shown


def truth_as_boolean(truth: Array, positive: Any) -> Array:
    """Return where the truth is the positive class, whether it is written True, 1 or as the class itself."""
    if isinstance(positive, bool) or truth.dtype.kind == "b":
        return np.asarray(truth.astype(np.float64) > 0 if truth.dtype.kind in "biuf" else truth == positive, bool)
    return np.asarray(truth == positive, bool)


def _window(columns: Mapping[str, Array], time: str | None, window: str) -> str:
    if time is None:
        return window
    values = columns[time]
    span = f"{time} {_moment(values.min())} to {_moment(values.max())}"
    return f"{window}, {span}" if window else span


def _moment(value: Any) -> str:
    if isinstance(value, np.datetime64):
        return str(value.astype("datetime64[m]")).replace("T", " ")
    return str(value)


def _content(values: Array) -> Any:
    if values.dtype.kind == "O" or values.dtype.kind == "U":
        return digest_of([None if each is None or each != each else str(each) for each in values.tolist()])
    plain = values.astype("datetime64[us]").astype(np.int64) if values.dtype.kind in "mM" else values
    return digest_of(
        msgspec.Raw(b"") if not len(plain) else np.ascontiguousarray(plain, plain.dtype.newbyteorder("<")).tobytes()
    )
