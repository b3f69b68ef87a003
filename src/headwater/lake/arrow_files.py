"""Arrow files of a version, read as tables: turned into Parquet once per process, batch by batch."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidInputError, MissingExtraError

if TYPE_CHECKING:
    from ..project import Project
    from .values import Entry

_guard = threading.Lock()
_folders: dict[int, Path] = {}  # by process; gone when it ends


def as_parquet(project: Project, entry: Entry) -> Path:
    """Return a Parquet file with the rows of an Arrow file (IPC, as a file or a stream).

    Raises:
        MissingExtraError: pyarrow is not installed.
        InvalidInputError: the file is not Arrow.
    """
    try:
        import pyarrow
    except ImportError:
        raise MissingExtraError("pyarrow", "arrow", "reading Arrow files as tables") from None
    with _guard:
        target = _folder() / f"{entry.digest}.parquet"
        if target.exists():
            return target
        try:
            _convert(project.objects.cached_path(entry.digest), target)
        except pyarrow.ArrowInvalid as error:
            target.unlink(missing_ok=True)
            raise InvalidInputError(
                f"'{entry.path}' is named as an Arrow file and cannot be read as one: {error}. Is it complete?",
                path=entry.path,
            ) from error
        return target


def _folder() -> Path:
    process = os.getpid()
    if process not in _folders:
        _folders[process] = Path(tempfile.mkdtemp(prefix="headwater-arrow-"))
        atexit.register(shutil.rmtree, _folders[process], ignore_errors=True)
    return _folders[process]


def _convert(source: Path, target: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    with pyarrow.memory_map(str(source)) as file:
        try:
            reader = pyarrow.ipc.open_file(file)
            batches = (reader.get_batch(place) for place in range(reader.num_record_batches))
        except pyarrow.ArrowInvalid:
            file.seek(0)
            reader = pyarrow.ipc.open_stream(file)
            batches = iter(reader)
        with pyarrow.parquet.ParquetWriter(target, reader.schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
