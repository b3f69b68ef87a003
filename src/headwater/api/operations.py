"""Every operation, and the HTTP route of each."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import time
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from headwater.durable import Pace
from headwater.errors import InvalidInputError
from headwater.operation import Operation, get_operation, list_operations
from headwater.project import Project
from headwater.serve.bodies import read_body

from .identity import project_of
from .wire import answer, decode_body

ROOMS = (
    "access",
    "check",
    "evaluate",
    "flow",
    "ingest",
    "jobs",
    "lake",
    "model",
    "monitor",
    "notify",
    "release",
    "serve",
    "trace",
    "track",
)

MOST_BYTES = 1 << 30
"""The largest body that holds the arguments of an operation; bytes of data go through the streaming routes."""


@functools.cache
def load_operations() -> list[Operation]:
    """Import every module of every room and return all operations by name: whatever is declared has a route."""
    for room in ROOMS:
        package = importlib.import_module(f"headwater.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(".__main__"):
                importlib.import_module(module.name)
    return list_operations()


@functools.cache
def argument_type(name: str) -> type[msgspec.Struct]:
    """Return the type that an operation's arguments are decoded into."""
    fields: list[Any] = []
    for key, (kind, required, default) in get_operation(name).signature().parameters.items():
        fields.append((key, kind) if required else (key, kind, default))
    return msgspec.defstruct(
        f"{name.title().replace('.', '').replace('_', '')}Arguments", fields, kw_only=True, forbid_unknown_fields=True
    )


def call_by_name(project: Project, name: str, body: bytes, content_type: str) -> Any:
    """Run the operation ``name`` with the arguments of a request body.

    Raises:
        InvalidInputError: an argument is missing, unknown or of the wrong type.
    """
    operation = get_operation(name)
    kind = argument_type(name)
    try:
        arguments = decode_body(body or b"", content_type, kind)
    except msgspec.DecodeError as error:
        raise InvalidInputError(
            f"the arguments of '{name}' do not fit: {error}. /api/v1/openapi.json describes them.", operation=name
        ) from error
    return project.call(operation, (), {key: getattr(arguments, key) for key in kind.__struct_fields__})


class RunOperation:
    """POST /api/v1/operations/{name}: run it and answer its result.

    A thread runs it. Only a brief one that comes alone, while the disk is quick, is run in the event loop itself,
    because handing it to a thread and back would take as long again.
    """

    def __init__(self) -> None:
        self._under_way = 0
        self._pace = Pace()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as an ASGI application."""
        self._under_way += 1
        try:
            request = Request(scope, receive)
            body = await read_body(scope, receive, MOST_BYTES)
            result = await self._result(project_of(request), scope["path_params"]["name"], body, request)
        finally:
            self._under_way -= 1
        await answer(request, result)(scope, receive, send)

    async def _result(self, project: Project, name: str, body: bytes, request: Request) -> Any:
        content_type = request.headers.get("content-type", "")
        alone = self._under_way == 1 and self._pace.quick() and project.ledger.dialect == "sqlite"
        if not (alone and get_operation(name).brief):
            return await run_in_threadpool(call_by_name, project, name, body, content_type)
        begun = time.perf_counter()
        try:
            return call_by_name(project, name, body, content_type)
        finally:
            self._pace.took(time.perf_counter() - begun)


run_operation = RunOperation()
