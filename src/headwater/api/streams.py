"""The three streaming routes: bytes by digest, scans as Parquet, event batches."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
from starlette.background import BackgroundTask
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from headwater.errors import InvalidInputError
from headwater.lake import scan
from headwater.lake.tables import write_parquet
from headwater.operation import Operation
from headwater.project import LocalProject, Project

from .identity import project_of
from .wire import answer

_LENGTH = struct.Struct("<Q")
_BLOCK = 1 << 20
_MOST_AT_ONCE = 1000
_ANSWER_BYTES = 16 << 20


def _stored(project: Project, value: Any) -> Any:
    return value


_PUT = Operation("objects.put", "data:write", _stored, audited=False)
_GET = Operation("objects.get", "data:read", _stored, audited=False)
_APPEND = Operation("events.append", "runs:write", _stored, audited=False)
_SCAN = Operation("data.scan", "data:read", _stored, audited=False)


async def put_object(request: Request) -> Response:
    """PUT /api/v1/objects: one object of any size, streamed; answers its digest and size."""
    project = project_of(request)
    project.call(_PUT, (None,), {})
    with tempfile.TemporaryFile(dir=_spool(project)) as spool:
        await _receive(request.stream(), spool)
        spool.seek(0)
        digest, size = await run_in_threadpool(project.objects.put_stream, spool)
    await run_in_threadpool(_record, project)
    return answer(request, {"digest": digest, "size": size})


async def put_batch(request: Request) -> Response:
    """POST /api/v1/objects: many small objects, each a length (8 bytes, little-endian) and its bytes."""
    project = project_of(request)
    project.call(_PUT, (None,), {})
    body = await request.body()
    digests = await run_in_threadpool(_put_all, project, body)
    return answer(request, digests)


async def missing(request: Request) -> Response:
    """POST /api/v1/objects/missing: of these digests, those that the store lacks."""
    project = project_of(request)
    project.call(_GET, (None,), {})
    digests = msgspec.msgpack.decode(await request.body(), type=list[str])
    return answer(request, await run_in_threadpool(project.objects.missing, digests))


async def get_object(request: Request) -> Response:
    """GET /api/v1/objects/{digest}?start=…&end=…: the bytes, or those of a range, verified as they are read."""
    project = project_of(request)
    project.call(_GET, (None,), {})
    start, end = _number(request, "start") or 0, _number(request, "end")
    reader = await run_in_threadpool(project.objects.open, request.path_params["digest"])
    reader.seek(start)
    return StreamingResponse(
        iterate_in_threadpool(_blocks(reader, None if end is None else max(end - start, 0))),
        media_type="application/octet-stream",
        background=BackgroundTask(reader.close),
    )


async def get_objects(request: Request) -> Response:
    """POST /api/v1/objects/many: of up to 1,000 digests as many objects as fit into 16 MiB, one at least.

    Each is its digest (32 bytes), its length (8 bytes, little-endian) and its bytes; who wants the rest asks again.
    """
    project = project_of(request)
    project.call(_GET, (None,), {})
    digests = msgspec.msgpack.decode(await request.body(), type=list[str])
    if len(digests) > _MOST_AT_ONCE:
        raise InvalidInputError(f"at most {_MOST_AT_ONCE:,} objects are asked for at once, not {len(digests):,}.")
    body = await run_in_threadpool(_framed, project, digests)
    return Response(body, media_type="application/octet-stream")


def _framed(project: Project, digests: list[str]) -> bytes:
    parts: list[bytes] = []
    size = 0
    for digest, data in project.objects.get_many(digests):
        parts += [bytes.fromhex(digest), _LENGTH.pack(len(data)), data]
        size += len(data)
        if size >= _ANSWER_BYTES:
            break
    return b"".join(parts)


async def object_size(request: Request) -> Response:
    """GET /api/v1/objects/{digest}/size: how many bytes it has."""
    project = project_of(request)
    project.call(_GET, (None,), {})
    return answer(request, await run_in_threadpool(project.objects.size, request.path_params["digest"]))


async def append_events(request: Request) -> Response:
    """POST /api/v1/events/{stream}: a batch of rows, durable when answered."""
    import asyncio

    project = project_of(request)
    project.call(_APPEND, (None,), {})
    body = await request.body()
    json = request.headers.get("content-type", "").startswith("application/json")
    rows = (msgspec.json if json else msgspec.msgpack).decode(body, type=list[dict[str, Any]])
    await asyncio.wrap_future(project.events.append_soon(request.path_params["stream"], rows))
    return answer(request, len(rows))


async def scan_rows(request: Request) -> Response:
    """GET /api/v1/scan?ref=…&columns=a,b&where=…: the rows of a version as one Parquet file."""
    project = project_of(request)
    project.call(_SCAN, (None,), {})
    query = request.query_params
    if "ref" not in query:
        raise InvalidInputError("a scan needs ?ref=DATASET@VERSION; 'columns' and 'where' are optional.")
    columns = query["columns"].split(",") if query.get("columns") else None
    table = await run_in_threadpool(scan, project, query["ref"], columns=columns, where=query.get("where"))
    file, size = await run_in_threadpool(_written, table, _spool(project))
    return StreamingResponse(
        iterate_in_threadpool(_blocks(file)),
        media_type="application/vnd.apache.parquet",
        headers={"content-length": str(size)},
        background=BackgroundTask(file.close),
    )


def _written(table: Any, folder: Path) -> tuple[IO[bytes], int]:
    """Return a Parquet file of a table, open for reading and without a name, and its size in bytes."""
    handle, name = tempfile.mkstemp(suffix=".parquet", dir=folder)
    os.close(handle)
    path = Path(name)
    # Its name goes at once: a file response hands the server a path, which opens it after our clean-up has run.
    try:
        write_parquet(table, path)
        return path.open("rb"), path.stat().st_size
    finally:
        path.unlink()


async def _receive(blocks: AsyncIterator[bytes], spool: IO[bytes]) -> None:
    async for block in blocks:
        spool.write(block)


def _put_all(project: Project, body: bytes) -> list[str]:
    digests: list[str] = []
    view = memoryview(body)
    with project.objects.batch() as batch:
        position = 0
        while position < len(view):
            (length,) = _LENGTH.unpack_from(view, position)
            position += _LENGTH.size
            if position + length > len(view):
                raise InvalidInputError("the batch ends in the middle of an object; send it again whole.")
            digests.append(batch.put(bytes(view[position : position + length])))
            position += length
    _record(project)
    return digests


def _record(project: Project) -> None:
    """Record the packs just made: the client was told that its bytes are kept."""
    with project.ledger.write():
        pass


def _number(request: Request, name: str) -> int | None:
    """Return a query parameter that counts bytes, None where it is not given."""
    text = request.query_params.get(name)
    if text is not None and not text.isdecimal():
        raise InvalidInputError(f"'{name}={text}' is no number of bytes: write 0 or more.", **{name: text})
    return None if text is None else int(text)


def _blocks(reader: IO[bytes], length: int | None = None) -> Iterator[bytes]:
    """Yield what a reader has from where it stands, at most ``length`` bytes."""
    left = length
    while block := reader.read(_BLOCK if left is None else min(_BLOCK, left)):
        left = None if left is None else left - len(block)
        yield block


def _spool(project: Project) -> Path:
    assert isinstance(project, LocalProject)
    folder = project.state / "spool"
    folder.mkdir(exist_ok=True)
    return folder


ROUTES = [
    Route("/api/v1/objects", put_object, methods=["PUT"]),
    Route("/api/v1/objects", put_batch, methods=["POST"]),
    Route("/api/v1/objects/missing", missing, methods=["POST"]),
    Route("/api/v1/objects/many", get_objects, methods=["POST"]),
    Route("/api/v1/objects/{digest}", get_object, methods=["GET"]),
    Route("/api/v1/objects/{digest}/size", object_size, methods=["GET"]),
    Route("/api/v1/events/{stream}", append_events, methods=["POST"]),
    Route("/api/v1/scan", scan_rows, methods=["GET"]),
]
