"""The source of kind ``bucket``: what lies under a prefix of an S3, GCS or Azure bucket, fetched where it changed."""

from __future__ import annotations

import base64
import fnmatch
import re
import uuid
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, cast

import msgspec

from ..errors import HeadwaterError, InvalidInputError, NotFoundError, UnavailableError
from ..lake import Entry
from .intake import Intake
from .secrets import PREFIX, resolve_secret, scrubbed
from .source import Pulled, Source, read_settings
from .values import Planned

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Bucket

SCHEMES = ("s3", "gs", "az")
_SECRET_OPTIONS = ("secret", "key", "token", "password", "sas")
_PUBLIC_OPTIONS = ("skip_signature", "virtual_hosted_style_request")
_HELD_IN_MEMORY_BYTES = 2**20
_BLOCK_BYTES = 8 * 2**20
_RETRY_S = 60.0
_NO_ENTRY = re.compile("40[13] (Forbidden|Unauthorized)|SignatureDoesNotMatch|InvalidAccessKeyId|AccessDenied")
_ANSWER = re.compile("<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", re.DOTALL)  # as S3 and Azure answer
_NO_BUCKET = re.compile("NoSuchBucket|ContainerNotFound|bucket does not exist", re.IGNORECASE)


class BucketSettings(msgspec.Struct, kw_only=True):
    """What ``kind = "bucket"`` takes.

    ``url``: ``s3://bucket/prefix``, ``gs://bucket/prefix`` or ``az://account/container/prefix``. ``match``: patterns of
    which a key below the prefix must meet one (``*`` also meets ``/``). ``mirror`` removes files whose objects are
    gone. ``options`` are obstore's own for the store (``endpoint``, ``region``, ``access_key_id``, ...), secrets as
    ``env:NAME``; without any, the usual variables and the machine's role count. So many objects as ``parallel`` says
    are fetched at once.
    """

    url: str
    match: str | list[str] = "*"
    mirror: bool = False
    options: dict[str, str] = msgspec.field(default_factory=dict)
    parallel: int = 8


class Object(NamedTuple):
    """An object as its store lists it. ``version`` is the store's own, where it keeps versions."""

    key: str
    size: int
    etag: str | None
    version: str | None
    last_modified: str

    @property
    def mark(self) -> list[Any]:
        """What tells whether it is another than before."""
        return [self.size, self.etag, self.version, self.last_modified]

    @classmethod
    def of(cls, meta: Any) -> Self:
        """Return it from obstore's description."""
        at = meta["last_modified"].isoformat()
        return cls(meta["path"], meta["size"], meta.get("e_tag"), meta.get("version"), at)


