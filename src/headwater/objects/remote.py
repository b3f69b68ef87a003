"""Packs in a bucket (or in this process's memory) through obstore: create-if-absent, ranged reads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from headwater.durable import crash_point, disk_error
from headwater.errors import InvalidInputError, StorageError

from .backend import Backend, PackMissing
from .spool import sweep

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Bucket

SUFFIX = ".pack"
_PREFIX = "packs/"
_PART_BYTES = 8 * 2**20
_PARTS_AT_ONCE = 3
_SILENCE_S = 10
_PATIENCE_S = 600
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")
Connect = Callable[[bool], "Bucket"]


class _Kind(NamedTuple):
    """How a kind of bucket is opened: obstore's class, and its name for each of our settings."""

    store: str
    default: str
    options: dict[str, str]


_KINDS = {
    "s3": _Kind(
        "S3Store",
        "aws",
        {
            "endpoint": "endpoint",
            "access_key": "access_key_id",
            "secret_key": "secret_access_key",
            "session_token": "session_token",
            "region": "region",
        },
    ),
    "gs": _Kind(
        "GCSStore",
        "google",
        {
            "endpoint": "base_url",
            "service_account": "service_account",
            "service_account_key": "service_account_key",
        },
    ),
    "az": _Kind(
        "AzureStore",
        "azure",
        {"endpoint": "endpoint", "account": "account_name", "key": "account_key", "sas": "sas_key"},
    ),
}


class RemoteBackend(Backend):
    """``packs/<id>.pack`` under a bucket's prefix; what is being written waits in the local cache folder."""

    remote = True

    def __init__(self, identity: str, connect: Connect, cache: Path) -> None:
        self.identity = identity
        self._connect = connect
        self._open: dict[bool, Bucket] = {}
        self._process = 0
        self._guard = threading.Lock()
        self._spool = cache / "outgoing"
        self._swept = False

    @property
    def bucket(self) -> Bucket:
        """The connection of this process, which gives up on a store that is silent for some seconds."""
        return self._connection(patient=False)

    def _connection(self, *, patient: bool) -> Bucket:
        with self._guard:
            if self._process != os.getpid():  # one that was made before a fork is not used after it
                self._open, self._process = {}, os.getpid()
            if patient not in self._open:
                self._open[patient] = self._connect(patient)
            return self._open[patient]

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
        """Upload the pack: in a bucket bytes and name come at once, but no fact names them before the batch ends.

        A large one goes in parts, several at a time, a few MiB of it in memory; one that is there already is not sent
        again, so that what was broken off goes on where it was.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError

        crash_point("objects.pack.upload")
        try:
            if size > _PART_BYTES:
                if self.size(pack) != size:
                    self._send(path, pack)
            else:
                obstore.put(self.bucket, _key(pack), path.read_bytes(), mode="create")
        except AlreadyExistsError:
            if self.size(pack) != size:  # somebody's upload that broke off on a store that is not atomic
                self._send(path, pack)
        except (BaseError, OSError) as error:
            raise self._failed("keep", pack, error) from error
        crash_point("objects.pack.uploaded")

    def _send(self, path: Path, pack: str) -> None:
        """Upload a pack in parts over what may be there: of a pack's name there is only one content."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            with open(path, "rb") as stream:
                obstore.put(
                    self._connection(patient=True), _key(pack), stream,
                    chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE,
                )  # fmt: skip
        except (BaseError, OSError) as error:
            raise self._failed("keep", pack, error) from error

    def publish(self, path: Path, pack: str, size: int) -> None:
        """Nothing is left to do: the upload named it."""

    def replace(self, file: int, path: Path, pack: str, size: int) -> None:
        crash_point("objects.pack.replace")
        self._send(path, pack)
        crash_point("objects.pack.replaced")

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

    def delete(self, pack: str) -> None:
        import obstore
        from obstore.exceptions import BaseError

        crash_point("objects.pack.delete")
        try:
            obstore.delete(self.bucket, _key(pack))
        except (BaseError, OSError) as error:
            if not _is_missing(error):
                raise self._failed("remove", pack, error) from error

    def close(self) -> None:
        with self._guard:
            self._open = {}

    def _failed(self, what: str, pack: str, error: Exception) -> StorageError:
        return StorageError(
            f"could not {what} {pack} in '{self.identity}': {_reason(error)}. Nothing acknowledged is lost; run it "
            "again then, what is there already is not sent again.",
            pack=pack,
        )


