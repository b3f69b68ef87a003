"""Files that a command reads and writes: values of Python on one side, bytes in a folder on the other."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from headwater.duck import connect
from headwater.errors import InvalidInputError, MissingExtraError

from .refs import DataRef

FORMS = ("bytes", "text", "json", "lines", "npy", "table", "folder")
_BY_SUFFIX = {
    ".txt": "text", ".md": "text", ".log": "text", ".csv": "text", ".tsv": "text", ".xml": "text", ".html": "text",
    ".json": "json", ".npy": "npy", ".parquet": "table",
}  # fmt: skip


class File(msgspec.Struct, frozen=True):
    """A file in a command's folder, and what it is as a value: one of ``FORMS``, by its suffix where not said.

    ``text`` is UTF-8, ``lines`` a list of its lines, ``npy`` an array, ``table`` a frame (out: a pyarrow.Table) kept
    in Parquet or CSV, ``folder`` a mapping of paths to bytes; a path that ends in a slash is a folder.
    """

    path: str
    form: str = ""

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.path).parts
        if not parts or self.path.startswith("/") or ".." in parts:
            raise InvalidInputError(
                f"'{self.path}' cannot be a file of a command: give a path below its folder.", path=self.path
            )
        if self.form and self.form not in FORMS:
            raise InvalidInputError(f"a file has no form '{self.form}'; there are {', '.join(FORMS)}.", form=self.form)

    @property
    def kind(self) -> str:
        """The form that was given, or that the path's suffix means."""
        if self.form:
            return self.form
        if self.path.endswith("/"):
            return "folder"
        return _BY_SUFFIX.get(PurePosixPath(self.path).suffix.lower(), "bytes")


def as_file(given: File | str) -> File:
    """Return a file that may have been given by its path alone."""
    return given if isinstance(given, File) else File(given)


def place(value: Any, file: File, folder: Path, what: str) -> None:
    """Write a value as a file of a folder. Paths are copied; a data ref gives the files of its version.

    Raises:
        InvalidInputError: the value does not fit the file's form; ``what`` names it.
    """
    target = folder / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(value, DataRef):
        _place_version(value, file, target, what)
    elif isinstance(value, Path):
        _place_path(value, file, target, what)
    elif file.kind == "folder":
        _place_folder(value, target, what)
    else:
        _place_value(value, file, target, what)


def take(file: File, folder: Path) -> Any:
    """Return a file of a folder as a value.

    Raises:
        InvalidInputError: its bytes are not what its form says.
    """
    path = folder / file.path
    if file.kind == "folder":
        return {each.relative_to(path).as_posix(): each.read_bytes() for each in sorted(_files_in(path))}
    try:
        return _READERS[file.kind](path)
    except (ValueError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"the command wrote '{file.path}', which cannot be read as {file.kind}: {error}. Name another form: "
            f"File({file.path!r}, 'bytes') takes it as it is.",
            path=file.path,
        ) from error


def _place_version(ref: DataRef, file: File, target: Path, what: str) -> None:
    """Copy the files of a version: a command may write to what it was given, and the cache is shared."""
    from headwater.lake import materialise

    from .current import project_here

    apart = target.with_name(f".{target.name}.version")
    materialise(project_here(), ref.ref, apart)
    found = sorted(_files_in(apart))
    if file.kind != "folder" and len(found) != 1:
        raise InvalidInputError(
            f"{what}: '{ref.ref}' holds {len(found)} files, and '{file.path}' is one. Name a folder: '{file.path}/'.",
            ref=ref.ref,
        )
    for each in found:
        at = target / each.relative_to(apart) if file.kind == "folder" else target
        at.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(each, at)
    _remove(apart)


def _place_path(value: Path, file: File, target: Path, what: str) -> None:
    if value.is_dir() != (file.kind == "folder"):
        kind = "a folder" if value.is_dir() else "a file" if value.exists() else "not there"
        raise InvalidInputError(f"{what}: '{value}' is {kind}, and the command wants '{file.path}'.", path=str(value))
    if value.is_dir():
        shutil.copytree(value, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(value, target)


def _place_folder(value: Any, target: Path, what: str) -> None:
    if not isinstance(value, Mapping):
        raise InvalidInputError(
            f"{what} is a folder, and was given a {type(value).__name__}: give a mapping of paths to bytes or text, a "
            "Path, or a data ref."
        )
    target.mkdir(parents=True, exist_ok=True)
    for name, content in value.items():
        each = File(str(name), "bytes")
        _place_value(content, each, target / each.path, f"{what}[{name!r}]")


def _place_value(value: Any, file: File, target: Path, what: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(value, bytes | bytearray | memoryview):
        target.write_bytes(value)
    elif isinstance(value, str) and file.kind != "json":
        target.write_text(value, encoding="utf-8")
    elif file.kind in _WRITERS:
        _WRITERS[file.kind](value, target)
    else:
        raise InvalidInputError(
            f"{what} is the file '{file.path}' ({file.kind}), and was given a {type(value).__name__}. Give bytes, "
            f"text or a Path, or name its form: File({file.path!r}, 'json').",
            path=file.path,
        )


def _write_json(value: Any, target: Path) -> None:
    target.write_text(json.dumps(value, ensure_ascii=False, sort_keys=True), encoding="utf-8")


def _write_lines(value: Any, target: Path) -> None:
    target.write_text("".join(f"{line}\n" for line in value), encoding="utf-8")


def _write_npy(value: Any, target: Path) -> None:
    import numpy as np

    with target.open("wb") as file:
        np.lib.format.write_array(file, np.asarray(value), allow_pickle=False)


def _write_table(value: Any, target: Path) -> None:
    from headwater.lake.tables import write_parquet

    if target.suffix.lower() == ".parquet":
        write_parquet(value, target)
        return
    apart = target.with_name(f".{target.name}.parquet")
    write_parquet(value, apart)
    with connect() as connection:
        connection.read_parquet(str(apart)).write_csv(str(target))
    apart.unlink()


def _read_table(path: Path) -> Any:
    try:
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "arrow", f"reading '{path.name}' as a table") from None
    if path.suffix.lower() == ".parquet":
        return pyarrow.parquet.read_table(io.BytesIO(path.read_bytes()))
    return pyarrow.csv.read_csv(path)


def _read_npy(path: Path) -> Any:
    import numpy as np

    return np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)


_WRITERS = {"json": _write_json, "lines": _write_lines, "npy": _write_npy, "table": _write_table}
_READERS = {
    "bytes": Path.read_bytes,
    "text": lambda path: path.read_text(encoding="utf-8"),
    "json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    "lines": lambda path: path.read_text(encoding="utf-8").splitlines(),
    "npy": _read_npy,
    "table": _read_table,
}


def _files_in(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file()]


def _remove(folder: Path) -> None:
    """Remove a folder of links, whose folders may be read-only."""
    for each in (folder, *folder.rglob("*")):
        if each.is_dir():
            each.chmod(0o755)
    shutil.rmtree(folder)