class BucketSource(Source):
    """A prefix of a bucket; nothing is written there."""

    kind: ClassVar[str] = "bucket"

    def __init__(self, settings: BucketSettings) -> None:
        self._settings = settings
        self._patterns = [settings.match] if isinstance(settings.match, str) else list(settings.match)

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *, root: Path) -> Self:
        given = read_settings(cls.kind, settings, BucketSettings)
        _require_usable(given)
        return cls(given)

    @property
    def text(self) -> str:
        return self._settings.url

    def pull(self, since: dict[str, Any] | None, into: Intake) -> Pulled:
        bucket, known, seen = self._open(), _known(since), {}
        wanted: list[Object] = []
        for each in self._listed(bucket):
            if known.get(each.key) == each.mark and each.key in into.current:
                into.keep(each.key)
                seen[each.key] = each.mark
            else:
                wanted.append(each)
        into.expect(len(wanted))
        gone = 0
        for key, fetched in self._fetched(bucket, wanted, into.folder):
            if fetched is None:
                gone += 1  # it went away after it was listed, as if it had gone before
                continue
            found, data = fetched
            into.put_file(key, data, proof=self._proof(found, into.now()))
            seen[key] = found.mark
            if isinstance(data, Path):
                data.unlink()
        note = f"{len(wanted) - gone:,} of {len(seen):,} objects fetched"
        return Pulled(state={"listing": _packed(seen)}, mirror=self._settings.mirror, note=note)

    def _proof(self, found: Object, now: int) -> dict[str, Any]:
        return {
            "url": f"{self._settings.url.rstrip('/')}/{found.key}",
            "etag": found.etag,
            "version_id": found.version,
            "last_modified": found.last_modified,
            "fetched_at": now,
        }

    def plan(self, since: dict[str, Any] | None, current: Mapping[str, Entry]) -> list[Planned]:
        known, planned, listed = _known(since), [], set()
        for each in self._listed(self._open()):
            listed.add(each.key)
            if known.get(each.key) != each.mark or each.key not in current:
                why = "it changed" if each.key in known else "it is new"
                planned.append(Planned(act="fetch", what=each.key, why=f"{why}: {each.size:,} bytes"))
        if self._settings.mirror:
            gone = sorted(current.keys() - listed)
            planned += [Planned(act="remove", what=key, why="its object is gone") for key in gone]
        return planned

    def test(self) -> str:
        first = next(self._listed(self._open()), None)
        return f"it answers; the first object is '{first.key}'" if first else "it answers, and has no object to pull"

    def _open(self) -> Bucket:
        from obstore.store import from_url

        options: dict[str, Any] = {name: resolve_secret(value) for name, value in self._settings.options.items()}
        with self._told():
            # One of three kinds of options, which the library checks.
            opened: Bucket = cast("Any", from_url)(
                self._settings.url,
                config=options,
                client_options={
                    "allow_http": options.get("endpoint", "").startswith("http://"),
                    "connect_timeout": "10s",
                    "timeout": "600s",
                },
                retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=_RETRY_S)},
            )
            return opened

    def _listed(self, bucket: Bucket) -> Iterator[Object]:
        """Yield the objects that are wanted; a key that ends in ``/`` and is empty marks a folder, and is none."""
        import obstore

        with self._told():
            for page in obstore.list(bucket):
                for meta in page:
                    found = Object.of(meta)
                    if any(fnmatch.fnmatchcase(found.key, pattern) for pattern in self._patterns):
                        yield found

    def _fetched(
        self, bucket: Bucket, wanted: list[Object], folder: Path
    ) -> Iterator[tuple[str, tuple[Object, bytes | Path] | None]]:
        """Yield each object's bytes in the order asked for, some fetched ahead; None for one that went away."""
        ahead: deque[tuple[str, Future[tuple[Object, bytes | Path] | None]]] = deque()
        with ThreadPoolExecutor(self._settings.parallel, thread_name_prefix="headwater-bucket") as pool:
            try:
                for each in wanted:
                    ahead.append((each.key, pool.submit(self._fetch, bucket, each.key, folder)))
                    if len(ahead) > self._settings.parallel:
                        key, fetched = ahead.popleft()
                        yield key, fetched.result()
                while ahead:
                    key, fetched = ahead.popleft()
                    yield key, fetched.result()
            finally:
                for _, fetched in ahead:
                    fetched.cancel()

    def _fetch(self, bucket: Bucket, key: str, folder: Path) -> tuple[Object, bytes | Path] | None:
        """Return an object as it is now, described by the answer that its bytes came with."""
        import obstore

        with self._told():
            try:
                answer = obstore.get(bucket, key)
            except (obstore.exceptions.NotFoundError, FileNotFoundError):
                return None
            found = Object.of(answer.meta)
            if found.size <= _HELD_IN_MEMORY_BYTES:
                held = bytes(answer.bytes())
                data: bytes | Path = held
                size = len(held)
            else:
                data, size = folder / f"object-{uuid.uuid4().hex}", 0
                with data.open("wb") as file:
                    for block in answer.stream(min_chunk_size=_BLOCK_BYTES):
                        size += file.write(block)
        if size != found.size:
            raise UnavailableError(
                f"'{key}' of {self.text} broke off after {size:,} of {found.size:,} bytes. Nothing was taken in; pull "
                "again.",
                key=key,
            )
        return found, data

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Raise what obstore raised as an error of ours, without a secret."""
        from obstore.exceptions import BaseError

        try:
            yield
        except HeadwaterError:
            raise
        except (BaseError, OSError, ValueError) as error:
            raise self._refusal(error) from None

    def _refusal(self, error: Exception) -> HeadwaterError:
        said, text = _said(error), str(error)
        if isinstance(error, _exceptions("PermissionDeniedError", "UnauthenticatedError")) or _NO_ENTRY.search(text):
            return InvalidInputError(
                f"{self.text} does not let these keys list and read it: {said}. Check the keys in the environment "
                "variables that 'options' names (or AWS_*, and the like), and what they may read.",
                url=self.text,
            )
        if isinstance(error, (*_exceptions("NotFoundError"), FileNotFoundError)) or _NO_BUCKET.search(text):
            return NotFoundError(
                f"{self.text} is not there: {said}. Check the bucket's name, and 'endpoint' in 'options'.",
                url=self.text,
            )
        return UnavailableError(
            f"{self.text} cannot be read: {said}. Check that the store is up and that 'url' and 'options' are right, "
            "then pull again. Nothing was taken in.",
            url=self.text,
        )


def _exceptions(*names: str) -> tuple[type[Exception], ...]:
    from obstore import exceptions

    return tuple(getattr(exceptions, name) for name in names)


def _said(error: Exception) -> str:
    text = str(scrubbed(str(error))).strip()
    lines = text.splitlines()
    answer = _ANSWER.search(text)
    return (f"{answer[1]}: {answer[2]}" if answer else lines[0] if lines else type(error).__name__)[:500].rstrip(".")


def _known(since: dict[str, Any] | None) -> dict[str, list[Any]]:
    """Return the objects that the last pull found, by key."""
    if not since:
        return {}
    found: dict[str, list[Any]] = msgspec.json.decode(zlib.decompress(base64.b64decode(since["listing"])))
    return found


def _packed(seen: dict[str, list[Any]]) -> str:
    # A million keys of usual names are some ten MiB so, and ten times that as they are.
    return base64.b64encode(zlib.compress(msgspec.json.encode(seen), 6)).decode()


def _require_usable(given: BucketSettings) -> None:
    scheme, found, rest = given.url.partition("://")
    if not found or scheme not in SCHEMES or not rest.strip("/"):
        raise InvalidInputError(
            f"'{given.url}' names no bucket: write s3://bucket/prefix, gs://bucket/prefix or "
            "az://account/container/prefix.",
            url=given.url,
        )
    if not 1 <= given.parallel <= 64:
        raise InvalidInputError("'parallel' is from 1 to 64.")
    for name, value in given.options.items():
        secret = any(part in name.lower() for part in _SECRET_OPTIONS) and name.lower() not in _PUBLIC_OPTIONS
        if secret and not value.startswith(PREFIX):
            raise InvalidInputError(
                f"the option '{name}' is a secret, which would be kept with the project: put it into an environment "
                f'variable and write {name} = "env:NAME".'
            )