def _reason(error: Exception) -> str:
    """Return what a bucket's error means and what to look at."""
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    text = str(error).strip()
    line = text.splitlines()[0][:300] if text else type(error).__name__
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or "403 Forbidden" in line:
        return f"it refused ({line}). Check that the keys are right and may read and write there"
    if any(code in text for code in _NO_BUCKET):
        return f"there is no such bucket ({line}). Check its name, or make it"
    if "kind: Timeout" in text:  # obstore's exceptions have no attributes: its own account of the cause follows
        return f"it did not answer within {_SILENCE_S} s ({line}). Check that the store is up and its address is right"
    return f"{line}. Check that the store is up and that its address and keys are right"


def _key(pack: str) -> str:
    return f"{_PREFIX}{pack}{SUFFIX}"


def _is_missing(error: Exception) -> bool:
    from obstore.exceptions import NotFoundError

    return isinstance(error, NotFoundError | FileNotFoundError) and not any(code in str(error) for code in _NO_BUCKET)


_memories: dict[str, tuple[str, Any]] = {}


def open_memory(name: str, *, cache: Path) -> RemoteBackend:
    """Return the memory store of this name: one per process, gone with it."""
    from obstore.store import MemoryStore

    # The token keeps an index that outlived an earlier process from being believed.
    token, store = _memories.setdefault(name, (os.urandom(8).hex(), MemoryStore()))
    return RemoteBackend(f"memory://{name}#{token}", lambda patient: store, cache)


def open_bucket(scheme: str, place: str, *, credentials: dict[str, str], cache: Path) -> RemoteBackend:
    """Return the store of ``bucket/prefix`` of a kind: ``s3``, ``gs`` (Google) or ``az`` (an Azure container).

    The tests run against S3 alone. Azure was tried by hand on the emulator Azurite; Google is untested.

    ``credentials`` by kind; without them the usual environment variables and the machine's role are used. s3: endpoint,
    access_key, secret_key, session_token, region. gs: endpoint, service_account (a key file's path) or
    service_account_key (its text). az: endpoint, account, key or sas.

    Raises:
        InvalidInputError: the credentials hold a name that this kind does not know, or no bucket is named.
    """
    bucket, _, prefix = place.partition("/")
    kind = _KINDS[scheme]
    unknown = sorted(set(credentials) - set(kind.options))
    if unknown or not bucket:
        raise InvalidInputError(
            f"'{scheme}://{place}' cannot be opened: "
            + (f"its settings do not know '{unknown[0]}'" if unknown else "it names no bucket")
            + f". Write {scheme}://bucket/prefix; the settings are {', '.join(kind.options)}."
        )
    endpoint = credentials.get("endpoint", "")
    config = {kind.options[name]: value for name, value in credentials.items() if value}

    def connect(patient: bool) -> Bucket:
        import obstore.store

        make: Any = getattr(obstore.store, kind.store)
        store: Bucket = make(
            bucket,
            prefix=prefix.strip("/") or None,
            config=config,
            client_options=_client_options(patient, http=endpoint.startswith("http://")),
            retry_config={
                "max_retries": 8,
                "retry_timeout": timedelta(seconds=_PATIENCE_S if patient else _SILENCE_S),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=5),
                    "base": 2,
                },
            },
        )
        return store

    return RemoteBackend(f"{scheme}://{endpoint or kind.default}/{place.strip('/')}", connect, cache)


def _client_options(patient: bool, *, http: bool) -> Any:
    # A part over a slow line takes minutes; to anything else a store that is up says something within seconds.
    silence = {} if patient else {"read_timeout": f"{_SILENCE_S}s"}
    return {"allow_http": http, "connect_timeout": f"{_SILENCE_S}s", "timeout": f"{_PATIENCE_S}s", **silence}
