"""A file of rows for a file of answers: CSV, JSON lines or Parquet, in one request and by one version.

The answer has a row for each row sent, in their order: the prediction's id and the outputs. A dataset of any size is
predicted by ``hw predict``.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.duck import connect
from headwater.errors import InvalidInputError
from headwater.lake.tables import write_parquet
from headwater.model.media import to_base64

from ..answering import MOST_ROWS
from ..replies import Reply
from ..traffic import key_of
from .csv_rows import rows_of_csv

if TYPE_CHECKING:
    from headwater.model import Contract

    from ..bodies import Receive, Scope
    from ..http import Endpoints
    from ..values import Answer

MOST_UNPACKED = 256 << 20
"""How many bytes the columns of a Parquet file may have when they are unpacked."""

Row = dict[str, Any]
_encode = msgspec.json.Encoder().encode


class FormError(InvalidInputError):
    """A file is of a form that is not read here."""

    kind = "unsupported_media_type"
    http_status = 415


class FileDoor:
    """The one act: rows of a file in, answers as such a file out."""

    def __init__(self, points: Endpoints) -> None:
        self._points = points
        self._engine = points.engine

    async def predict(self, scope: Scope, receive: Receive) -> Any:
        """POST /v1/models/{model}/predict/file, and /predict/file where this server answers for one model."""
        return await self._points.admitted(scope, receive, self._predict)

    async def _predict(self, scope: Scope, body: bytes, caller: str, deadline_s: float) -> Reply:
        from starlette.concurrency import run_in_threadpool

        kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        media = kind.partition(b";")[0].strip().lower().decode("latin-1")
        if media not in FORMS:
            raise FormError(
                f"the Content-Type is {media[:80] or 'not given'}: send {', '.join(FORMS)}, or JSON to …/predict."
            )
        read, write = FORMS[media]
        model = scope["path_params"].get("model") or await self._points.only_model()
        deployed = await run_in_threadpool(self._engine.deployment, model, "", key_of(scope["headers"]))
        rows = await run_in_threadpool(read, deployed.loaded.contract, body)
        answer = await self._engine.answer(
            model, rows, channel=deployed.channel, caller=caller, deadline_s=deadline_s, deployment=deployed
        )
        told = await run_in_threadpool(write, answer)
        headers = [(b"x-headwater-prediction", answer.id.encode()), (b"x-headwater-version", answer.version.encode())]
        return Reply(told, media.encode(), headers=headers)


def rows_of_lines(contract: Contract, body: bytes) -> list[Row]:
    """Return the rows of JSON lines, one object a line; empty lines are passed over.

    Raises:
        InvalidInputError: a line is no JSON object, or there are too many.
    """
    rows: list[Row] = []
    for number, line in enumerate(body.splitlines(), 1):
        if not line.strip():
            continue
        if len(rows) == MOST_ROWS:
            raise _too_many("lines")
        try:
            rows.append(msgspec.json.decode(line, type=Row))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInputError(
                f"line {number} of the file cannot be read: {error}. Write an object a line."
            ) from error
    return rows


def rows_of_parquet(contract: Contract, body: bytes) -> list[Row]:
    """Return the rows of a Parquet file; bytes as the base64 text that rows carry.

    Raises:
        InvalidInputError: it is no Parquet file, has too many rows, or is too large when it is unpacked.
    """
    import duckdb

    with tempfile.TemporaryDirectory(prefix="headwater-") as folder:
        file = Path(folder) / "rows.parquet"
        file.write_bytes(body)
        connection = connect({"threads": 1})
        try:
            rows, unpacked = connection.execute(
                "SELECT count(*), (SELECT coalesce(sum(total_uncompressed_size), 0) FROM parquet_metadata($file)) "
                "FROM read_parquet($file)",
                {"file": str(file)},
            ).fetchall()[0]
            if rows > MOST_ROWS:
                raise _too_many("rows")
            if unpacked > MOST_UNPACKED:
                raise InvalidInputError(
                    f"the Parquet file has {unpacked:,} bytes when it is unpacked; {MOST_UNPACKED:,} is what one may "
                    "have: send it in several."
                )
            found = connection.execute("SELECT * FROM read_parquet($file)", {"file": str(file)})
            names = [each[0] for each in found.description or ()]
            return [dict(zip(names, map(_plain, row), strict=True)) for row in found.fetchall()]
        except duckdb.Error as error:
            said = str(error).replace(str(file), "it").splitlines()[0]
            raise InvalidInputError(f"the body is no Parquet file that can be read: {said}") from error
        finally:
            connection.close()


def csv_of(answer: Answer) -> bytes:
    """Return an answer as CSV with a line of names; lists and objects as JSON text, nothing as an empty cell."""
    told = io.StringIO(newline="")
    names = list(answer.predictions[0])
    writer = csv.writer(told, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(each[name]) for name in names] for each in answer.predictions)
    return told.getvalue().encode()


def lines_of(answer: Answer) -> bytes:
    """Return an answer as JSON lines."""
    return b"".join(_encode(each) + b"\n" for each in answer.predictions)


def parquet_of(answer: Answer) -> bytes:
    """Return an answer as Parquet; lists and objects as JSON text."""
    names = list(answer.predictions[0])
    columns = {name: [_structured(each[name]) for each in answer.predictions] for name in names}
    with tempfile.TemporaryDirectory(prefix="headwater-") as folder:
        file = Path(folder) / "answers.parquet"
        write_parquet(columns, file)
        return file.read_bytes()


FORMS: dict[str, tuple[Callable[[Contract, bytes], list[Row]], Callable[[Answer], bytes]]] = {
    "text/csv": (rows_of_csv, csv_of),
    "application/x-ndjson": (rows_of_lines, lines_of),
    "application/vnd.apache.parquet": (rows_of_parquet, parquet_of),
}
"""How a file of each media type is read and written."""


def _plain(value: Any) -> Any:
    return to_base64(bytes(value)) if isinstance(value, bytes | bytearray | memoryview) else value


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else _structured(value)


def _structured(value: Any) -> Any:
    return _encode(value).decode() if isinstance(value, list | dict) else value


def _too_many(what: str) -> InvalidInputError:
    return InvalidInputError(
        f"the file has more than {MOST_ROWS:,} {what}: send it in several requests, or predict a dataset "
        "with 'hw predict'."
    )
