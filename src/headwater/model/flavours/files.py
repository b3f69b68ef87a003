"""The files of one flavour, by name: one for most, a folder's for some."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headwater.errors import CorruptError, InvalidInputError

Files = Mapping[str, bytes]
"""The bytes of each file of a model, by its path below the model's folder (``tokenizer.json``, ``onnx/model.onnx``)."""

ANSWERS = "answers.jsonl"
"""The recorded answers of the flavour ``api``: data, so that versions that differ in nothing else are trusted alike."""

MOST_FILES = 2_000
PICKLES = ("pickle", "pkl", "joblib", "dill", "cloudpickle")


def only(files: Files, flavour: str) -> bytes:
    """Return the bytes of a flavour that is one file.

    Raises:
        InvalidInputError: there are none or several.
    """
    if len(files) != 1:
        raise InvalidInputError(
            f"a model of the flavour '{flavour}' is one file, not {len(files)}: {', '.join(sorted(files)) or 'none'}."
        )
    return next(iter(files.values()))


def given_files(model: Any, what: str) -> dict[str, bytes]:
    """Return the files that a person gave: a folder's or file's path, or bytes by name.

    Raises:
        InvalidInputError: it is neither, or a name leads out of its folder.
    """
    if isinstance(model, str | Path):
        return read_files(Path(model))
    if not isinstance(model, Mapping) or not all(isinstance(each, bytes) for each in model.values()):
        raise InvalidInputError(f"{what} is given as the path of its folder, or as a dict of file names and bytes.")
    return {check_file_name(str(name)): each for name, each in model.items()}


def read_files(path: Path) -> dict[str, bytes]:
    """Return a file's bytes under its name, or those of a folder by path below it; hidden ones are left out.

    Raises:
        InvalidInputError: there is no such path, a link leads out of the folder, or there are too many files.
    """
    if path.is_file():
        return {path.name: path.read_bytes()}
    if not path.is_dir():
        raise InvalidInputError(f"'{path}' is neither a file nor a folder.", path=str(path))
    root, found = path.resolve(), {}
    for each in sorted(path.rglob("*")):
        name = each.relative_to(path)
        if not each.is_file() or any(part.startswith(".") or part == "__pycache__" for part in name.parts):
            continue
        if not each.resolve().is_relative_to(root):
            raise InvalidInputError(f"'{each}' is a link to a file outside '{path}': put the file itself there.")
        found[name.as_posix()] = each
        if len(found) > MOST_FILES:
            raise InvalidInputError(f"'{path}' holds more than {MOST_FILES:,} files: is it a model's folder?")
    return {name: each.read_bytes() for name, each in found.items()}


def check_file_name(name: str) -> str:
    """Return a name when it stays below the folder it is written to.

    Raises:
        InvalidInputError: it is empty, absolute, has ``..``, a backslash or a control character.
    """
    parts = name.split("/")
    if len(name) > 500 or "\\" in name or not name.isprintable() or any(part in ("", ".", "..") for part in parts):
        raise InvalidInputError(f"'{name[:80]}' cannot name a file of a model: it must be a path below its folder.")
    return name


def write_files(files: Files, folder: Path) -> None:
    """Write files below a folder, for an engine that reads from the disk."""
    for name, data in files.items():
        path = folder / check_file_name(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def refuse_pickle(data: bytes, flavour: str) -> None:
    """Return when bytes do not begin as a pickle does.

    Raises:
        CorruptError: they do; a pickle runs code when it is read, so none is ever loaded as a model.
    """
    # Protocol 2 and later begin with PROTO (0x80) and their number; older ones hold a GLOBAL or end with STOP.
    if (data[:1] == b"\x80" and data[1:2] in b"\x02\x03\x04\x05") or (data[:1] in (b"c", b"(") and data[-1:] == b"."):
        raise CorruptError(
            f"these bytes are not of the flavour '{flavour}' but a pickle. A pickle is never loaded as a model, since "
            "reading one runs whatever code it holds: save the model in its library's own format."
        )
