"""What a folder's ``.headwaterignore`` leaves out: new files that fit its patterns, written as in ``.gitignore``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.durable import disk_error
from headwater.errors import InvalidInputError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

NAME = ".headwaterignore"
"""One file, at the top of the folder that is added; its patterns count from there."""


def ignored_in(folder: str, paths: Iterable[str]) -> set[str]:
    """Return those of a folder's new paths that its patterns name.

    As with git, a file that the version has already stays, whatever the patterns say: ask for new ones alone.

    Raises:
        InvalidInputError: a line is no pattern, or the file is no text.
    """
    patterns = _patterns(Path(folder) / NAME)
    return set() if patterns is None else {path for path in paths if patterns.match_file(path)}


def _patterns(file: Path) -> GitIgnoreSpec | None:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError:
        raise InvalidInputError(f"'{file}' is no text: it holds one pattern a line, as .gitignore does.") from None
    except OSError as error:
        raise disk_error(error, file) from error
    from pathspec import GitIgnoreSpec

    for number, line in enumerate(lines, 1):
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError as error:
            raise InvalidInputError(f"line {number} of '{file}' is no pattern ({line!r}): {error}.") from error
    return GitIgnoreSpec.from_lines(lines)
