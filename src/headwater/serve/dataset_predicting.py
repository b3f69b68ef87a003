"""Predicting a dataset: its rows of any number, a part at a time, into a new version with lineage.

Rows are answered in batches of ``BATCH_ROWS``, in the order of the files, so that the same version over the same data
gives the same bytes again. No prediction events are kept: the new version, its data and its model say what a
prediction was and what it came from.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.check import Publication, publish
from headwater.errors import InvalidInputError
from headwater.lake import Entry, find_head, iter_files, put_files, put_table, resolve, scan
from headwater.lake.batches import Block, parquet_files
from headwater.lake.names import check_dataset_name
from headwater.model import ContractError, Loaded, get_model_version, load_to_measure
from headwater.model.contract import BYTES, NESTED, Field
from headwater.model.media import to_base64
from headwater.project import Project

if TYPE_CHECKING:
    from headwater.lake import Table
    from headwater.lake.batches import ParquetFiles

BATCH_ROWS = 4096
PART_ROWS = 131_072
ABOUT = "predicted.json"
REFUSED = "refused"
PREFIX = "predicted_"
_SQL_TYPES = {"float": "DOUBLE", "int": "BIGINT", "bool": "BOOLEAN"}
"""Columns of answers; those of all other types are text: JSON of what holds other values, base64 of bytes."""

Progress = Callable[[int, int], None]
"""Called with rows done and rows in all."""


class DatasetPrediction(msgspec.Struct, frozen=True, kw_only=True):
    """What came of predicting a dataset: the version made, of which model version and data, and how many rows.

    ``refused`` counts rows that do not keep the contract: they are in the version, with the reason and no prediction.
    """

    publication: Publication
    model_version: str
    data_version: str
    rows: int
    refused: int


def predict_dataset(
    project: Project,
    model: str,
    data: str,
    into: str = "",
    *,
    columns: Sequence[str] | None = None,
    where: str | None = None,
    keep_refused: bool = False,
    branch: str = "main",
    progress: Progress | None = None,
) -> DatasetPrediction:
    """Answer the rows of ``data`` with the model version a ref names, and publish them as a version of ``into``.

    Its tables have ``columns`` of the data (all of them unless given) and a column ``predicted_NAME`` for each output
    NAME of the contract (a list, object or JSON value as JSON text, bytes as base64), rows in their order;
    ``predicted.json`` says by what and of what. ``where`` (an SQL condition) chooses rows. ``into`` is
    ``MODEL-predictions`` unless given; what its branch held before is replaced. Memory does not grow with the number of
    rows. Where the answers are those it has already, no version is made.

    Raises:
        NotFoundError: there is no such model version or dataset.
        ContractError: a row does not keep the contract, unless ``keep_refused``; nothing is published then.
        InvalidInputError: an input of the contract is no column of the data, or a kept column has an output's name.
    """
    loaded = load_to_measure(project, get_model_version(project, model))
    target = into or f"{loaded.version.model}-predictions"
    check_dataset_name(target)
    version = resolve(project, data)
    table = scan(project, version.id, where=where)
    kept = list(table.columns if columns is None else columns)
    _require_columns(loaded, table, kept, version.ref)
    predicting = _Predicting(project, loaded, version.ref, kept, keep_refused, progress)
    entries = list(predicting.parts(parquet_files(table)))
    about = {
        "model_version": loaded.version.id,
        "model": loaded.version.label,
        "data_version": version.id,
        "data": version.ref,
        "where": where,
        "rows": predicting.done,
        "refused": predicting.refused,
        "batch_rows": BATCH_ROWS,
        "execution": msgspec.to_builtins(loaded.execution),
    }
    entries.append(_put_about(project, about))
    head = find_head(project, target, branch)
    before = {each.path for each in iter_files(project, head.id)} if head is not None else set()
    publication = publish(
        project,
        target,
        put=entries,
        remove=sorted(before - {each.path for each in entries}),
        branch=branch,
        message=f"{loaded.version.label} of {version.ref}" + (f" where {where}" if where else ""),
        produced_by=loaded.version.ref,
        inputs=[version.id],
    )
    return DatasetPrediction(
        publication=publication,
        model_version=loaded.version.id,
        data_version=version.id,
        rows=predicting.done,
        refused=predicting.refused,
    )


class _Predicting:
    """One pass over the data; ``done`` and ``refused`` count its rows so far."""

    def __init__(
        self,
        project: Project,
        loaded: Loaded,
        data: str,
        kept: Sequence[str],
        keep_refused: bool,
        progress: Progress | None,
    ) -> None:
        self.done = 0
        self.refused = 0
        self._project = project
        self._loaded = loaded
        self._data = data
        self._kept = kept
        self._keep_refused = keep_refused
        self._progress = progress
        outputs = loaded.contract.outputs
        self._types = {f"{PREFIX}{field.name}": _SQL_TYPES.get(field.type, "VARCHAR") for field in outputs}
        if keep_refused:
            self._types[REFUSED] = "VARCHAR"

    def parts(self, files: ParquetFiles) -> Iterator[Entry]:
        """Yield the entry of each part when its bytes are in the store."""
        blocks = [
            Block(file, start, min(start + PART_ROWS, count))
            for file, count in enumerate(files.rows)
            for start in range(0, count, PART_ROWS)
        ]
        total = sum(block.rows for block in blocks)
        with tempfile.TemporaryDirectory(prefix="headwater-") as folder:
            part = Path(folder) / "part.parquet"
            for number, block in enumerate(blocks):
                answers: dict[str, list[Any]] = {name: [] for name in self._types}
                for start in range(block.start, block.stop, BATCH_ROWS):
                    batch = Block(block.file, start, min(start + BATCH_ROWS, block.stop))
                    self._answer(files.read(batch), answers)
                    if self._progress is not None:
                        self._progress(self.done, total)
                files.write_beside(block, self._kept, answers, self._types, part)
                yield put_table(self._project, f"part-{number:06}.parquet", part)

    def _answer(self, columns: dict[str, Any], answers: dict[str, list[Any]]) -> None:
        inputs = self._loaded.contract.inputs
        names = [field.name for field in inputs]
        values = [_row_values(field, columns[field.name]) for field in inputs]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
        good, reasons = self._validated(rows)
        outputs = iter(self._loaded.predict(good, validated=True) if good else [])
        for number in range(len(rows)):
            output = {} if number in reasons else next(outputs)
            for field in self._loaded.contract.outputs:
                answers[f"{PREFIX}{field.name}"].append(_cell(field, output.get(field.name)))
            if self._keep_refused:
                answers[REFUSED].append(reasons.get(number))
        self.done += len(rows)
        self.refused += len(reasons)

    def _validated(self, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[int, str]]:
        """Return the rows that keep the contract, and for each other one its number and what is wrong with it."""
        contract = self._loaded.contract
        try:
            return contract.validate(rows), {}
        except ContractError as error:
            problems = error.values["problems"]
            if not self._keep_refused:
                first = problems[0]
                raise ContractError(
                    f"row {self.done + first['row']:,} of {self._data} does not keep the contract of "
                    f"{self._loaded.version.label}: '{first['field']}' {first['what']}, expected {first['expected']}. "
                    "Nothing was published. Correct the data, choose rows with --where, or give --keep-refused.",
                    problems=[{**each, "row": self.done + each["row"]} for each in problems[:100]],
                ) from error
        reasons: dict[int, str] = {}
        for each in problems:
            said = f"'{each['field']}' {each['what']}, expected {each['expected']}"
            reasons[each["row"]] = f"{reasons[each['row']]}; {said}" if each["row"] in reasons else said
        return contract.validate([row for number, row in enumerate(rows) if number not in reasons]), reasons


def _row_values(field: Field, column: Any) -> list[Any]:
    """Return a column as rows carry it: bytes as base64 text, nested arrays as lists."""
    values: list[Any] = column.tolist()
    return [_plain(each) for each in values] if field.type in BYTES | NESTED else values


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return to_base64(bytes(value))
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if hasattr(value, "tolist"):  # the database hands out lists as arrays, masked where they hold nothing
        return _plain(value.tolist())
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _cell(field: Field, value: Any) -> Any:
    """Return what a column holds of an answer: a list, an object or any JSON value as JSON text."""
    return msgspec.json.encode(value).decode() if field.type in NESTED and value is not None else value


def _require_columns(loaded: Loaded, table: Table, kept: Sequence[str], data: str) -> None:
    there = set(table.columns)
    for what, wanted in (("inputs", [field.name for field in loaded.contract.inputs]), ("columns", kept)):
        missing = [name for name in wanted if name not in there]
        if missing:
            raise InvalidInputError(
                f"{data} lacks the {what} {', '.join(missing)}; it has {', '.join(table.columns[:30])}.",
                missing=missing,
            )
    taken = {*(f"{PREFIX}{field.name}" for field in loaded.contract.outputs), REFUSED} & set(kept)
    if taken:
        raise InvalidInputError(
            f"{data} has the columns {', '.join(sorted(taken))} already, which the answers are to be called. Leave "
            "them out: --column names those to keep.",
            columns=sorted(taken),
        )


def _put_about(project: Project, about: dict[str, Any]) -> Entry:
    with tempfile.TemporaryDirectory(prefix="headwater-") as folder:
        file = Path(folder) / ABOUT
        file.write_bytes(msgspec.json.format(msgspec.json.encode(about), indent=2) + b"\n")
        return put_files(project, {ABOUT: file})[0]
