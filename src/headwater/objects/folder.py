"""Packs in a local folder, written with our own syncs: a pack that has its name is whole and on the disk."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from headwater.durable import crash_point, disk_error, link_new, make_directory, sync_directory, sync_file
from headwater.errors import StorageError

from .backend import Backend, PackMissing
from .spool import sweep

_OPEN_FILES = 64
SUFFIX = ".pack"


class FolderBackend(Backend):
    """``packs/<id>.pack`` under a folder; what is being written waits in ``incoming/``, locked by its writer."""

    remote = False

    def __init__(self, folder: Path) -> None:
        self.identity = f"folder:{folder}"
        self.folder = folder
        self._packs = folder / "packs"
        self._incoming = folder / "incoming"
        self._files: OrderedDict[str, int] = OrderedDict()
        self._guard = threading.Lock()
        self._ready = False

    def spool(self) -> Path:
        if not self._ready:
            try:
                make_directory(self._packs, "objects.folder")
                make_directory(self._incoming, "objects.folder")
            except OSError as error:
                raise disk_error(error, self._packs) from error
            sweep(self._incoming)
            self._ready = True
        return self._incoming

    def stage(self, file: int, path: Path, pack: str, size: int) -> None:
        try:
            sync_file(file, "objects.pack")
        except OSError as error:
            raise disk_error(error, path) from error

    def publish(self, path: Path, pack: str, size: int) -> None:
        target = self._path(pack)
        try:
            if not link_new(path, target, "objects.pack") and target.stat().st_size != size:
                # The name is taken by a file cut short: these bytes are verified, those are not what they say.
                crash_point("objects.pack.heal")
                os.replace(path, target)
                sync_directory(target.parent, "objects.pack")
                self._forget(pack)
        except OSError as error:
            raise disk_error(error, target) from error

    def replace(self, file: int, path: Path, pack: str, size: int) -> None:
        target = self._path(pack)
        self.stage(file, path, pack, size)
        crash_point("objects.pack.replace")
        try:
            os.replace(path, target)
            crash_point("objects.pack.replaced")
            sync_directory(target.parent, "objects.pack.replace")
        except OSError as error:
            raise disk_error(error, target) from error
        self._forget(pack)

    def read(self, pack: str, start: int, length: int) -> bytes:
        descriptor = self._open(pack)
        try:
            data = os.pread(descriptor, length, start)
            while len(data) < length and (more := os.pread(descriptor, length - len(data), start + len(data))):
                data += more
        except OSError as error:
            raise _unreadable(error, self._path(pack)) from error
        finally:
            os.close(descriptor)
        return data

    def _open(self, pack: str) -> int:
        """Return a descriptor of the caller's own, made from one that is kept open."""
        with self._guard:
            kept = self._files.get(pack)
            if kept is not None:
                self._files.move_to_end(pack)
                return os.dup(kept)
        try:
            descriptor = os.open(self._path(pack), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise PackMissing(pack) from error
        except OSError as error:
            raise _unreadable(error, self._path(pack)) from error
        with self._guard:
            if pack not in self._files:
                self._files[pack] = os.dup(descriptor)
                while len(self._files) > _OPEN_FILES:
                    os.close(self._files.popitem(last=False)[1])
        return descriptor

    def _forget(self, pack: str) -> None:
        with self._guard:
            kept = self._files.pop(pack, None)
            if kept is not None:
                os.close(kept)

    def size(self, pack: str) -> int | None:
        try:
            return self._path(pack).stat().st_size
        except FileNotFoundError:
            self._forget(pack)
            return None
        except OSError as error:
            raise _unreadable(error, self._path(pack)) from error

    def packs(self) -> Iterator[tuple[str, int, int]]:
        if not self._packs.exists():
            return
        for entry in os.scandir(self._packs):
            if entry.name.endswith(SUFFIX) and not entry.name.startswith("."):
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat()
                    yield entry.name.removesuffix(SUFFIX), status.st_size, status.st_mtime_ns // 1000

    def delete(self, pack: str) -> None:
        self._forget(pack)
        crash_point("objects.pack.delete")
        try:
            self._path(pack).unlink(missing_ok=True)
            if self._packs.exists():
                sync_directory(self._packs, "objects.pack.delete")
        except OSError as error:
            raise disk_error(error, self._path(pack)) from error

    def close(self) -> None:
        with self._guard:
            for descriptor in self._files.values():
                os.close(descriptor)
            self._files.clear()

    def _path(self, pack: str) -> Path:
        return self._packs / f"{pack}{SUFFIX}"


def _unreadable(error: OSError, path: Path) -> StorageError:
    advice = "check the disk" if error.errno == errno.EIO else "check the owner and the permissions of the folder"
    return StorageError(f"could not read '{path}': {error.strerror}; {advice}, then run it again.", path=str(path))
