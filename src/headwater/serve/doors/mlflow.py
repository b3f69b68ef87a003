"""MLflow's scoring protocol: ``/invocations``, ``/ping`` and ``/version``, for clients and tests written for it.

Source: MLflow's documentation, "Deploy MLflow Model as a Local Inference Server".
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import InvalidInputError

from ..replies import Reply
from ..traffic import key_of
from .csv_rows import distinct, rows_of_csv

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
        deployed = await run_in_threadpool(self._engine.deployment, model, "", key_of(scope["headers"]))
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


def _split(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, dict) or not isinstance(value.get("data"), list) or "columns" not in value:
        raise InvalidInputError(f"'dataframe_split' needs 'columns' and 'data'. {_advice()}")
    names = value["columns"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidInputError(f"'columns' of 'dataframe_split' is no list of names. {_advice()}")
    distinct(names)
    return [_named(names, each) for each in value["data"]]


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
