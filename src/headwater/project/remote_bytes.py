"""The streaming routes seen from the client: objects by digest, and event batches."""

from __future__ import annotations

import io
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self

import msgspec

from headwater import canonical
from headwater.errors import CorruptError

if TYPE_CHECKING:
    from .remote import Transport

BATCH_BYTES = 16 * 2**20
WHOLE_BYTES = 4 * 2**20
MANY = 1000
"""As many objects are asked for in one request."""
_LENGTH = struct.Struct("<Q")


class RemoteObjects:
    """Objects of a project on a server: only what is missing travels, and every answer is verified."""

    def __init__(self, transport: Transport, project_id: str) -> None:
        self._transport = transport
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        self._cache = Path(home) / "headwater" / project_id

    def put(self, data: bytes) -> str:
        with self.batch() as batch:
            return batch.put(data)

    def batch(self) -> RemoteBatch:
        return RemoteBatch(self)

    def put_file(self, path: Path) -> tuple[str, int]:
        with open(path, "rb") as stream:
            return self.put_stream(stream)

    def put_stream(self, stream: BinaryIO) -> tuple[str, int]:
        answer = self._transport.send("PUT", "/api/v1/objects", iter(lambda: stream.read(1 << 20), b""))
        stored = msgspec.msgpack.decode(answer)
        return stored["digest"], stored["size"]

    def missing(self, digests: Sequence[str]) -> list[str]:
        answer = self._transport.send("POST", "/api/v1/objects/missing", msgspec.msgpack.encode(list(digests)))
        return msgspec.msgpack.decode(answer, type=list[str])

    def has(self, digest: str) -> bool:
        return not self.missing([digest])

    def size(self, digest: str) -> int:
        return int(msgspec.msgpack.decode(self._transport.send("GET", f"/api/v1/objects/{digest}/size")))

    def get(self, digest: str, start: int = 0, end: int | None = None) -> bytes:
        if start == 0 and end is None:
            data = self._transport.send("GET", f"/api/v1/objects/{digest}")
            _verify(digest, canonical.digest(data))
            return data
        kept = self._cache / digest[:2] / digest
        if kept.exists():
            with open(kept, "rb") as file:
                file.seek(start)
                return file.read(-1 if end is None else end - start)
        # The server verifies each chunk that it reads; a part has no digest that could be checked again here.
        last = "" if end is None else f"&end={end}"
        return self._transport.send("GET", f"/api/v1/objects/{digest}?start={start}{last}")

    def get_many(self, digests: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        waiting = dict.fromkeys(digests)
        while waiting:
            asked = msgspec.msgpack.encode(list(waiting)[:MANY])
            answer = memoryview(self._transport.send("POST", "/api/v1/objects/many", asked))
            at, before = 0, len(waiting)
            while at < len(answer):
                digest, (length,) = answer[at : at + 32].hex(), _LENGTH.unpack_from(answer, at + 32)
                at += 32 + _LENGTH.size + length
                data = bytes(answer[at - length : at])
                _verify(digest, canonical.digest(data))
                waiting.pop(digest, None)
                yield digest, data
            if len(waiting) == before:
                raise CorruptError("the server sent none of the objects that it was asked for. Run 'hw verify' there.")

    def open(self, digest: str) -> BinaryIO:
        return open(self.cached_path(digest), "rb")  # the caller closes what it asked to be opened

    def cached_path(self, digest: str) -> Path:
        """Return a read-only local file of these bytes, fetched and verified once."""
        from blake3 import blake3

        target = self._cache / digest[:2] / digest
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        hasher = blake3()
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            response = self._transport.open("GET", f"/api/v1/objects/{digest}")
            while block := response.read(1 << 20):
                hasher.update(block)
                file.write(block)
        try:
            _verify(digest, hasher.hexdigest())
            os.chmod(file.name, 0o444)
            os.replace(file.name, target)
        except BaseException:
            os.unlink(file.name)
            raise
        return target

    def cache_many(self, sizes: Mapping[str, int]) -> dict[str, str]:
        """Return the paths of local files of many objects (digest to size in bytes), fetching those that lack."""
        with ThreadPoolExecutor(8, thread_name_prefix="headwater-fetch") as pool:
            return dict(zip(sizes, map(str, pool.map(self.cached_path, sizes)), strict=True))

    def materialise(self, digest: str, target: Path, *, mode: Literal["copy", "link"] = "link") -> None:
        source = self.cached_path(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        # Under a name of its own and then moved: what was there may itself be a link into the cache.
        fresh = target.parent / f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}"
        try:
            _place(source, fresh, link=mode == "link")
            os.replace(fresh, target)
        finally:
            fresh.unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is held open."""


class RemoteBatch:
    """Gathers small objects and sends those that the server lacks, a few MiB at a time."""

    def __init__(self, store: RemoteObjects) -> None:
        self._store = store
        self._waiting: dict[str, bytes] = {}
        self._bytes = 0

    def put(self, data: bytes) -> str:
        digest = canonical.digest(data)
        if digest not in self._waiting:
            self._waiting[digest] = data
            self._bytes += len(data)
        if self._bytes >= BATCH_BYTES:
            self.flush()
        return digest

    def put_file(self, path: Path) -> tuple[str, int]:
        if path.stat().st_size > WHOLE_BYTES:
            return self._store.put_file(path)
        data = path.read_bytes()
        return self.put(data), len(data)

    def flush(self) -> None:
        """Send what waits; the server answers when it is durable."""
        if not self._waiting:
            return
        body = io.BytesIO()
        for digest in self._store.missing(list(self._waiting)):
            data = self._waiting[digest]
            body.write(_LENGTH.pack(len(data)))
            body.write(data)
        if body.tell():
            self._store._transport.send("POST", "/api/v1/objects", body.getvalue())
        self._waiting.clear()
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()


class RemoteEvents:
    """Event batches of a project on a server."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def append(self, stream: str, rows: Sequence[dict[str, Any]]) -> None:
        self._transport.send("POST", f"/api/v1/events/{stream}", msgspec.msgpack.encode(list(rows)))

    def append_soon(self, stream: str, rows: Sequence[dict[str, Any]]) -> Future[None]:
        done: Future[None] = Future()
        try:
            self.append(stream, rows)
            done.set_result(None)
        except Exception as error:  # noqa: BLE001  # carried to whoever waits on the future
            done.set_exception(error)
        return done

    def flush(self) -> None:
        """Every append was durable when it returned."""

    def close(self) -> None:
        """Nothing is held open."""


def _place(source: Path, target: Path, *, link: bool) -> None:
    """Give a file a second name, or a copy where it may be written to or lies on another file system."""
    if link:
        try:
            os.link(source, target)
            return
        except OSError:
            pass
    shutil.copyfile(source, target)


def _verify(expected: str, found: str) -> None:
    if expected != found:
        raise CorruptError(
            f"the server sent other bytes for object {expected[:12]}…: their digest is {found[:12]}…. "
            "Run 'hw verify' on the server.",
            digest=expected,
        )
