"""MLflow's scoring protocol: ``/invocations``, ``/ping`` and ``/version``, for clients and tests written for it.

Source: MLflow's documentation, "Deploy MLflow Model as a Local Inference Server".
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from importlib import metadata
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import InvalidInputError

from ..answering import MOST_ROWS
from ..http import Reply

if TYPE_CHECKING:
    from headwater.model import Contract

    from ..bodies import Receive, Scope
    from ..http import Endpoints

_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_encode = msgspec.json.Encoder().encode


class MlflowDoor:
    """The protocol's acts, for the one model that this server answers for."""

    def __init__(self, points: Endpoints) -> None:
        self._points = points
        self._engine = points.engine

    async def ping(self, scope: Scope, receive: Receive) -> Any:
        """GET /ping: 200 where the one model answers."""
        from starlette.concurrency import run_in_threadpool

        await run_in_threadpool(self._engine.deployment, await self._points.only_model())
        return Reply(b"\n", b"application/json")

    async def version(self, scope: Scope, receive: Receive) -> Any:
        """GET /version."""
        return Reply(metadata.version("headwater").encode(), b"text/plain; charset=utf-8")

    async def invocations(self, scope: Scope, receive: Receive) -> Any:
        """POST /invocations: ``predictions`` has one object of outputs per row."""
        return await self._points.admitted(scope, receive, self._invoke)

    async def _invoke(self, scope: Scope, body: bytes, caller: str, deadline_s: float) -> Reply:
        from starlette.concurrency import run_in_threadpool

        model = await self._points.only_model()
        deployed = await run_in_threadpool(self._engine.deployment, model)
        contract = deployed.loaded.contract
        kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"application/json")
        rows = rows_of_csv(contract, body) if kind.startswith(b"text/csv") else rows_of_json(contract, body)
        answer = await self._engine.answer(
            model, rows, channel=deployed.channel, caller=caller, deadline_s=deadline_s, deployment=deployed
        )
        told = [{name: value for name, value in each.items() if name != "id"} for each in answer.predictions]
        headers = [(b"x-headwater-prediction", answer.id.encode()), (b"x-headwater-version", answer.version.encode())]
        return Reply(_encode({"predictions": told}), b"application/json", headers=headers)


def rows_of_json(contract: Contract, body: bytes) -> list[dict[str, Any]]:
    """Return the rows of a request in one of the protocol's four forms.

    Raises:
        InvalidInputError: it is none of them.
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"the request body cannot be read: {error}. {_advice()}") from error
    given = [name for name in _FORMS if isinstance(found, dict) and name in found]
    if len(given) != 1:
        raise InvalidInputError(f"the request has {', '.join(given) or 'none'} of {', '.join(_FORMS)}. {_advice()}")
    value = found[given[0]]
    if given[0] == "dataframe_split":
        return _split(value)
    if isinstance(value, dict):
        return _by_column(value)
    if not isinstance(value, list):
        raise InvalidInputError(f"'{given[0]}' is neither a list nor an object. {_advice()}")
    names = [field.name for field in contract.inputs]
    return [_named(names, each) for each in value]


def rows_of_csv(contract: Contract, body: bytes) -> list[dict[str, Any]]:
    """Return the rows of CSV text with a line of names; texts become what the contract's fields are.

    Raises:
        InvalidInputError: it is not UTF-8 or no CSV, has too many lines, a name twice, or a line with more or fewer
            cells than there are names.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"the CSV is not UTF-8: {error}.") from error
    types = {field.name: field.type for field in contract.inputs}
    rows: list[dict[str, Any]] = []
    lines = csv.reader(io.StringIO(text))
    try:
        names = _distinct(next(lines, []))
        for number, cells in enumerate(lines, 2):
            if number > MOST_ROWS + 1:  # before more are read; empty lines are counted too
                raise InvalidInputError(f"the CSV has more than {MOST_ROWS:,} rows: send it in several requests.")
            if not cells:
                continue
            if len(cells) != len(names):
                raise InvalidInputError(
                    f"line {number} of the CSV has {len(cells):,} cells where its first line has {len(names):,} names."
                )
            rows.append({name: typed(types.get(name, "str"), cell) for name, cell in zip(names, cells, strict=True)})
    except csv.Error as error:
        raise InvalidInputError(f"the CSV cannot be read: {error}. Quote cells that hold commas or lines.") from error
    return rows


def typed(kind: str, cell: str | None) -> Any:
    """Return the text of a cell as a field's type, or as it is where it does not read as one: the contract refuses it.

    An empty cell is nothing.
    """
    if cell is None or cell == "":
        return None
    try:
        if kind == "float":
            return float(cell)
        if kind == "int":
            return int(cell)
        if kind == "bool":
            return {"true": True, "false": False, "1": True, "0": False}.get(cell.strip().lower(), cell)
        if kind in ("list", "object", "json"):
            return msgspec.json.decode(cell)
    except (ValueError, msgspec.DecodeError):
        return cell
    return cell


def _split(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, dict) or not isinstance(value.get("data"), list) or "columns" not in value:
        raise InvalidInputError(f"'dataframe_split' needs 'columns' and 'data'. {_advice()}")
    names = value["columns"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidInputError(f"'columns' of 'dataframe_split' is no list of names. {_advice()}")
    _distinct(names)
    return [_named(names, each) for each in value["data"]]


def _distinct(names: list[str]) -> list[str]:
    name, count = next(iter(Counter(names).most_common(1)), ("", 1))
    if count > 1:
        raise InvalidInputError(f"the column '{name[:100]}' is there {count:,} times: give each column once.")
    return names


def _by_column(columns: dict[str, Any]) -> list[dict[str, Any]]:
    values = {name: each if isinstance(each, list) else [each] for name, each in columns.items()}
    counts = {len(each) for each in values.values()}
    if len(counts) > 1:
        raise InvalidInputError("the columns of 'inputs' differ in length: each row needs a value in each.")
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _named(names: list[str], row: Any) -> dict[str, Any]:
    if isinstance(row, dict):
        return row
    if not isinstance(row, list):
        row = [row]
    if len(row) != len(names):
        raise InvalidInputError(
            f"a row has {len(row)} values where there are {len(names)} names: {', '.join(names)[:300]}."
        )
    return dict(zip(names, row, strict=True))


def _advice() -> str:
    return 'Send {"dataframe_split": {"columns": [...], "data": [[...]]}} or {"dataframe_records": [{...}]}.'
