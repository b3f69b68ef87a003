"""Writing a pipeline into a repository: ``[ci]`` in headwater.toml, and the files of a CI system."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from headwater.errors import ConflictError, InvalidInputError
from headwater.project import Settings
from headwater.project.settings import FILE

from .pipeline import Pipeline, as_toml, read_pipeline
from .record import replace_text
from .rendering import pipeline_files

_INSTALLING = (
    ("requirements.lock", "pip install --require-hashes -r requirements.lock"),
    ("requirements.txt", "pip install -r requirements.txt"),
    ("pyproject.toml", "pip install ."),
)


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to a file, by its path from the root of the repository."""

    path: str
    outcome: Literal["written", "replaced", "unchanged"]


def declare(root: Path, pipeline: Pipeline) -> None:
    """Append a pipeline to the headwater.toml of a project's folder.

    Raises:
        ConflictError: it declares one already.
    """
    file = root / FILE
    text = file.read_text(encoding="utf-8")
    if Settings.read(file).table("ci"):
        raise ConflictError(f"'{file}' has a [ci] table already: edit that one, and leave the options out.")
    replace_text(file, f"{text.rstrip()}\n\n# ---- delivery\n\n{as_toml(pipeline)}")


def installing(root: Path) -> str:
    """Return how a machine gets what a project needs, by the file that says so."""
    return next((line for name, line in _INSTALLING if (root / name).exists()), "pip install headwater")


def write_files(root: Path, system: str, *, branch: str = "main", force: bool = False) -> list[Written]:
    """Write the files of a CI system for the project in a folder, into the repository that holds it.

    Raises:
        ConflictError: a file is there with another text, and not ``force``; nothing is written then.
        InvalidInputError: the project declares no pipeline, or it lies where these files could not say.
    """
    repository = find_repository(root)
    folder = root.resolve().relative_to(repository).as_posix()
    settings = Settings.read(root / FILE)
    files = pipeline_files(system, read_pipeline(settings), settings, folder=folder, branch=branch)
    states = [(file, _state(repository / file.path, file.text)) for file in files]
    edited = [file.path for file, state in states if state == "replaced"]
    if edited and not force:
        raise ConflictError(
            f"{', '.join(edited)} in '{repository}' is not what would be written: it was edited, or [ci] changed. "
            "Give --force to replace it.",
            paths=edited,
        )
    for file, state in states:
        if state != "unchanged":
            replace_text(repository / file.path, file.text)
    return [Written(path=file.path, outcome=state) for file, state in states]


def find_repository(root: Path) -> Path:
    """Return the root of the git repository that holds a folder; the folder itself where there is none."""
    resolved = root.resolve()
    return next((each for each in (resolved, *resolved.parents) if (each / ".git").exists()), resolved)


def _state(path: Path, text: str) -> Literal["written", "replaced", "unchanged"]:
    if not path.exists():
        return "written"
    if path.is_dir():
        raise InvalidInputError(f"'{path}' is a folder, where a pipeline's file is to be written.", path=str(path))
    return "unchanged" if path.read_text(encoding="utf-8") == text else "replaced"
