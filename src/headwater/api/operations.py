"""Every operation, and the HTTP route of each."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from headwater.errors import InvalidInputError
from headwater.operation import Operation, get_operation, list_operations
from headwater.project import Project

from .identity import project_of
from .wire import answer, decode_body

ROOMS = (
    "access",
    "check",
    "evaluate",
    "flow",
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


@functools.cache
def load_operations() -> list[Operation]:
    """Import every room and return all operations by name."""
    for room in ROOMS:
        importlib.import_module(f"headwater.{room}")
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


async def run_operation(request: Request) -> Response:
    """POST /api/v1/operations/{name}: run it and answer its result."""
    body = await request.body()
    name = request.path_params["name"]
    project = project_of(request)
    result = await run_in_threadpool(call_by_name, project, name, body, request.headers.get("content-type", ""))
    return answer(request, result)
