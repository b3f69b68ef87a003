"""Places to keep objects in: a folder, this process's memory, an S3 server."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import obstore
import pytest

from headwater.objects import ObjectStore, open_store
from headwater.objects.folder import FolderBackend
from headwater.objects.remote import RemoteBackend

KINDS = ("folder", "memory", "s3")


@dataclass
class Place:
    """Where a test's objects are kept; opened as often as the test wants, with any cache folder."""

    kind: str
    url: str | Path
    cache: Path
    credentials: dict[str, str] | None = None
    opened: list[ObjectStore] = field(default_factory=list)

    def open(self, cache: str = "cache") -> ObjectStore:
        store = open_store(self.url, cache=self.cache / cache, credentials=self.credentials)
        self.opened.append(store)
        return store

    def close(self) -> None:
        for store in self.opened:
            store.close()

    def change(self, pack: str, change: Callable[[bytes], bytes]) -> None:
        """Replace a pack's bytes behind the store's back."""
        backend = self.opened[0].backend
        if isinstance(backend, FolderBackend):
            path = self.pack_path(pack)
            path.write_bytes(change(path.read_bytes()))
            return
        assert isinstance(backend, RemoteBackend)
        key = f"packs/{pack}.pack"
        data = bytes(obstore.get(backend.bucket, key).bytes())
        obstore.put(backend.bucket, key, change(data), mode="overwrite")

    def remove(self, pack: str) -> None:
        """Take a pack away behind the store's back."""
        backend = self.opened[0].backend
        if isinstance(backend, FolderBackend):
            self.pack_path(pack).unlink()
            backend.close()
            return
        assert isinstance(backend, RemoteBackend)
        obstore.delete(backend.bucket, f"packs/{pack}.pack")

    def pack_path(self, pack: str) -> Path:
        return Path(self.url) / "packs" / f"{pack}.pack"

    def packs(self) -> list[str]:
        return sorted(pack for pack, _, _ in self.opened[0].backend.packs())


def make_place(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    """Return an empty place of a kind."""
    if kind == "folder":
        return Place(kind, tmp_path / "objects", tmp_path)
    if kind == "memory":
        return Place(kind, f"memory://{uuid4().hex}", tmp_path)
    s3 = request.getfixturevalue("s3")
    credentials = {"endpoint": s3.endpoint, "access_key": s3.access_key, "secret_key": s3.secret_key}
    return Place(kind, f"s3://{s3.bucket}/{s3.prefix}", tmp_path, credentials | {"region": "us-east-1"})


def noise(size_bytes: int, seed: int = 0) -> bytes:
    """Return bytes that no compression shortens, the same for the same seed."""
    return random.Random(seed).randbytes(size_bytes)


def flipped(data: bytes, at: int) -> bytes:
    """Return the bytes with one of them changed."""
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
