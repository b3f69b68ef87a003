"""The seam between packs and the place that keeps them: a folder, a bucket, memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headwater.errors import InvalidInputError


class PackMissing(Exception):
    """The place has no pack of this id; the store decides what that means."""


class Backend(ABC):
    """Keeps packs: immutable, named by their id, created only where absent."""

    identity: str
    """Tells this place from any other; local indexes are bound to it."""

    remote: bool
    """Whether a read crosses a network, so that several at once pay."""

    @abstractmethod
    def spool(self) -> Path:
        """Return the folder in which packs are to be written before they are kept."""

    @abstractmethod
    def stage(self, file: int, path: Path, pack: str, size: int) -> None:
        """Make a written pack durable; nobody finds it by its name before ``publish``. ``file`` is open on ``path``.

        Raises:
            StorageError: it could not be made durable.
        """

    @abstractmethod
    def publish(self, path: Path, pack: str, size: int) -> None:
        """Give a staged pack its name; one that is there already is the same bytes."""

    @abstractmethod
    def replace(self, file: int, path: Path, pack: str, size: int) -> None:
        """Put a written pack, durably, where a damaged one of its name may be; at no moment is there neither.

        Raises:
            StorageError: it could not be made durable; what was there is as it was.
        """

    @abstractmethod
    def read(self, pack: str, start: int, length: int) -> bytes:
        """Return bytes of a pack, fewer where it ends before.

        Raises:
            PackMissing: there is no such pack.
            StorageError: the place did not answer.
        """

    @abstractmethod
    def size(self, pack: str) -> int | None:
        """Return a pack's length in bytes, None when there is none."""

    @abstractmethod
    def packs(self) -> Iterator[tuple[str, int, int]]:
        """Yield id, size and the time it was kept (UTC microseconds) of every pack, in any order."""

    @abstractmethod
    def delete(self, pack: str) -> None:
        """Remove a pack, durably; one that is not there is removed already.

        Raises:
            StorageError: the place did not do it.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of what is open; the next use opens it again."""


def open_backend(url: str | Path, *, cache: Path, credentials: dict[str, str] | None) -> Backend:
    """Return the place that a URL names: a folder, ``s3://``, ``gs://`` or ``az://bucket/prefix``, ``memory://name``.

    Raises:
        InvalidInputError: the URL is of another kind.
    """
    text = str(url)
    if "://" not in text:
        from .folder import FolderBackend

        return FolderBackend(Path(text).absolute())
    scheme, _, rest = text.partition("://")
    if scheme == "file":
        from .folder import FolderBackend

        return FolderBackend(Path("/" + rest.lstrip("/")))
    options: dict[str, Any] = {"cache": cache}
    if scheme == "memory":
        from .remote import open_memory

        return open_memory(rest, **options)
    if scheme in ("s3", "gs", "az"):
        from .remote import open_bucket

        return open_bucket(scheme, rest, credentials=credentials or {}, **options)
    raise InvalidInputError(
        f"'{text}' names no object store: use a folder's path, s3://, gs:// or az:// with bucket/prefix, or "
        "memory://name.",
        url=text,
    )
