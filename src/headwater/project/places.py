"""Other projects by a short name: ``[places]`` of headwater.toml, ``prod = "https://lake.example.com"``."""

from __future__ import annotations

from pathlib import Path

from headwater.errors import InvalidInputError, NotFoundError

from .base import Project
from .opening import open_project
from .settings import FILE, resolve


def open_place(project: Project | None, place: str) -> Project:
    """Open the project that a name of ``[places]``, a folder or a URL means, as the same person.

    A folder in ``[places]`` counts from the project's own; ``env:NAME`` takes the place from the environment.

    Raises:
        NotFoundError: there is no project there.
        InvalidInputError: the name's value is no text.
        UnavailableError: the server does not answer.
    """
    actor = project.actor.name if project is not None else None
    known = project.settings.table("places") if project is not None else {}
    if place not in known and "/" not in place and not Path(place).exists():
        names = f"has {', '.join(known)}" if known else "names none"
        raise NotFoundError(
            f"there is no place '{place}': [places] of {FILE} {names}, and there is no such folder. Give a folder or "
            "a URL, or add the name to [places].",
            place=place,
        )
    if place not in known:
        return open_project(place, actor=actor)
    value = known[place]
    if not isinstance(value, str):
        raise InvalidInputError(f"'{place}' in [places] of {FILE} must be a folder or URL in quotes.", place=place)
    where = resolve(value)
    if "://" not in where and project is not None and project.root is not None:
        where = str(Path(project.root, where))
    return open_project(where, actor=actor)
