"""What is kept of each working folder: the version it holds, and the one that a checkout was bringing when it ended."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from headwater.durable import disk_error, sync_directory, sync_file
from headwater.errors import ConflictError

_SUFFIX = ".folder.json"


@dataclass(frozen=True, slots=True)
class Record:
    """The folder (its real path), the version it was checked out from or last added from, and how.

    ``prefix`` is what stands before the folder's paths in the dataset. ``to``, ``to_ref`` and ``to_prefix`` name the
    version of a checkout that was begun and has not ended. ``unpublished`` names the branch that the version was added
    for and, when last looked at, was not on.
    """

    folder: str
    dataset: str
    version: str
    ref: str
    prefix: str = ""
    mode: str = "link"
    to: str = ""
    to_ref: str = ""
    to_prefix: str = ""
    unpublished: str = ""


def key_of(folder: str) -> str:
    """Return the name under which a folder (a real path) is known."""
    from blake3 import blake3

    return blake3(os.fsencode(folder)).hexdigest()[:32]


def index_path(state: Path, folder: str) -> Path:
    """Return where the index of a folder is."""
    return state / "cache" / "working" / f"{key_of(folder)}.index"


def find_record(state: Path, folder: str) -> Record | None:
    """Return what is kept of a folder, None where it is not known."""
    return _read(state / "working" / f"{key_of(folder)}{_SUFFIX}")


def _read(path: Path) -> Record | None:
    try:
        return Record(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def write_record(state: Path, record: Record, *, durable: bool = True) -> None:
    """Replace what is kept of a folder, all at once; ``durable``: before anything that comes after.

    Raises:
        StorageError: the project's folder cannot be written.
    """
    place = state / "working"
    path = place / f"{key_of(record.folder)}{_SUFFIX}"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        place.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb", buffering=0) as file:
            file.write(json.dumps(asdict(record)).encode())
            if durable:
                sync_file(file.fileno(), "working.record")
        os.replace(temporary, path)
        if durable:
            sync_directory(place, "working.record")
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise disk_error(error, path) from error


def forget_record(state: Path, folder: str) -> None:
    """Keep nothing of a folder any longer; its files stay.

    Raises:
        StorageError: the project's folder cannot be written.
    """
    key = key_of(folder)
    places = (state / "working" / f"{key}{_SUFFIX}", index_path(state, folder), state / "working" / f"{key}.lock")
    for path in places:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(error, path) from error


def list_records(state: Path) -> list[Record]:
    """Return the known folders that still are there, in order of their paths."""
    try:
        names = sorted(os.listdir(state / "working"))
    except FileNotFoundError:
        return []
    found = [_read(state / "working" / name) for name in names if name.endswith(_SUFFIX)]
    return sorted((each for each in found if each and os.path.isdir(each.folder)), key=lambda each: each.folder)


@contextlib.contextmanager
def only_one(state: Path, folder: str) -> Iterator[None]:
    """Hold a folder for one checkout.

    Raises:
        ConflictError: another one is under way.
        StorageError: the project's folder cannot be written.
    """
    path = state / "working" / f"{key_of(folder)}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise disk_error(error, path) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                f"another checkout into '{folder}' is under way. Wait until it has ended, then run it again.",
                folder=folder,
            ) from None
        yield
    finally:
        os.close(descriptor)
