"""What an edit is, how it is made and undone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple


class Edit(NamedTuple):
    """One edit: its kind, the project, the file, what is replaced by what.

    ``old`` is "" where the whole file is given. ``$NAME`` is an environment variable, ``../`` lies beside the
    project, ``link:`` before a path means the target of a symbolic link, ``gone:`` a folder that goes away. ``more``
    are further changes of the same edit.
    """

    kind: str
    project: str
    path: str
    old: str
    new: str
    more: tuple[tuple[str, str, str], ...] = ()

    @property
    def changes(self) -> tuple[tuple[str, str, str], ...]:
        return ((self.path, self.old, self.new), *self.more)


Undo = Callable[[], None]


def write_project(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files of a project."""
    for path, text in files.items():
        write(folder, path, text)


def write(folder: Path, path: str, text: str) -> None:
    link = path.startswith("link:")
    target = folder / path.removeprefix("link:")
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        target.unlink(missing_ok=True)
        os.symlink(text, target)
    else:
        target.write_text(text)


def apply(folder: Path, edit: Edit) -> Undo:
    """Make an edit and return what undoes it.

    Raises:
        AssertionError: the text to replace is not there exactly once.
    """
    undo = [_change(folder, *change, edit) for change in edit.changes]

    def back() -> None:
        for each in reversed(undo):
            each()

    return back


def _change(folder: Path, path: str, old: str, new: str, edit: Edit) -> Undo:
    if path.startswith("$"):
        os.environ[path[1:]] = new
        return lambda: _forget(path[1:])
    if path.startswith("gone:"):
        return _put_away(folder / path.removeprefix("gone:"))
    target = folder / path.removeprefix("link:")
    if path.startswith("link:"):
        before = os.readlink(target)
        write(folder, path, new)
        return lambda: write(folder, path, before)
    if not target.exists():
        write(folder, path, new)
        return lambda: _remove(target)
    text = target.read_text()
    if old:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times: {edit.kind}, {path}"
    target.write_text(text.replace(old, new) if old else new)
    return lambda: write(folder, path, text)


def _remove(target: Path) -> None:
    target.unlink()
    if not any(target.parent.iterdir()):
        target.parent.rmdir()


def _put_away(folder: Path) -> Undo:
    away = folder.rename(folder.with_name("put-away"))

    def back() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        away.rename(folder)

    return back


def _forget(name: str) -> None:
    os.environ.pop(name, None)
