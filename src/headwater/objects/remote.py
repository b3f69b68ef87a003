"""Packs in a bucket (or in this process's memory) through obstore: create-if-absent, ranged reads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headwater.durable import disk_error
from headwater.errors import StorageError

from .backend import Backend, PackMissing
from .spool import sweep

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Bucket
    from obstore.store import S3Config

SUFFIX = ".pack"
_PREFIX = "packs/"
_OPTIONS = {
    "endpoint": "endpoint",
    "access_key": "access_key_id",
    "secret_key": "secret_access_key",
    "session_token": "session_token",
    "region": "region",
}


class RemoteBackend(Backend):
    """``packs/<id>.pack`` under a bucket's prefix; what is being written waits in the local cache folder."""

    remote = True

    def __init__(self, identity: str, connect: Callable[[], Bucket], cache: Path) -> None:
        self.identity = identity
        self._connect = connect
        self._bucket: Bucket | None = None
        self._process = 0
        self._guard = threading.Lock()
        self._spool = cache / "outgoing"
        self._swept = False

    @property
    def bucket(self) -> Bucket:
        """The connection of this process; one that was made before a fork is not used after it."""
        with self._guard:
            if self._bucket is None or self._process != os.getpid():
                self._bucket = self._connect()
                self._process = os.getpid()
            return self._bucket

    def spool(self) -> Path:
        if not self._swept:
            try:
                self._spool.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise disk_error(error, self._spool) from error
            sweep(self._spool)
            self._swept = True
        return self._spool

    def stage(self, file: int, path: Path, pack: str, size: int) -> None:
        """Upload the pack: in a bucket bytes and name come at once, but no fact names them before the batch ends."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError

        try:
            with open(path, "rb") as stream:
                obstore.put(self.bucket, _key(pack), stream, mode="create", use_multipart=False)
        except AlreadyExistsError:
            if self.size(pack) != size:  # somebody's upload that broke off on a store that is not atomic
                self._replace(path, pack)
        except (BaseError, OSError) as error:
            raise self._failed("keep", pack, error) from error

    def _replace(self, path: Path, pack: str) -> None:
        import obstore
        from obstore.exceptions import BaseError

        try:
            with open(path, "rb") as stream:
                obstore.put(self.bucket, _key(pack), stream, mode="overwrite")
        except (BaseError, OSError) as error:
            raise self._failed("keep", pack, error) from error

    def publish(self, path: Path, pack: str, size: int) -> None:
        """Nothing is left to do: the upload named it."""

    def read(self, pack: str, start: int, length: int) -> bytes:
        import obstore
        from obstore.exceptions import BaseError

        if not length:
            return b""
        try:
            data = obstore.get_range(self.bucket, _key(pack), start=start, length=length)
        except (BaseError, OSError) as error:
            if _is_missing(error):
                raise PackMissing(pack) from error
            size = self.size(pack) or 0
            if start + length > size:  # a range past the end is an error there; here a pack cut short is read short
                return self.read(pack, start, max(size - start, 0))
            raise self._failed("read", pack, error) from error
        return bytes(data)

    def size(self, pack: str) -> int | None:
        import obstore
        from obstore.exceptions import BaseError

        try:
            return int(obstore.head(self.bucket, _key(pack))["size"])
        except (BaseError, OSError) as error:
            if _is_missing(error):
                return None
            raise self._failed("look up", pack, error) from error

    def packs(self) -> Iterator[tuple[str, int, int]]:
        import obstore
        from obstore.exceptions import BaseError

        try:
            for page in obstore.list(self.bucket, prefix=_PREFIX):
                for each in page:
                    name = each["path"].rpartition("/")[2]
                    if name.endswith(SUFFIX):
                        kept_at = int(each["last_modified"].timestamp() * 1_000_000)
                        yield name.removesuffix(SUFFIX), each["size"], kept_at
        except (BaseError, OSError) as error:
            raise self._failed("list", "packs", error) from error

    def close(self) -> None:
        with self._guard:
            self._bucket = None

    def _failed(self, what: str, pack: str, error: Exception) -> StorageError:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return StorageError(
            f"could not {what} {pack} in '{self.identity}': {reason}. Nothing acknowledged is lost; check that the "
            "store is up and that its address and keys are right, then run it again.",
            pack=pack,
        )


def _key(pack: str) -> str:
    return f"{_PREFIX}{pack}{SUFFIX}"


def _is_missing(error: Exception) -> bool:
    from obstore.exceptions import NotFoundError

    return isinstance(error, NotFoundError | FileNotFoundError)


_memories: dict[str, tuple[str, Any]] = {}


def open_memory(name: str, *, cache: Path) -> RemoteBackend:
    """Return the memory store of this name: one per process, gone with it."""
    from obstore.store import MemoryStore

    # The token keeps an index that outlived an earlier process from being believed.
    token, store = _memories.setdefault(name, (os.urandom(8).hex(), MemoryStore()))
    return RemoteBackend(f"memory://{name}#{token}", lambda: store, cache)


def open_s3(place: str, *, credentials: dict[str, str], cache: Path) -> RemoteBackend:
    """Return the store of ``bucket/prefix``.

    ``credentials`` may hold endpoint, access_key, secret_key, session_token, region; without keys the usual AWS_*
    variables and the machine's role are used.
    """
    bucket, _, prefix = place.partition("/")
    endpoint = credentials.get("endpoint")

    def connect() -> Bucket:
        from obstore.store import S3Store

        given = {_OPTIONS[name]: value for name, value in credentials.items() if value and name in _OPTIONS}
        return S3Store(
            bucket,
            prefix=prefix.strip("/") or None,
            config=cast("S3Config", given),
            # A pack of 64 MiB over a slow line takes longer than the default of 30 s.
            client_options={
                "allow_http": bool(endpoint and endpoint.startswith("http://")),
                "connect_timeout": "10s",
                "timeout": "600s",
            },
            retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=60)},
        )

    return RemoteBackend(f"s3://{endpoint or 'aws'}/{place.strip('/')}", connect, cache)
